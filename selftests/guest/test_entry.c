// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest states that the processor refuses to enter. Each is refused by KVM_SET_SREGS, or the run
 * ends in FAIL_ENTRY with the hardware's reason (or, on the peer, in an emulator's error); the vCPU
 * then still takes a good state and runs. Source: SDM "Checks on the Guest State Area".
 * The lab reports failed VM entries of its own: it must be told to expect them (--allow entry).
 */
#include "kvmtest.h"

static void payload(uint64_t arg)
{
	guest_sync(arg);
}

struct bad_state {
	const char *what;
	void (*make)(struct kvm_sregs *s);
};

static void tr_unusable(struct kvm_sregs *s)
{
	s->tr.unusable = 1;
}

static void tr_available(struct kvm_sregs *s)
{
	s->tr.type = 9;
}

static void tr_limit(struct kvm_sregs *s)
{
	s->tr.limit = 0x100000; /* needs page granularity */
}

static void cs_data(struct kvm_sregs *s)
{
	s->cs.type = 1;
}

static void cs_long_and_32(struct kvm_sregs *s)
{
	s->cs.l = 1;
	s->cs.db = 1;
}

static void cs_absent(struct kvm_sregs *s)
{
	s->cs.present = 0;
}

static void ss_dpl(struct kvm_sregs *s)
{
	s->ss.dpl = 3;
}

static void ss_code(struct kvm_sregs *s)
{
	s->ss.type = 0xb;
}

static void ldt_type(struct kvm_sregs *s)
{
	s->ldt = (struct kvm_segment){ .present = 1, .type = 11, .limit = 0xffff };
}

static void fs_not_canonical(struct kvm_sregs *s)
{
	s->fs.base = 0x8000000000000000UL;
}

static void gdt_not_canonical(struct kvm_sregs *s)
{
	s->gdt.base = 0x0800000000000000UL;
}

static void cr3_too_wide(struct kvm_sregs *s)
{
	s->cr3 = 1UL << 60;
}

static void cr0_pg_without_pe(struct kvm_sregs *s)
{
	s->cr0 &= ~1UL;
}

static void lma_without_pae(struct kvm_sregs *s)
{
	s->cr4 &= ~(1UL << 5);
}

static const struct bad_state states[] = {
	{ "TR unusable", tr_unusable },
	{ "TR not busy", tr_available },
	{ "TR limit", tr_limit },
	{ "CS a data segment", cs_data },
	{ "CS 64-bit and 32-bit", cs_long_and_32 },
	{ "CS not present", cs_absent },
	{ "SS of another privilege level", ss_dpl },
	{ "SS a code segment", ss_code },
	{ "LDTR not an LDT", ldt_type },
	{ "FS base not canonical", fs_not_canonical },
	{ "GDTR base not canonical", gdt_not_canonical },
	{ "CR3 beyond the address width", cr3_too_wide },
	{ "paging without protection", cr0_pg_without_pe },
	{ "long mode without PAE", lma_without_pae },
};

static unsigned int failed_entries;

static void try_state(const struct bad_state *bad)
{
	struct vcpu *v = guest_new(payload, 3);
	struct kvm_sregs good, s;
	uint32_t reason;

	must(ioctl(v->fd, KVM_GET_SREGS, &good));
	s = good;
	bad->make(&s);
	if (ioctl(v->fd, KVM_SET_SREGS, &s)) {
		assert_int_equal(errno, EINVAL);
	} else {
		reason = vcpu_run(v);
		if (reason == KVM_EXIT_FAIL_ENTRY) {
			failed_entries++;
			assert_int_equal(v->run->fail_entry.hardware_entry_failure_reason &
						 0x8000ffff,
					 0x80000021); /* entry failure, invalid guest state */
		} else if (reason != KVM_EXIT_INTERNAL_ERROR && reason != KVM_EXIT_SHUTDOWN) {
			fail_msg("%s: exit %s", bad->what, exit_name(reason));
		}
		must(ioctl(v->fd, KVM_SET_SREGS, &good));
	}
	vcpu_long_mode(v, payload, 3);
	expect_sync(v, 3);
	expect_done(v);
	vm_free(v->vm);
}

static void impossible_states(void **state)
{
	(void)state;
	failed_entries = 0;
	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		try_state(&states[i]);
	print_message("# %u of %zu reached the processor\n", failed_entries, ARRAY_SIZE(states));
}

/* RFLAGS that no guest can have: cut to what is possible, or refused. */
static void impossible_flags(void **state)
{
	struct vcpu *v = guest_new(payload, 4);
	struct kvm_regs r = vcpu_regs(v);

	(void)state;
	r.rflags = 0; /* bit 1 is always one */
	must(ioctl(v->fd, KVM_SET_REGS, &r));
	expect_sync(v, 4);
	assert_int_equal(vcpu_regs(v).rflags & 2, 2);
}

static const struct CMUnitTest tests[] = {
	TEST(impossible_states),
	TEST(impossible_flags),
};

TEST_MAIN("guest_entry", tests)
