// SPDX-License-Identifier: GPL-2.0-only
/*
 * Running a vCPU until its guest says something: on the test's own thread, where a surprise fails
 * the test at once, or on a thread per vCPU, where it is recorded and fails the test at the join.
 */
#include <sys/syscall.h>
#include "lib.h"

#define CPUID_1_ECX_TSC_DEADLINE (1u << 24)

const char *exit_name(uint32_t reason)
{
	static const char *const names[] = {
		[KVM_EXIT_UNKNOWN] = "UNKNOWN",
		[KVM_EXIT_EXCEPTION] = "EXCEPTION",
		[KVM_EXIT_IO] = "IO",
		[KVM_EXIT_HYPERCALL] = "HYPERCALL",
		[KVM_EXIT_DEBUG] = "DEBUG",
		[KVM_EXIT_HLT] = "HLT",
		[KVM_EXIT_MMIO] = "MMIO",
		[KVM_EXIT_IRQ_WINDOW_OPEN] = "IRQ_WINDOW_OPEN",
		[KVM_EXIT_SHUTDOWN] = "SHUTDOWN",
		[KVM_EXIT_FAIL_ENTRY] = "FAIL_ENTRY",
		[KVM_EXIT_INTR] = "INTR",
		[KVM_EXIT_SET_TPR] = "SET_TPR",
		[KVM_EXIT_TPR_ACCESS] = "TPR_ACCESS",
		[KVM_EXIT_IOAPIC_EOI] = "IOAPIC_EOI",
		[KVM_EXIT_INTERNAL_ERROR] = "INTERNAL_ERROR",
	};

	return reason < ARRAY_SIZE(names) && names[reason] ? names[reason] : "other";
}

struct vcpu *vcpu_create_bare(struct vm *vm, unsigned int id)
{
	int dev = dev_open();
	int size = ioctl(dev, KVM_GET_VCPU_MMAP_SIZE);
	struct vcpu *v;
	int fd;

	close(dev);
	assert_true(vm->nr_vcpus < MAX_VCPUS);
	assert_true(size >= (int)sizeof(struct kvm_run));
	fd = must(ioctl(vm->fd, KVM_CREATE_VCPU, id));
	v = calloc(1, sizeof(*v));
	assert_non_null(v);
	v->vm = vm;
	v->id = id;
	v->fd = fd;
	vm->vcpu[vm->nr_vcpus++] = v;
	v->run_size = (size_t)size;
	v->run = mmap(NULL, v->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED) {
		v->run = NULL;
		fail_msg("mmap of the vCPU: %s", strerror(errno));
	}
	return v;
}

void vcpu_set_supported_cpuid(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 100 * sizeof(cpuid->entries[0]));
	int dev = dev_open();

	assert_non_null(cpuid);
	cpuid->nent = 100;
	must(ioctl(dev, KVM_GET_SUPPORTED_CPUID, cpuid));
	/* KVM leaves it to a capability, since it takes a LAPIC in the kernel. */
	if (ioctl(dev, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0 && vcpu->vm->irqchip)
		for (uint32_t i = 0; i < cpuid->nent; i++)
			if (cpuid->entries[i].function == 1)
				cpuid->entries[i].ecx |= CPUID_1_ECX_TSC_DEADLINE;
	close(dev);
	must(ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid));
	free(cpuid);
}

struct vcpu *vcpu_create(struct vm *vm, unsigned int id)
{
	struct vcpu *v = vcpu_create_bare(vm, id);

	vcpu_set_supported_cpuid(v);
	return v;
}

struct vcpu *guest_new(void (*fn)(uint64_t), uint64_t arg)
{
	struct vcpu *v = vcpu_create(vm_create(), 0);

	vcpu_long_mode(v, fn, arg);
	return v;
}

struct vcpu *guest_new_irqchip(void (*fn)(uint64_t), uint64_t arg)
{
	struct vcpu *v = vcpu_create(vm_create_irqchip(), 0);

	vcpu_long_mode(v, fn, arg);
	return v;
}

struct one_msr {
	struct kvm_msrs head;
	struct kvm_msr_entry entry;
};

uint64_t vcpu_get_msr(struct vcpu *vcpu, uint32_t msr)
{
	struct one_msr m = { .head.nmsrs = 1, .entry.index = msr };

	assert_int_equal(must(ioctl(vcpu->fd, KVM_GET_MSRS, &m)), 1);
	return m.entry.data;
}

int vcpu_set_msr(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	struct one_msr m = { .head.nmsrs = 1, .entry = { .index = msr, .data = value } };

	return must(ioctl(vcpu->fd, KVM_SET_MSRS, &m));
}

struct kvm_regs vcpu_regs(struct vcpu *vcpu)
{
	struct kvm_regs regs;

	must(ioctl(vcpu->fd, KVM_GET_REGS, &regs));
	return regs;
}

int vcpu_run_raw(struct vcpu *vcpu)
{
	return ioctl(vcpu->fd, KVM_RUN, 0) ? -errno : 0;
}

uint32_t vcpu_run(struct vcpu *vcpu)
{
	int ret = vcpu_run_raw(vcpu);

	if (test_timed_out) {
		struct kvm_regs regs;

		if (ioctl(vcpu->fd, KVM_GET_REGS, &regs))
			memset(&regs, 0, sizeof(regs));
		fail_msg("time is up; guest at rip %#llx, rflags %#llx", regs.rip, regs.rflags);
	}
	if (ret)
		fail_msg("KVM_RUN: %s", strerror(-ret));
	return vcpu->run->exit_reason;
}

static bool is_report(const struct kvm_run *run)
{
	return run->exit_reason == KVM_EXIT_IO && run->io.port == REPORT_PORT &&
	       run->io.direction == KVM_EXIT_IO_OUT && run->io.size == 4;
}

/* Says in @text what went wrong; false if nothing did. */
static bool describe_failure(struct vcpu *vcpu, char *text, size_t size)
{
	const struct guest_report *r = vcpu->report;
	const struct kvm_run *run = vcpu->run;

	if (!r || !is_report(run)) {
		struct kvm_regs regs = { 0 };

		if (ioctl(vcpu->fd, KVM_GET_REGS, &regs))
			regs.rip = 0;
		snprintf(text, size,
			 "vCPU %u: unexpected exit %u (%s) at rip %#llx, details %#llx %#llx",
			 vcpu->id, run->exit_reason, exit_name(run->exit_reason), regs.rip,
			 run->hw.hardware_exit_reason, ((const __u64 *)&run->hw)[1]);
	} else if (r->kind == REPORT_FAIL) {
		snprintf(text, size, "guest, %s:%lu: %s (%#lx, %#lx)", (const char *)r->value[0],
			 (unsigned long)r->value[1], (const char *)r->value[2],
			 (unsigned long)r->value[3], (unsigned long)r->value[4]);
	} else if (r->kind == REPORT_EXCEPTION) {
		snprintf(text, size,
			 "guest: vector %lu, error %#lx at rip %#lx, cr2 %#lx, rsp %#lx",
			 (unsigned long)r->value[0], (unsigned long)r->value[1],
			 (unsigned long)r->value[2], (unsigned long)r->value[3],
			 (unsigned long)r->value[4]);
	} else {
		return false;
	}
	return true;
}

struct guest_report *vcpu_last_report(struct vcpu *vcpu)
{
	char text[256];

	if (describe_failure(vcpu, text, sizeof(text)))
		fail_msg("%s", text);
	return vcpu->report;
}

struct guest_report *vcpu_run_to_report(struct vcpu *vcpu)
{
	vcpu_run(vcpu);
	return vcpu_last_report(vcpu);
}

struct guest_report *expect_sync(struct vcpu *vcpu, uint64_t n)
{
	struct guest_report *r = vcpu_run_to_report(vcpu);

	if (r->kind != REPORT_SYNC || r->value[0] != n)
		fail_msg("guest report %lu(%lu), wanted sync %lu", (unsigned long)r->kind,
			 (unsigned long)r->value[0], (unsigned long)n);
	return r;
}

void expect_done(struct vcpu *vcpu)
{
	struct guest_report *r = vcpu_run_to_report(vcpu);

	if (r->kind != REPORT_DONE)
		fail_msg("guest report %lu(%lu), wanted its end", (unsigned long)r->kind,
			 (unsigned long)r->value[0]);
}

void expect_exit(struct vcpu *vcpu, uint32_t reason)
{
	char text[256] = "";

	if (vcpu_run(vcpu) == reason)
		return;
	if (!vcpu->report || !describe_failure(vcpu, text, sizeof(text)))
		snprintf(text, sizeof(text), "exit %u (%s)", vcpu->run->exit_reason,
			 exit_name(vcpu->run->exit_reason));
	fail_msg("wanted exit %s: %s", exit_name(reason), text);
}

void *expect_pio(struct vcpu *vcpu, int direction, uint16_t port, uint8_t size, uint32_t count)
{
	struct kvm_run *run = vcpu->run;

	expect_exit(vcpu, KVM_EXIT_IO);
	if (run->io.direction != direction || run->io.port != port || run->io.size != size ||
	    run->io.count != count)
		fail_msg("I/O: %s port %#x, size %u, count %u; wanted %s %#x, %u, %u",
			 run->io.direction ? "out" : "in", run->io.port, run->io.size,
			 run->io.count, direction ? "out" : "in", port, size, count);
	return (uint8_t *)run + run->io.data_offset;
}

void *expect_mmio(struct vcpu *vcpu, bool write, uint64_t gpa, uint32_t len)
{
	struct kvm_run *run = vcpu->run;

	expect_exit(vcpu, KVM_EXIT_MMIO);
	if (run->mmio.is_write != write || run->mmio.phys_addr != gpa || run->mmio.len != len)
		fail_msg("MMIO: %s %#llx, %u bytes; wanted %s %#lx, %u",
			 run->mmio.is_write ? "write" : "read", run->mmio.phys_addr, run->mmio.len,
			 write ? "write" : "read", (unsigned long)gpa, len);
	return run->mmio.data;
}

/* --- a vCPU with a thread of its own --- */

static void *vcpu_thread(void *arg)
{
	struct vcpu *v = arg;

	while (!v->stop) {
		int ret = vcpu_run_raw(v);

		/* an AP that was woken from UNINITIALIZED comes back with EAGAIN */
		if (ret == -EINTR || ret == -EAGAIN)
			continue;
		if (ret) {
			snprintf(v->error, sizeof(v->error), "vCPU %u: KVM_RUN: %s", v->id,
				 strerror(-ret));
			break;
		}
		if (describe_failure(v, v->error, sizeof(v->error)))
			break;
		if (v->report->kind == REPORT_DONE) {
			v->finished = true;
			break;
		}
		v->synced = v->report->value[0];
	}
	return NULL;
}

void vcpu_start(struct vcpu *vcpu)
{
	vcpu->stop = false;
	vcpu->finished = false;
	vcpu->error[0] = 0;
	vcpu->run->immediate_exit = 0;
	if (pthread_create(&vcpu->thread, NULL, vcpu_thread, vcpu))
		fail_msg("pthread_create: %s", strerror(errno));
	vcpu->threaded = true;
}

static void collect(struct vcpu *vcpu)
{
	pthread_join(vcpu->thread, NULL);
	vcpu->threaded = false;
	vcpu->run->immediate_exit = 0;
	if (test_timed_out)
		fail_msg("time is up; vCPU %u at rip %#llx", vcpu->id, vcpu_regs(vcpu).rip);
	if (vcpu->error[0])
		fail_msg("%s", vcpu->error);
}

void vcpu_join(struct vcpu *vcpu)
{
	collect(vcpu);
	if (!vcpu->finished)
		fail_msg("vCPU %u stopped before its end", vcpu->id);
}

void vcpu_stop(struct vcpu *vcpu)
{
	vcpu->stop = true;
	vcpu->run->immediate_exit = 1;
	pthread_kill(vcpu->thread, SIGUSR1);
	collect(vcpu);
}

void vcpu_wait_sync(struct vcpu *vcpu, uint64_t n)
{
	while (vcpu->synced != n) {
		if (vcpu->error[0] || vcpu->finished || test_timed_out)
			vcpu_stop(vcpu);
		if (vcpu->finished)
			fail_msg("vCPU %u ended before sync %lu", vcpu->id, (unsigned long)n);
		sched_yield();
	}
}
