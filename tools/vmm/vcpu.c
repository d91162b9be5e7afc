/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vCPU file descriptors and their threads: initial state, the run loop, and the exits that it
 * serves. The boot processor starts in 64-bit mode at the kernel's entry point; the others wait
 * for INIT and SIPI inside KVM_RUN, where the in-kernel APIC wakes them.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <asm/processor-flags.h>

#include "vmm.h"

#define EFER_LME          BIT(8)
#define EFER_LMA          BIT(10)

#define MSR_MISC_ENABLE   0x1a0
#define MISC_FAST_STRING  1
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MTRR_ENABLE_WB    0x806 /* MTRRs on, default write-back */

#define LAPIC_LVT_LINT0   0x350
#define LAPIC_LVT_LINT1   0x360
#define LVT_EXTINT        0x700
#define LVT_NMI           0x400
#define LVT_MASKED        0x10000

#define KICK_SIGNAL       SIGUSR1

/* Selectors of the GDT that boot.c writes, as the 64-bit boot protocol names them. */
#define BOOT_CS           0x10
#define BOOT_DS           0x18

static _Thread_local struct kvm_run *this_run;

/* A kick can hit before, in or after KVM_RUN: immediate_exit closes the gap before it. */
static void on_kick(int sig)
{
	(void)sig;
	if (this_run)
		this_run->immediate_exit = 1;
}

static void vcpu_ioctl(struct vcpu *vcpu, unsigned long cmd, const char *name, void *arg)
{
	if (ioctl(vcpu->fd, cmd, arg) < 0)
		die("vCPU %u: %s: %s", vcpu->id, name, strerror(errno));
}

#define VCPU_IOCTL(vcpu, cmd, arg) vcpu_ioctl(vcpu, cmd, #cmd, arg)

static void set_msr(struct vcpu *vcpu, uint32_t index, uint64_t val)
{
	struct kvm_msrs *msrs = xcalloc(1, sizeof(*msrs) + sizeof(msrs->entries[0]));
	int n;

	msrs->nmsrs = 1;
	msrs->entries[0].index = index;
	msrs->entries[0].data = val;
	n = ioctl(vcpu->fd, KVM_SET_MSRS, msrs);
	/* The result is the number of MSRs set: 0, not an error, for one that isn't there. */
	if (n != 1)
		die("vCPU %u: MSR %#x can't be set: %s", vcpu->id, index,
		    n < 0 ? strerror(errno) : "there is none");
	free(msrs);
}

static void lapic_write(struct kvm_lapic_state *lapic, unsigned int reg, uint32_t val)
{
	memcpy(lapic->regs + reg, &val, sizeof(val));
}

/* What firmware leaves behind: PIC wired to the boot processor's LINT0, NMI to every LINT1. */
static void set_lapic(struct vcpu *vcpu)
{
	struct kvm_lapic_state lapic;

	VCPU_IOCTL(vcpu, KVM_GET_LAPIC, &lapic);
	lapic_write(&lapic, LAPIC_LVT_LINT0, vcpu->id ? LVT_MASKED : LVT_EXTINT);
	lapic_write(&lapic, LAPIC_LVT_LINT1, LVT_NMI);
	VCPU_IOCTL(vcpu, KVM_SET_LAPIC, &lapic);
}

static void vcpu_create(struct vm *vm, unsigned int id)
{
	struct vcpu *vcpu = &vm->vcpus[id];
	int size = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);

	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, id);
	if (vcpu->fd < 0)
		die("KVM_CREATE_VCPU(%u): %s", id, strerror(errno));
	if (size < (int)sizeof(struct kvm_run))
		die("KVM_GET_VCPU_MMAP_SIZE: %s", size < 0 ? strerror(errno) : "too small");
	vcpu->run_size = size;
	vcpu->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED)
		die("mapping vCPU %u: %s", id, strerror(errno));
	cpuid_set(vcpu);
	set_msr(vcpu, MSR_MISC_ENABLE, MISC_FAST_STRING);
	set_msr(vcpu, MSR_MTRR_DEF_TYPE, MTRR_ENABLE_WB);
	set_lapic(vcpu);
}

void vcpus_create(struct vm *vm)
{
	vm->vcpus = xcalloc(vm->ncpus, sizeof(*vm->vcpus));
	for (unsigned int id = 0; id < vm->ncpus; id++)
		vcpu_create(vm, id);
}

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type, bool code64)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.g = 1,
		.l = code64,
		.db = !code64,
	};
}

void vcpu_set_boot_state(struct vcpu *vcpu, uint64_t rip)
{
	struct kvm_regs regs = {
		.rip = rip,
		.rsi = BOOT_PARAMS,
		.rsp = BOOT_PARAMS, /* scratch, growing down from there */
		.rflags = X86_EFLAGS_FIXED,
	};
	struct kvm_sregs sregs;

	VCPU_IOCTL(vcpu, KVM_GET_SREGS, &sregs);
	sregs.cs = flat_segment(BOOT_CS, 0xb, true);
	sregs.ds = sregs.es = sregs.ss = flat_segment(BOOT_DS, 0x3, false);
	sregs.fs = sregs.gs = sregs.ds;
	sregs.gdt.base = BOOT_GDT;
	sregs.gdt.limit = BOOT_GDT_SIZE - 1;
	sregs.idt.base = 0;
	sregs.idt.limit = 0; /* an exception before the kernel has an IDT ends the guest */
	sregs.cr3 = BOOT_PML4;
	sregs.cr4 = X86_CR4_PAE;
	sregs.cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_PG;
	sregs.efer = EFER_LME | EFER_LMA;
	VCPU_IOCTL(vcpu, KVM_SET_SREGS, &sregs);
	VCPU_IOCTL(vcpu, KVM_SET_REGS, &regs);
}

static void trace_io(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	if (run->exit_reason == KVM_EXIT_IO)
		msg("vCPU %u: %s port %#x size %u count %u", vcpu->id,
		    run->io.direction == KVM_EXIT_IO_OUT ? "out" : "in", run->io.port, run->io.size,
		    run->io.count);
	else if (run->exit_reason == KVM_EXIT_MMIO)
		msg("vCPU %u: %s %#llx size %u", vcpu->id, run->mmio.is_write ? "write" : "read",
		    run->mmio.phys_addr, run->mmio.len);
	else
		msg("vCPU %u: %s", vcpu->id, exit_name(run->exit_reason));
}

/* A string instruction arrives as several elements, to or from the same port. */
static void serve_io(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size)
		bus_access(&vcpu->vm->pio, run->io.port, data, run->io.size,
			   run->io.direction == KVM_EXIT_IO_OUT);
}

/* Serves one exit. Returns false when this vCPU is done. */
static bool serve_exit(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		serve_io(vcpu);
		return true;
	case KVM_EXIT_MMIO:
		bus_access(&vcpu->vm->mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len,
			   run->mmio.is_write);
		return true;
	case KVM_EXIT_INTR:
		return true;
	case KVM_EXIT_SHUTDOWN:
		report_exit(vcpu, "triple fault");
		vm_end(vcpu->vm, STATUS_TRIPLE_FAULT);
		return false;
	default:
		report_exit(vcpu, "unexpected exit");
		vm_end(vcpu->vm, STATUS_VCPU);
		return false;
	}
}

static bool vm_running(struct vm *vm)
{
	bool running;

	pthread_mutex_lock(&vm->end_lock);
	running = vm->status < 0;
	pthread_mutex_unlock(&vm->end_lock);
	return running;
}

static void *vcpu_thread(void *arg)
{
	struct vcpu *vcpu = arg;
	struct vm *vm = vcpu->vm;
	sigset_t kick;

	this_run = vcpu->run;
	sigemptyset(&kick);
	sigaddset(&kick, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
	while (vm_running(vm)) {
		uint32_t reason;

		if (__atomic_exchange_n(&vcpu->dump, false, __ATOMIC_RELAXED))
			report_exit(vcpu, "state asked for, last exit");
		if (ioctl(vcpu->fd, KVM_RUN, 0) < 0) {
			/* EINTR: kicked. EAGAIN: an AP was woken but has not been started yet. */
			if (errno == EINTR || errno == EAGAIN) {
				/* Before the conditions above are looked at again, not after. */
				__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
				continue;
			}
			report_exit(vcpu, strerror(errno));
			vm_end(vm, STATUS_VCPU);
			break;
		}
		reason = vcpu->run->exit_reason;
		vcpu->exits[reason < EXIT_REASONS ? reason : 0]++;
		if (vm->opt->trace_exits)
			trace_io(vcpu);
		if (!serve_exit(vcpu))
			break;
	}
	return NULL;
}

void vcpus_start(struct vm *vm)
{
	struct sigaction sa = { .sa_handler = on_kick };
	int err;

	/* No SA_RESTART: KVM_RUN has to return. */
	sigaction(KICK_SIGNAL, &sa, NULL);
	for (unsigned int i = 0; i < vm->ncpus; i++) {
		err = pthread_create(&vm->vcpus[i].thread, NULL, vcpu_thread, &vm->vcpus[i]);
		if (err)
			die("cannot start vCPU %u: %s", i, strerror(err));
		vm->vcpus[i].started = true;
	}
}

void vcpus_kick(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->ncpus; i++)
		if (vm->vcpus[i].started)
			pthread_kill(vm->vcpus[i].thread, KICK_SIGNAL);
}

void vcpus_dump(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->ncpus; i++)
		__atomic_store_n(&vm->vcpus[i].dump, true, __ATOMIC_RELAXED);
	vcpus_kick(vm);
}

void vcpus_join(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->ncpus; i++)
		if (vm->vcpus[i].started)
			pthread_join(vm->vcpus[i].thread, NULL);
}
