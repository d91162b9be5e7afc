// SPDX-License-Identifier: GPL-2.0-only
/*
 * Saving a VM, restoring it, comparing: see snapshot.h. It knows nothing of the guest but where the
 * library puts its memory.
 */
#include "snapshot.h"

/* Every MSR of the index list but the two that go with the time, which are set apart. */
static void list_msrs(struct msr_list *m)
{
	static struct {
		struct kvm_msr_list head;
		uint32_t index[MAX_MSRS];
	} list = { .head.nmsrs = MAX_MSRS };
	static bool listed;
	int fd;

	if (!listed) {
		fd = dev_open();
		must(ioctl(fd, KVM_GET_MSR_INDEX_LIST, &list));
		close(fd);
		listed = true;
	}
	memset(m, 0, sizeof(*m));
	for (uint32_t i = 0; i < list.head.nmsrs; i++)
		if (list.index[i] != MSR_TSC && list.index[i] != MSR_TSC_DEADLINE)
			m->entry[m->head.nmsrs++].index = list.index[i];
}

static void get_msrs(struct vcpu *v, struct msr_list *m)
{
	assert_int_equal(must(ioctl(v->fd, KVM_GET_MSRS, m)), m->head.nmsrs);
}

static void save_vcpu(struct vcpu *v, struct saved_vcpu *s)
{
	must(ioctl(v->fd, KVM_GET_MP_STATE, &s->mp)); /* first: it settles INIT and SIPI */
	must(ioctl(v->fd, KVM_GET_REGS, &s->regs));
	must(ioctl(v->fd, KVM_GET_SREGS, &s->sregs));
	must(ioctl(v->fd, KVM_GET_XSAVE, &s->xsave));
	must(ioctl(v->fd, KVM_GET_XCRS, &s->xcrs));
	must(ioctl(v->fd, KVM_GET_DEBUGREGS, &s->debugregs));
	must(ioctl(v->fd, KVM_GET_LAPIC, &s->lapic));
	must(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &s->events));
	list_msrs(&s->msrs);
	get_msrs(v, &s->msrs);
	s->tsc = (struct msr_list){ .head.nmsrs = 1, .entry[0].index = MSR_TSC };
	get_msrs(v, &s->tsc);
	s->deadline = (struct msr_list){ .head.nmsrs = 1, .entry[0].index = MSR_TSC_DEADLINE };
	get_msrs(v, &s->deadline);
}

void save_vm(struct vm *vm, struct saved_vm *s)
{
	memset(s, 0, sizeof(*s));
	s->nr_vcpus = vm->nr_vcpus;
	for (int i = 0; i < vm->nr_vcpus; i++)
		save_vcpu(vm->vcpu[i], &s->vcpu[i]);
	for (uint32_t i = 0; i < 3; i++) {
		s->chip[i].chip_id = i;
		must(ioctl(vm->fd, KVM_GET_IRQCHIP, &s->chip[i]));
	}
	must(ioctl(vm->fd, KVM_GET_PIT2, &s->pit));
	must(ioctl(vm->fd, KVM_GET_CLOCK, &s->clock));
}

const char *const call_name[NR_CALLS] = {
	"SREGS", "REGS", "XSAVE",        "XCRS", "DEBUGREGS", "LAPIC",  "EVENTS", "MP_STATE",
	"MSRS",  "TSC",  "TSC_DEADLINE", "PIC0", "PIC1",      "IOAPIC", "PIT2",   "CLOCK",
};

static int set_msrs(struct vcpu *v, struct msr_list *m)
{
	int n = ioctl(v->fd, KVM_SET_MSRS, m);

	return n == (int)m->head.nmsrs ? 0 : -1;
}

static int set_one(struct vcpu *v, struct saved_vcpu *s, enum call call)
{
	switch (call) {
	case SET_SREGS:
		return ioctl(v->fd, KVM_SET_SREGS, &s->sregs);
	case SET_REGS:
		return ioctl(v->fd, KVM_SET_REGS, &s->regs);
	case SET_XSAVE:
		return ioctl(v->fd, KVM_SET_XSAVE, &s->xsave);
	case SET_XCRS:
		return ioctl(v->fd, KVM_SET_XCRS, &s->xcrs);
	case SET_DEBUGREGS:
		return ioctl(v->fd, KVM_SET_DEBUGREGS, &s->debugregs);
	case SET_LAPIC:
		return ioctl(v->fd, KVM_SET_LAPIC, &s->lapic);
	case SET_EVENTS:
		return ioctl(v->fd, KVM_SET_VCPU_EVENTS, &s->events);
	case SET_MP:
		return ioctl(v->fd, KVM_SET_MP_STATE, &s->mp);
	case SET_MSRS:
		return set_msrs(v, &s->msrs);
	case SET_TSC:
		return set_msrs(v, &s->tsc);
	default:
		return set_msrs(v, &s->deadline);
	}
}

void restore_call(struct vm *vm, struct saved_vm *s, enum call call)
{
	int ret = 0;

	s->clock.flags = 0;
	if (call == SET_PIT)
		ret = ioctl(vm->fd, KVM_SET_PIT2, &s->pit);
	else if (call == SET_CLOCK)
		ret = ioctl(vm->fd, KVM_SET_CLOCK, &s->clock);
	else if (call >= SET_CHIP)
		ret = ioctl(vm->fd, KVM_SET_IRQCHIP, &s->chip[call - SET_CHIP]);
	else
		for (int i = 0; !ret && i < s->nr_vcpus; i++)
			ret = set_one(vm->vcpu[i], &s->vcpu[i], call);
	if (ret)
		fail_msg("setting %s: %s", call_name[call], strerror(errno));
}

/* --- VMs --- */

extern char __data_start[], _end[];

static void copy_range(struct vm *to, const struct vm *from, uintptr_t begin, uintptr_t end)
{
	memcpy(to->mem + begin, from->mem + begin, end - begin);
}

void copy_memory(struct vm *to, const struct vm *from)
{
	copy_range(to, from, 0, GUEST_BLOB + PAGE_SIZE);
	copy_range(to, from, GUEST_STACKS, GUEST_STACKS + MAX_VCPUS * GUEST_STACK_SIZE);
	copy_range(to, from, (uintptr_t)__data_start, (uintptr_t)_end);
}

struct vm *empty_machine(int nr_vcpus)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct vm *vm = vm_create_irqchip();

	must(ioctl(vm->fd, KVM_CREATE_PIT2, &pit));
	for (int i = 0; i < nr_vcpus; i++)
		vcpu_create(vm, (unsigned int)i)->report =
			(void *)(vm->mem + GUEST_STACKS + (size_t)i * GUEST_STACK_SIZE);
	return vm;
}

/* --- comparing --- */

/* What may differ from one moment to the next without anything having been done. */
static void forget_time(struct saved_vm *s)
{
	for (int i = 0; i < s->nr_vcpus; i++) {
		struct saved_vcpu *v = &s->vcpu[i];
		memset(v->lapic.regs + APIC_TMCCT, 0, 4);
		v->tsc.entry[0].data = 0;
	}
	for (int i = 0; i < 3; i++)
		s->pit.channels[i].count_load_time = 0;
	memset(&s->clock, 0, sizeof(s->clock));
}

static bool same(const char *what, const void *a, const void *b, size_t size)
{
	const uint8_t *x = a, *y = b;

	for (size_t i = 0; i < size; i++) {
		if (x[i] != y[i]) {
			print_message("# %s differs at byte %#zx: %#x, wanted %#x\n", what, i, x[i],
				      y[i]);
			return false;
		}
	}
	return true;
}

#define SAME(field) same(#field, &a->field, &b->field, sizeof(a->field))

bool same_registers(const struct saved_vcpu *a, const struct saved_vcpu *b)
{
	bool ok = SAME(regs);

	ok &= SAME(sregs);
	ok &= SAME(xsave);
	ok &= SAME(xcrs);
	ok &= SAME(debugregs);
	ok &= SAME(events);
	ok &= SAME(mp);
	ok &= SAME(msrs);
	return ok;
}

static bool same_vcpu(const struct saved_vcpu *a, const struct saved_vcpu *b)
{
	bool ok = same_registers(a, b);

	ok &= SAME(lapic);
	ok &= SAME(deadline);
	return ok;
}

bool same_vm(struct saved_vm *a, struct saved_vm *b)
{
	bool ok = true;

	forget_time(a);
	forget_time(b);
	for (int i = 0; i < a->nr_vcpus; i++)
		ok &= same_vcpu(&a->vcpu[i], &b->vcpu[i]);
	ok &= SAME(chip[0]);
	ok &= SAME(chip[1]);
	ok &= SAME(chip[2]);
	ok &= SAME(pit);
	return ok;
}
