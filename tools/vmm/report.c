/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the VMM tells its user about exits: names, the reason why a guest can't go on with its
 * registers, and the table of --stats. Reads vCPU state, changes nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm.h"

const char *exit_name(uint32_t reason)
{
	static const char *const names[EXIT_REASONS] = {
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
		[KVM_EXIT_NMI] = "NMI",
		[KVM_EXIT_INTERNAL_ERROR] = "INTERNAL_ERROR",
		[KVM_EXIT_SYSTEM_EVENT] = "SYSTEM_EVENT",
		[KVM_EXIT_IOAPIC_EOI] = "IOAPIC_EOI",
		[KVM_EXIT_X86_RDMSR] = "X86_RDMSR",
		[KVM_EXIT_X86_WRMSR] = "X86_WRMSR",
	};

	return reason < EXIT_REASONS && names[reason] ? names[reason] : "?";
}

static void print_segment(const char *name, const struct kvm_segment *s)
{
	fprintf(stderr,
		"  %-4s %04x base %016llx limit %08x type %x s%u dpl%u p%u avl%u l%u db%u g%u%s\n",
		name, s->selector, s->base, s->limit, s->type, s->s, s->dpl, s->present, s->avl,
		s->l, s->db, s->g, s->unusable ? " unusable" : "");
}

static void print_regs(struct vcpu *vcpu)
{
	struct kvm_regs r;
	struct kvm_sregs s;

	if (ioctl(vcpu->fd, KVM_GET_REGS, &r) < 0 || ioctl(vcpu->fd, KVM_GET_SREGS, &s) < 0) {
		msg("vCPU %u: registers can't be read: %s", vcpu->id, strerror(errno));
		return;
	}
	fprintf(stderr, "  rip %016llx rsp %016llx rfl %016llx\n", r.rip, r.rsp, r.rflags);
	fprintf(stderr, "  rax %016llx rbx %016llx rcx %016llx rdx %016llx\n", r.rax, r.rbx, r.rcx,
		r.rdx);
	fprintf(stderr, "  rsi %016llx rdi %016llx rbp %016llx\n", r.rsi, r.rdi, r.rbp);
	fprintf(stderr, "  r8  %016llx r9  %016llx r10 %016llx r11 %016llx\n", r.r8, r.r9, r.r10,
		r.r11);
	fprintf(stderr, "  r12 %016llx r13 %016llx r14 %016llx r15 %016llx\n", r.r12, r.r13, r.r14,
		r.r15);
	fprintf(stderr, "  cr0 %08llx cr2 %016llx cr3 %016llx cr4 %08llx cr8 %llx\n", s.cr0, s.cr2,
		s.cr3, s.cr4, s.cr8);
	fprintf(stderr, "  efer %llx apic_base %llx gdt %llx/%x idt %llx/%x\n", s.efer, s.apic_base,
		s.gdt.base, s.gdt.limit, s.idt.base, s.idt.limit);
	print_segment("cs", &s.cs);
	print_segment("ss", &s.ss);
	print_segment("ds", &s.ds);
	print_segment("es", &s.es);
	print_segment("fs", &s.fs);
	print_segment("gs", &s.gs);
	print_segment("ldt", &s.ldt);
	print_segment("tr", &s.tr);
}

static uint32_t lapic_reg(const struct kvm_lapic_state *lapic, unsigned int reg)
{
	uint32_t val;

	memcpy(&val, lapic->regs + reg, sizeof(val));
	return val;
}

/* The vectors of IRR, ISR or TMR: eight registers of 32 bits, 16 bytes apart. */
static void print_vectors(const char *name, const struct kvm_lapic_state *lapic, unsigned int base)
{
	fprintf(stderr, "  %s", name);
	for (unsigned int v = 0; v < 256; v++)
		if (lapic_reg(lapic, base + v / 32 * 0x10) & BIT(v % 32))
			fprintf(stderr, " %02x", v);
	fprintf(stderr, "\n");
}

static void print_lapic(struct vcpu *vcpu)
{
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp;

	if (ioctl(vcpu->fd, KVM_GET_LAPIC, &lapic) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_MP_STATE, &mp) < 0) {
		msg("vCPU %u: its APIC can't be read: %s", vcpu->id, strerror(errno));
		return;
	}
	fprintf(stderr,
		"  mp_state %u apic id %08x tpr %02x ppr %02x svr %03x lint0 %05x lint1 %05x\n",
		mp.mp_state, lapic_reg(&lapic, 0x20), lapic_reg(&lapic, 0x80),
		lapic_reg(&lapic, 0xa0), lapic_reg(&lapic, 0xf0), lapic_reg(&lapic, 0x350),
		lapic_reg(&lapic, 0x360));
	fprintf(stderr, "  timer lvt %05x initial %08x current %08x divide %x\n",
		lapic_reg(&lapic, 0x320), lapic_reg(&lapic, 0x380), lapic_reg(&lapic, 0x390),
		lapic_reg(&lapic, 0x3e0));
	print_vectors("irr", &lapic, 0x200);
	print_vectors("isr", &lapic, 0x100);
}

static void print_internal_error(const struct kvm_run *run)
{
	uint32_t n = run->internal.ndata;

	if (n > ARRAY_SIZE(run->internal.data))
		n = ARRAY_SIZE(run->internal.data);
	for (uint32_t i = 0; i < n; i++)
		fprintf(stderr, "  data[%u] %016llx\n", i, run->internal.data[i]);
}

void report_exit(struct vcpu *vcpu, const char *why)
{
	const struct kvm_run *run = vcpu->run;
	const char *name = exit_name(run->exit_reason);

	switch (run->exit_reason) {
	case KVM_EXIT_UNKNOWN:
		msg("vCPU %u: %s: KVM_EXIT_%s, hardware reason %llu", vcpu->id, why, name,
		    run->hw.hardware_exit_reason);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		msg("vCPU %u: %s: KVM_EXIT_%s, hardware reason %#llx on CPU %u", vcpu->id, why,
		    name, run->fail_entry.hardware_entry_failure_reason, run->fail_entry.cpu);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		msg("vCPU %u: %s: KVM_EXIT_%s, suberror %u", vcpu->id, why, name,
		    run->internal.suberror);
		print_internal_error(run);
		break;
	default:
		msg("vCPU %u: %s: KVM_EXIT_%s (%u)", vcpu->id, why, name, run->exit_reason);
	}
	print_regs(vcpu);
	print_lapic(vcpu);
}

static void report_bus(const char *title, const struct bus *bus)
{
	bool any = bus->unclaimed;

	for (unsigned int i = 0; i < bus->n; i++)
		any |= bus->range[i].accesses;
	if (any)
		fprintf(stderr, "%s accesses served in userspace\n", title);
	for (unsigned int i = 0; i < bus->n; i++)
		if (bus->range[i].accesses)
			fprintf(stderr, "  %-20s %10lu\n", bus->range[i].name,
				bus->range[i].accesses);
	if (bus->unclaimed)
		fprintf(stderr, "  %-20s %10lu\n", "no device", bus->unclaimed);
}

void report_stats(struct vm *vm)
{
	fprintf(stderr, "exits to userspace, by vCPU\n");
	for (uint32_t reason = 0; reason < EXIT_REASONS; reason++) {
		uint64_t total = 0;

		for (unsigned int i = 0; i < vm->ncpus; i++)
			total += vm->vcpus[i].exits[reason];
		if (!total)
			continue;
		fprintf(stderr, "  %-20s %10lu =", exit_name(reason), total);
		for (unsigned int i = 0; i < vm->ncpus; i++)
			fprintf(stderr, " %lu", vm->vcpus[i].exits[reason]);
		fprintf(stderr, "\n");
	}
	report_bus("port", &vm->pio);
	report_bus("memory", &vm->mmio);
}
