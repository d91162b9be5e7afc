// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctls of a vCPU as calls: state goes in and comes back, nonsense is refused, and a refused
 * call leaves the state as it was. Guests that use the state are in guest/test_state.c.
 */
#include <signal.h>
#include "kvmtest.h"

static struct vcpu *new_vcpu(void)
{
	return vcpu_create(vm_create(), 0);
}

static void regs_round_trip(void **state)
{
	struct vcpu *v = new_vcpu();
	struct kvm_regs in, out;
	uint64_t *r = (uint64_t *)&in;

	(void)state;
	for (size_t i = 0; i < sizeof(in) / 8; i++)
		r[i] = 0x0101010101010101UL * (i + 1);
	in.rflags = 0x202;
	must(ioctl(v->fd, KVM_SET_REGS, &in));
	must(ioctl(v->fd, KVM_GET_REGS, &out));
	assert_memory_equal(&in, &out, sizeof(in));
	must_fail(EFAULT, ioctl(v->fd, KVM_SET_REGS, NULL));
	must_fail(EFAULT, ioctl(v->fd, KVM_GET_REGS, NULL));
}

/* After reset: SDM "IA-32 and Intel 64 Processor States Following Power-up, Reset, or INIT". */
static void reset_state(void **state)
{
	struct vcpu *v = new_vcpu();
	struct kvm_regs r;
	struct kvm_sregs s;

	(void)state;
	must(ioctl(v->fd, KVM_GET_REGS, &r));
	must(ioctl(v->fd, KVM_GET_SREGS, &s));
	assert_int_equal(r.rip, 0xfff0);
	assert_int_equal(r.rflags, 2);
	assert_int_equal(s.cs.base, 0xffff0000);
	assert_int_equal(s.cs.selector, 0xf000);
	assert_int_equal(s.cs.limit, 0xffff);
	assert_int_equal(s.cr0, 0x60000010);
	assert_int_equal(s.cr4, 0);
	assert_int_equal(s.efer, 0);
	assert_int_equal(s.gdt.limit, 0xffff);
	assert_int_equal(s.idt.limit, 0xffff);
	assert_int_equal(s.ds.base, 0);
	assert_int_equal(s.ds.limit, 0xffff);
	assert_int_equal(s.tr.type, 0xb);
}

static void sregs_round_trip_in_long_mode(void **state)
{
	struct vcpu *v = new_vcpu();
	struct kvm_sregs in, out;

	(void)state;
	vcpu_long_mode(v, guest_sync, 0);
	must(ioctl(v->fd, KVM_GET_SREGS, &in));
	in.fs.base = 0x7f0012345000UL;
	in.gs.base = 0xffff888000000000UL;
	in.gdt.base = 0x12345678;
	in.gdt.limit = 0x1ff;
	in.idt.base = 0xffffffff82000000UL;
	in.cr2 = 0xdeadbeef000UL;
	in.cr8 = 5;
	must(ioctl(v->fd, KVM_SET_SREGS, &in));
	must(ioctl(v->fd, KVM_GET_SREGS, &out));
	assert_memory_equal(&in, &out, sizeof(in));
}

static void sregs_refuses_what_the_processor_refuses(void **state)
{
	static const struct {
		const char *what;
		uint64_t cr0, cr4, efer, cr3;
	} cases[] = {
		{ "paging without protection", 0x80000010, 0x620, 0, 0 },
		{ "long mode active without PAE", 0x80000033, 0, 0x500, 0 },
		{ "reserved bit of CR4", 0x33, 1UL << 31, 0, 0 },
		{ "reserved upper half of CR4", 0x33, 1UL << 40, 0, 0 },
		{ "LMA without PG", 0x33, 0x20, 0x500, 0 },
		{ "reserved bit of EFER", 0x33, 0, 1UL << 40, 0 }, /* last: see below */
	};
	struct vcpu *v = new_vcpu();
	struct kvm_sregs before, s, after;

	(void)state;
	must(ioctl(v->fd, KVM_GET_SREGS, &before));
	/* the peer looks at EFER only when the guest is entered */
	for (size_t i = 0; i < ARRAY_SIZE(cases) - !on_apicvisor(); i++) {
		s = before;
		s.cr0 = cases[i].cr0;
		s.cr4 = cases[i].cr4;
		s.efer = cases[i].efer;
		s.cr3 = cases[i].cr3;
		errno = 0;
		if (ioctl(v->fd, KVM_SET_SREGS, &s) != -1 || errno != EINVAL)
			fail_msg("%s: %s", cases[i].what, strerror(errno));
	}
	must(ioctl(v->fd, KVM_GET_SREGS, &after));
	assert_memory_equal(&before, &after, sizeof(after));
	must_fail(EFAULT, ioctl(v->fd, KVM_SET_SREGS, NULL));
	must_fail(EFAULT, ioctl(v->fd, KVM_GET_SREGS, NULL));
}

/* Clients set CR4 before they say what the processor is: anything goes that the host has. */
static void sregs_take_the_hosts_cr4_before_cpuid(void **state)
{
	struct vcpu *v = new_vcpu();
	struct kvm_sregs in, out;

	(void)state;
	must(ioctl(v->fd, KVM_GET_SREGS, &in));
	in.cr4 |= 0x207ff; /* VME to OSXMMEXCPT, and PCIDE outside long mode */
	must(ioctl(v->fd, KVM_SET_SREGS, &in));
	must(ioctl(v->fd, KVM_GET_SREGS, &out));
	assert_int_equal(out.cr4, in.cr4);
}

static void fpu_round_trip(void **state)
{
	struct vcpu *v = new_vcpu();
	struct kvm_fpu in = { 0 }, out;

	(void)state;
	for (int i = 0; i < 8; i++)
		memset(in.fpr[i], 0x10 + i, 10);
	for (int i = 0; i < 16; i++)
		memset(in.xmm[i], 0x80 + i, 16);
	in.fcw = 0x27f;
	in.fsw = 0x3800;
	in.ftwx = 0xff;
	in.mxcsr = 0x1fa0;
	must(ioctl(v->fd, KVM_SET_FPU, &in));
	must(ioctl(v->fd, KVM_GET_FPU, &out));
	assert_memory_equal(in.fpr, out.fpr, sizeof(in.fpr));
	assert_memory_equal(in.xmm, out.xmm, sizeof(in.xmm));
	assert_int_equal(out.fcw, in.fcw);
	assert_int_equal(out.fsw, in.fsw);
	assert_int_equal(out.ftwx, in.ftwx);
	must_fail(EFAULT, ioctl(v->fd, KVM_SET_FPU, NULL));
	must_fail(EFAULT, ioctl(v->fd, KVM_GET_FPU, NULL));
}

static void xsave_round_trip(void **state)
{
	struct vcpu *v = new_vcpu();
	struct kvm_xsave in, out;

	(void)state;
	memset(&out, 0xff, sizeof(out));
	must(ioctl(v->fd, KVM_GET_XSAVE, &in));
	in.region[512 / 4] |= 3;           /* XSTATE_BV: x87 and SSE are present */
	for (int i = 40; i < 40 + 64; i++) /* XMM0-15 at byte 160 */
		in.region[i] = (uint32_t)i * 0x01010101;
	must(ioctl(v->fd, KVM_SET_XSAVE, &in));
	must(ioctl(v->fd, KVM_GET_XSAVE, &out));
	assert_memory_equal(&in.region[40], &out.region[40], 256);
	assert_int_equal(out.region[512 / 4] & 3, 3);
	must_fail(EFAULT, ioctl(v->fd, KVM_SET_XSAVE, NULL));
	must_fail(EFAULT, ioctl(v->fd, KVM_GET_XSAVE, NULL));
}

static void xsave_refuses_unknown_components(void **state)
{
	struct vcpu *v = new_vcpu();
	struct kvm_xsave x;

	(void)state;
	must(ioctl(v->fd, KVM_GET_XSAVE, &x));
	x.region[512 / 4 + 1] |= 0x40000000; /* component 62 */
	must_fail(EINVAL, ioctl(v->fd, KVM_SET_XSAVE, &x));
	must(ioctl(v->fd, KVM_GET_XSAVE, &x));
	x.region[24 / 4] = 0xffffffff; /* MXCSR: reserved bits would fault on load */
	x.region[512 / 4] |= 2;
	must_fail(EINVAL, ioctl(v->fd, KVM_SET_XSAVE, &x));
}

static void xcrs_round_trip(void **state)
{
	struct vcpu *v = new_vcpu();
	struct kvm_xcrs x;

	(void)state;
	memset(&x, 0xff, sizeof(x));
	must(ioctl(v->fd, KVM_GET_XCRS, &x));
	assert_int_equal(x.nr_xcrs, 1);
	assert_int_equal(x.xcrs[0].xcr, 0);
	assert_int_equal(x.xcrs[0].value, 1);
	x.xcrs[0].value = 3;
	must(ioctl(v->fd, KVM_SET_XCRS, &x));
	must(ioctl(v->fd, KVM_GET_XCRS, &x));
	assert_int_equal(x.xcrs[0].value, 3);
	x.xcrs[0].value = 2; /* x87 can't be left out */
	must_fail(EINVAL, ioctl(v->fd, KVM_SET_XCRS, &x));
	x.xcrs[0].value = 5; /* AVX without SSE */
	must_fail(EINVAL, ioctl(v->fd, KVM_SET_XCRS, &x));
	x.xcrs[0].value = 3;
	x.nr_xcrs = KVM_MAX_XCRS + 1;
	must_fail(EINVAL, ioctl(v->fd, KVM_SET_XCRS, &x));
	x.nr_xcrs = 1;
	x.flags = 1;
	must_fail(EINVAL, ioctl(v->fd, KVM_SET_XCRS, &x));
	must_fail(EFAULT, ioctl(v->fd, KVM_SET_XCRS, NULL));
}

static void debugregs_round_trip(void **state)
{
	struct vcpu *v = new_vcpu();
	struct kvm_debugregs in, out;

	(void)state;
	must(ioctl(v->fd, KVM_GET_DEBUGREGS, &in));
	assert_int_equal(in.dr6, 0xffff0ff0);
	assert_int_equal(in.dr7, 0x400);
	for (int i = 0; i < 4; i++)
		in.db[i] = 0x1000u * (i + 1);
	in.dr6 = 0xffff0ff1;
	in.dr7 = 0x402;
	must(ioctl(v->fd, KVM_SET_DEBUGREGS, &in));
	must(ioctl(v->fd, KVM_GET_DEBUGREGS, &out));
	assert_memory_equal(&in, &out, sizeof(in));
	in.dr7 = 1UL << 32;
	must_fail(EINVAL, ioctl(v->fd, KVM_SET_DEBUGREGS, &in));
	in.dr7 = 0x400;
	in.dr6 = 1UL << 32;
	must_fail(EINVAL, ioctl(v->fd, KVM_SET_DEBUGREGS, &in));
	in.dr6 = 0xffff0ff0;
	in.flags = 1;
	must_fail(EINVAL, ioctl(v->fd, KVM_SET_DEBUGREGS, &in));
	must_fail(EFAULT, ioctl(v->fd, KVM_SET_DEBUGREGS, NULL));
	must_fail(EFAULT, ioctl(v->fd, KVM_GET_DEBUGREGS, NULL));
}

static void events_round_trip(void **state)
{
	struct vcpu *v = new_vcpu();
	struct kvm_vcpu_events in, out;

	(void)state;
	must(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &in));
	in.exception.injected = 1;
	in.exception.nr = 14;
	in.exception.has_error_code = 1;
	in.exception.error_code = 6;
	in.nmi.pending = on_apicvisor() ? 2 : 1; /* with the one latched behind it */
	in.nmi.masked = 1;
	in.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	must(ioctl(v->fd, KVM_SET_VCPU_EVENTS, &in));
	must(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &out));
	assert_int_equal(out.exception.injected, 1);
	assert_int_equal(out.exception.nr, 14);
	assert_int_equal(out.exception.has_error_code, 1);
	assert_int_equal(out.exception.error_code, 6);
	assert_int_equal(out.nmi.pending, in.nmi.pending);
	assert_int_equal(out.nmi.masked, 1);
	must_fail(EFAULT, ioctl(v->fd, KVM_SET_VCPU_EVENTS, NULL));
	must_fail(EFAULT, ioctl(v->fd, KVM_GET_VCPU_EVENTS, NULL));
}

static void events_refuses_nonsense(void **state)
{
	struct vcpu *v = new_vcpu();
	struct kvm_vcpu_events e;

	(void)state;
	must(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e));
	e.flags = 1u << 31;
	must_fail(EINVAL, ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	e.flags = 0;
	e.exception.injected = 1;
	e.exception.nr = 32; /* not an exception */
	must_fail(EINVAL, ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	e.exception.nr = 2; /* NMI is none either */
	must_fail(EINVAL, ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
	e.exception.injected = 0;
	e.flags = KVM_VCPUEVENT_VALID_SMM;
	e.smi.smm = 1;
	if (!dev_capability(KVM_CAP_X86_SMM))
		must_fail(EINVAL, ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e));
}

/* --- MSRs --- */

struct msr_block {
	struct kvm_msrs head;
	struct kvm_msr_entry entry[300];
};

static struct msr_block *msr_block(uint32_t n)
{
	struct msr_block *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	m->head.nmsrs = n;
	return m;
}

/* The value says how many were done: the first that fails ends it. */
static void msrs_return_the_count(void **state)
{
	static const uint32_t index[] = { 0x174, 0x175, 0x176, 0xdeadbeef, 0x277 };
	struct vcpu *v = new_vcpu();
	struct msr_block *m = msr_block(ARRAY_SIZE(index));

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(index); i++)
		m->entry[i] = (struct kvm_msr_entry){ .index = index[i], .data = 0x1000 };
	assert_int_equal(ioctl(v->fd, KVM_SET_MSRS, m), 3);
	m->entry[0].data = 0;
	assert_int_equal(ioctl(v->fd, KVM_GET_MSRS, m), 3);
	assert_int_equal(m->entry[0].data, 0x1000);
	free(m);
}

static void msrs_count_is_bounded(void **state)
{
	struct vcpu *v = new_vcpu();
	struct msr_block *m = msr_block(0xffffffff);

	(void)state;
	must_fail(E2BIG, ioctl(v->fd, KVM_GET_MSRS, m));
	must_fail(E2BIG, ioctl(v->fd, KVM_SET_MSRS, m));
	m->head.nmsrs = 257;
	must_fail(E2BIG, ioctl(v->fd, KVM_GET_MSRS, m));
	m->head.nmsrs = 0;
	assert_int_equal(ioctl(v->fd, KVM_GET_MSRS, m), 0);
	assert_int_equal(ioctl(v->fd, KVM_SET_MSRS, m), 0);
	free(m);
}

static void msrs_bad_pointers(void **state)
{
	struct vcpu *v = new_vcpu();
	uint8_t *p = map_with_hole(2, 1);
	struct kvm_msrs *edge = (void *)(p + PAGE_SIZE - sizeof(*edge) - 16);

	(void)state;
	edge->nmsrs = 2;
	edge->entries[0].index = 0x174;
	must_fail(EFAULT, ioctl(v->fd, KVM_GET_MSRS, NULL));
	must_fail(EFAULT, ioctl(v->fd, KVM_SET_MSRS, NULL));
	must_fail(EFAULT, ioctl(v->fd, KVM_GET_MSRS, edge));
	must_fail(EFAULT, ioctl(v->fd, KVM_SET_MSRS, edge));
	munmap(p, PAGE_SIZE);
}

/* Listing an MSR is a promise: it can be read, and what was read can be written. */
static void every_listed_msr_round_trips(void **state)
{
	struct vcpu *v = vcpu_create(vm_create_irqchip(), 0);
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + 1024 * 4);
	int fd = dev_open();
	int bad = 0;

	(void)state;
	list->nmsrs = 1024;
	must(ioctl(fd, KVM_GET_MSR_INDEX_LIST, list));
	close(fd);
	for (uint32_t i = 0; i < list->nmsrs; i++) {
		struct msr_block *m = msr_block(1);

		m->entry[0].index = list->indices[i];
		if (ioctl(v->fd, KVM_GET_MSRS, m) != 1 || ioctl(v->fd, KVM_SET_MSRS, m) != 1) {
			print_message("# MSR %#x: value %#llx\n", list->indices[i],
				      m->entry[0].data);
			bad++;
		}
		free(m);
	}
	free(list);
	if (bad && !on_apicvisor())
		skip_because("%d listed MSRs of the peer do not write back what they read", bad);
	assert_int_equal(bad, 0);
}

static void qemu_msrs_are_settable(void **state)
{
	static const uint32_t index[] = {
		0x174, 0x175,      0x176,      0x277,      0x10,       0x1b,       0x2ff, 0x250,
		0x258, 0x259,      0x268,      0x26f,      0x200,      0x201,      0x20e, 0x20f,
		0x17a, 0x17b,      0x400,      0x401,      0x402,      0x403,      0x424, 0x427,
		0x1a0, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000102, 0x6e0,
	};
	struct vcpu *v = vcpu_create(vm_create_irqchip(), 0);
	uint64_t cap = 0;
	int fd = dev_open();

	(void)state;
	must(ioctl(fd, KVM_X86_GET_MCE_CAP_SUPPORTED, &cap));
	close(fd);
	cap = (cap & 0x1000100) | 10; /* ten banks, as QEMU has them */
	must(ioctl(v->fd, KVM_X86_SETUP_MCE, &cap));
	for (size_t i = 0; i < ARRAY_SIZE(index); i++) {
		uint64_t value = vcpu_get_msr(v, index[i]);

		if (vcpu_set_msr(v, index[i], value) != 1)
			fail_msg("MSR %#x does not take back %#lx", index[i], (unsigned long)value);
	}
}

static void msr_values_are_checked(void **state)
{
	static const struct {
		uint32_t index;
		uint64_t value;
	} bad[] = {
		{ 0xc0000082, 0x0008000000000000UL }, /* LSTAR: not canonical */
		{ 0xc0000102, 0x8000000000000000UL }, /* KERNEL_GS_BASE: not canonical */
		{ 0x277, 0x02 },                      /* PAT: a reserved type */
		{ 0x2ff, 0x02 },                      /* MTRR default: a reserved type */
		{ 0x2ff, 1UL << 20 },
		{ 0x250, 0x0202 },
		{ 0xc0000080, 1UL << 40 }, /* EFER */
		{ 0x1b, 1UL << 62 },       /* APIC base beyond the address width */
	};
	struct vcpu *v = vcpu_create(vm_create_irqchip(), 0);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (vcpu_set_msr(v, bad[i].index, bad[i].value) == 1)
			fail_msg("MSR %#x took %#lx", bad[i].index, (unsigned long)bad[i].value);
	}
}

static void hwcr_keeps_two_bits(void **state)
{
	struct vcpu *v = new_vcpu();

	(void)state;
	for (int bit = 0; bit < 64; bit++) {
		bool kept = bit == 18 || bit == 24;
		bool taken = kept || bit == 3 || bit == 6 || bit == 8;

		if (!on_apicvisor() && bit == 24)
			continue; /* the peer refuses it on older kernels */
		assert_int_equal(vcpu_set_msr(v, 0xc0010015, 1UL << bit), taken);
		assert_int_equal(vcpu_get_msr(v, 0xc0010015), kept ? 1UL << bit : 0);
		assert_int_equal(vcpu_set_msr(v, 0xc0010015, 0), 1);
	}
}

/* --- CPUID --- */

static void cpuid_round_trip(void **state)
{
	struct vcpu *v = vcpu_create_bare(vm_create(), 0);
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 300 * sizeof(c->entries[0]));

	(void)state;
	c->nent = 2;
	c->entries[0] = (struct kvm_cpuid_entry2){ .function = 0, .eax = 4, .ebx = 0x11111111 };
	c->entries[1] =
		(struct kvm_cpuid_entry2){ .function = 4, .index = 1, .flags = 1, .eax = 7 };
	must(ioctl(v->fd, KVM_SET_CPUID2, c));
	memset(c->entries, 0, 2 * sizeof(c->entries[0]));
	c->nent = 1;
	must_fail(E2BIG, ioctl(v->fd, KVM_GET_CPUID2, c));
	c->nent = 300;
	must(ioctl(v->fd, KVM_GET_CPUID2, c));
	if (on_apicvisor()) /* the peer (6.1) writes it back only with E2BIG */
		assert_int_equal(c->nent, 2);
	assert_int_equal(c->entries[0].ebx, 0x11111111);
	assert_int_equal(c->entries[1].index, 1);
	assert_int_equal(c->entries[1].eax, 7);
	must_fail(EFAULT, ioctl(v->fd, KVM_GET_CPUID2, NULL));
	free(c);
}

static void cpuid_count_is_bounded(void **state)
{
	struct vcpu *v = vcpu_create_bare(vm_create(), 0);
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 300 * sizeof(c->entries[0]));
	uint8_t *p = map_with_hole(2, 1);
	struct kvm_cpuid2 *edge = (void *)(p + PAGE_SIZE - sizeof(*edge) - 40);

	(void)state;
	c->nent = 0xffffffff;
	must_fail(E2BIG, ioctl(v->fd, KVM_SET_CPUID2, c));
	c->nent = 257;
	must_fail(E2BIG, ioctl(v->fd, KVM_SET_CPUID2, c));
	c->nent = 0;
	must(ioctl(v->fd, KVM_SET_CPUID2, c));
	edge->nent = 2;
	must_fail(EFAULT, ioctl(v->fd, KVM_SET_CPUID2, edge));
	must_fail(EFAULT, ioctl(v->fd, KVM_SET_CPUID2, NULL));
	free(c);
	munmap(p, PAGE_SIZE);
}

/* --- MP state, signal mask, the rest --- */

static void mp_state(void **state)
{
	struct vm *vm = vm_create_irqchip();
	struct vcpu *bsp = vcpu_create(vm, 0), *ap = vcpu_create(vm, 1);
	struct kvm_mp_state mp;

	(void)state;
	must(ioctl(bsp->fd, KVM_GET_MP_STATE, &mp));
	assert_int_equal(mp.mp_state, KVM_MP_STATE_RUNNABLE);
	must(ioctl(ap->fd, KVM_GET_MP_STATE, &mp));
	assert_int_equal(mp.mp_state, KVM_MP_STATE_UNINITIALIZED);
	mp.mp_state = KVM_MP_STATE_HALTED;
	must(ioctl(ap->fd, KVM_SET_MP_STATE, &mp));
	mp.mp_state = 0;
	must(ioctl(ap->fd, KVM_GET_MP_STATE, &mp));
	assert_int_equal(mp.mp_state, KVM_MP_STATE_HALTED);
	mp.mp_state = 77;
	must_fail(EINVAL, ioctl(ap->fd, KVM_SET_MP_STATE, &mp));
	mp.mp_state = KVM_MP_STATE_STOPPED; /* another architecture's */
	must_fail(EINVAL, ioctl(ap->fd, KVM_SET_MP_STATE, &mp));
	must_fail(EFAULT, ioctl(ap->fd, KVM_SET_MP_STATE, NULL));
	must_fail(EFAULT, ioctl(ap->fd, KVM_GET_MP_STATE, NULL));
}

static void mp_state_without_irqchip(void **state)
{
	struct vcpu *v = new_vcpu();
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_INIT_RECEIVED };

	(void)state;
	must_fail(EINVAL, ioctl(v->fd, KVM_SET_MP_STATE, &mp));
	mp.mp_state = KVM_MP_STATE_RUNNABLE;
	must(ioctl(v->fd, KVM_SET_MP_STATE, &mp));
}

static void signal_mask_size(void **state)
{
	struct vcpu *v = new_vcpu();
	struct {
		struct kvm_signal_mask head;
		uint8_t set[16];
	} mask = { .head.len = 8 };

	(void)state;
	must(ioctl(v->fd, KVM_SET_SIGNAL_MASK, &mask));
	mask.head.len = 16;
	must_fail(EINVAL, ioctl(v->fd, KVM_SET_SIGNAL_MASK, &mask));
	mask.head.len = 0;
	must_fail(EINVAL, ioctl(v->fd, KVM_SET_SIGNAL_MASK, &mask));
	must(ioctl(v->fd, KVM_SET_SIGNAL_MASK, NULL)); /* back to none */
}

static void lapic_before_cpuid(void **state)
{
	struct vcpu *v = vcpu_create_bare(vm_create_irqchip(), 0);
	struct kvm_lapic_state lapic;

	(void)state;
	must(ioctl(v->fd, KVM_GET_LAPIC, &lapic));
	assert_int_equal(*(uint32_t *)&lapic.regs[APIC_SVR], 0xff);
	/* the boot CPU comes up with the 8259 behind LINT0 */
	assert_int_equal(*(uint32_t *)&lapic.regs[APIC_LVT_LINT0], APIC_MODE_EXTINT);
	*(uint32_t *)&lapic.regs[APIC_LVT_LINT1] = 0x400;
	must(ioctl(v->fd, KVM_SET_LAPIC, &lapic));
	memset(&lapic, 0, sizeof(lapic));
	must(ioctl(v->fd, KVM_GET_LAPIC, &lapic));
	assert_int_equal(*(uint32_t *)&lapic.regs[APIC_LVT_LINT1], 0x400);
	must_fail(EFAULT, ioctl(v->fd, KVM_GET_LAPIC, NULL));
	must_fail(EFAULT, ioctl(v->fd, KVM_SET_LAPIC, NULL));
}

static void lapic_ioctls_without_lapic(void **state)
{
	struct vcpu *v = new_vcpu();
	struct kvm_lapic_state lapic = { 0 };
	struct kvm_vapic_addr vapic = { 0 };

	(void)state;
	must_fail(EINVAL, ioctl(v->fd, KVM_GET_LAPIC, &lapic));
	must_fail(EINVAL, ioctl(v->fd, KVM_SET_LAPIC, &lapic));
	must_fail(EINVAL, ioctl(v->fd, KVM_SET_VAPIC_ADDR, &vapic));
}

static void vapic_addr_zero(void **state)
{
	struct vcpu *v = vcpu_create(vm_create_irqchip(), 0);
	struct kvm_vapic_addr vapic = { 0 };

	(void)state;
	must(ioctl(v->fd, KVM_SET_VAPIC_ADDR, &vapic)); /* QEMU does so at each reset */
	must_fail(EFAULT, ioctl(v->fd, KVM_SET_VAPIC_ADDR, NULL));
}

static void interrupt_arguments(void **state)
{
	struct vcpu *v = new_vcpu();
	struct kvm_interrupt irq = { .irq = 256 };

	(void)state;
	must_fail(EINVAL, ioctl(v->fd, KVM_INTERRUPT, &irq));
	must_fail(EFAULT, ioctl(v->fd, KVM_INTERRUPT, NULL));
	irq.irq = 0x30;
	must(ioctl(v->fd, KVM_INTERRUPT, &irq));
}

static void interrupt_with_kernel_irqchip(void **state)
{
	struct vcpu *v = vcpu_create(vm_create_irqchip(), 0);
	struct kvm_interrupt irq = { .irq = 0x30 };

	(void)state;
	must_fail(ENXIO, ioctl(v->fd, KVM_INTERRUPT, &irq));
}

static void tsc_khz(void **state)
{
	struct vm *vm = vm_create();
	struct vcpu *v = vcpu_create(vm, 0);
	unsigned long host = must(ioctl(v->fd, KVM_GET_TSC_KHZ, 0));
	unsigned long wrong[] = { 0x7fffffff, 0x80000000, ~0u };
	unsigned long near = host + host / 5000; /* 200 ppm: needs no scaling */

	(void)state;
	assert_true(host > 1000);
	assert_int_equal(dev_capability(KVM_CAP_TSC_CONTROL),
			 dev_capability(KVM_CAP_VM_TSC_CONTROL));
	for (int i = 0; i < 2; i++) {
		int fd = i ? vm->fd : v->fd;

		must(ioctl(fd, KVM_SET_TSC_KHZ, near));
		assert_int_equal(must(ioctl(fd, KVM_GET_TSC_KHZ, 0)), near);
		for (size_t n = 0; n < ARRAY_SIZE(wrong); n++)
			must_fail(EINVAL, ioctl(fd, KVM_SET_TSC_KHZ, wrong[n]));
		if (dev_capability(KVM_CAP_TSC_CONTROL)) {
			must(ioctl(fd, KVM_SET_TSC_KHZ, 2 * host));
			assert_int_equal(must(ioctl(fd, KVM_GET_TSC_KHZ, 0)), 2 * host);
			must(ioctl(fd, KVM_SET_TSC_KHZ, 1));
			assert_int_equal(must(ioctl(fd, KVM_GET_TSC_KHZ, 0)), 1);
		} else if (on_apicvisor()) { /* the peer lets some TSCs jump instead */
			must_fail(EINVAL, ioctl(fd, KVM_SET_TSC_KHZ, 2 * host));
			must_fail(EINVAL, ioctl(fd, KVM_SET_TSC_KHZ, host / 2));
			assert_int_equal(must(ioctl(fd, KVM_GET_TSC_KHZ, 0)), near);
		}
		must(ioctl(fd, KVM_SET_TSC_KHZ, 0));
		assert_int_equal(must(ioctl(fd, KVM_GET_TSC_KHZ, 0)), host);
	}
	assert_int_equal(must(ioctl(vcpu_create(vm, 1)->fd, KVM_GET_TSC_KHZ, 0)), host);
}

static void enable_cap(void **state)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP };
	struct vcpu *v = vcpu_create_bare(vm_create_bare(), 0);

	(void)state;
	must_fail(EINVAL, ioctl(v->fd, KVM_ENABLE_CAP, &cap)); /* a VM's */
	must_fail(EFAULT, ioctl(v->fd, KVM_ENABLE_CAP, NULL));
	cap.cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID;
	cap.args[0] = 1;
	must(ioctl(v->fd, KVM_ENABLE_CAP, &cap));
	cap.args[0] = 0;
	must(ioctl(v->fd, KVM_ENABLE_CAP, &cap));
	cap.flags = 1;
	must_fail(EINVAL, ioctl(v->fd, KVM_ENABLE_CAP, &cap));
}

static void mce_setup_arguments(void **state)
{
	struct vcpu *v = new_vcpu();
	uint64_t cap = 0xff; /* 255 banks */

	(void)state;
	must_fail(EINVAL, ioctl(v->fd, KVM_X86_SETUP_MCE, &cap));
	cap = 1UL << 60 | 10; /* a feature nobody has */
	must_fail(EINVAL, ioctl(v->fd, KVM_X86_SETUP_MCE, &cap));
	must_fail(EFAULT, ioctl(v->fd, KVM_X86_SETUP_MCE, NULL));
	cap = 10;
	must(ioctl(v->fd, KVM_X86_SETUP_MCE, &cap));
}

static void mapping_limits(void **state)
{
	struct vcpu *v = new_vcpu();
	uint8_t *p;

	(void)state;
	p = mmap(NULL, 3 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	/* two mappings show one structure */
	((struct kvm_run *)p)->request_interrupt_window = 7;
	assert_int_equal(v->run->request_interrupt_window, 7);
	v->run->request_interrupt_window = 0;
	assert_int_equal(((uint64_t *)(p + 2 * PAGE_SIZE))[0], 0); /* the empty coalesced ring */
	munmap(p, 3 * PAGE_SIZE);
	p = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 64 * PAGE_SIZE);
	if (p != MAP_FAILED) { /* accepted by the peer; touching it must not succeed */
		munmap(p, PAGE_SIZE);
	}
	p = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, v->fd, 0);
	if (p != MAP_FAILED)
		munmap(p, PAGE_SIZE);
}

static int touch_beyond(void *arg)
{
	struct vcpu *v = arg;
	volatile uint8_t *p = mmap(NULL, 4 * PAGE_SIZE, PROT_READ, MAP_SHARED, v->fd, 0);

	if (p == MAP_FAILED)
		raise(SIGBUS); /* refused at once: just as good */
	signal(SIGBUS, SIG_DFL);
	return p[3 * PAGE_SIZE];
}

static void nothing_beyond_the_third_page(void **state)
{
	struct vcpu *v = new_vcpu();

	(void)state;
	assert_int_equal(reap(spawn(touch_beyond, v)), -SIGBUS);
}

static void wrong_sizes_are_unknown(void **state)
{
	static const unsigned long commands[] = {
		_IOR(KVMIO, 0x81, char[8]),    _IOW(KVMIO, 0x82, char[1]),
		_IOR(KVMIO, 0x83, char[311]),  _IOW(KVMIO, 0x84, char[313]),
		_IOR(KVMIO, 0x8e, char[1023]), _IOW(KVMIO, 0x9a, int),
		_IOR(KVMIO, 0x9f, char[63]),   _IOW(KVMIO, 0xa0, char[65]),
		_IOW(KVMIO, 0x80, int),        _IOR(KVMIO, 0x98, char[8]),
		_IOW(KVMIO, 0x41, int),
	};
	struct vcpu *v = new_vcpu();
	char buf[4096] = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		errno = 0;
		if (ioctl(v->fd, commands[i], buf) != -1 || (errno != ENOTTY && errno != EINVAL))
			fail_msg("command %#lx: %s", commands[i], strerror(errno));
	}
}

static const struct CMUnitTest tests[] = {
	TEST(regs_round_trip),
	TEST(reset_state),
	TEST(sregs_round_trip_in_long_mode),
	TEST(sregs_refuses_what_the_processor_refuses),
	TEST(sregs_take_the_hosts_cr4_before_cpuid),
	TEST(fpu_round_trip),
	TEST(xsave_round_trip),
	TEST(xsave_refuses_unknown_components),
	TEST(xcrs_round_trip),
	TEST(debugregs_round_trip),
	TEST(events_round_trip),
	TEST(events_refuses_nonsense),
	TEST(msrs_return_the_count),
	TEST(msrs_count_is_bounded),
	TEST(msrs_bad_pointers),
	TEST(every_listed_msr_round_trips),
	TEST(qemu_msrs_are_settable),
	TEST(msr_values_are_checked),
	TEST(hwcr_keeps_two_bits),
	TEST(cpuid_round_trip),
	TEST(cpuid_count_is_bounded),
	TEST(mp_state),
	TEST(mp_state_without_irqchip),
	TEST(signal_mask_size),
	TEST(lapic_before_cpuid),
	TEST(lapic_ioctls_without_lapic),
	TEST(vapic_addr_zero),
	TEST(interrupt_arguments),
	TEST(interrupt_with_kernel_irqchip),
	TEST(tsc_khz),
	TEST(enable_cap),
	TEST(mce_setup_arguments),
	TEST(mapping_limits),
	TEST(nothing_beyond_the_third_page),
	TEST(wrong_sizes_are_unknown),
};

TEST_MAIN("abi_vcpu", tests)
