// SPDX-License-Identifier: GPL-2.0-only
/*
 * Initial vCPU states: real mode, flat protected mode, and 64-bit mode with page tables, GDT, IDT
 * and TSS in guest RAM (the layout is in guest.h). Sources: SDM "Mode Switching",
 * "4-Level Paging", "Segment Descriptor Tables in IA-32e Mode".
 */
#include "lib.h"

#define PTE_P          (1UL << 0)
#define PTE_W          (1UL << 1)
#define PTE_U          (1UL << 2)
#define PTE_PS         (1UL << 7)
#define PTE_NX         (1UL << 63)

#define CR0_PE         (1UL << 0)
#define CR0_MP         (1UL << 1)
#define CR0_ET         (1UL << 4)
#define CR0_NE         (1UL << 5)
#define CR0_WP         (1UL << 16)
#define CR0_PG         (1UL << 31)
#define CR4_PAE        (1UL << 5)
#define CR4_OSFXSR     (1UL << 9)
#define CR4_OSXMMEXCPT (1UL << 10)
#define CR4_OSXSAVE    (1UL << 18)
#define EFER_SCE       (1UL << 0)
#define EFER_LME       (1UL << 8)
#define EFER_LMA       (1UL << 10)
#define EFER_NXE       (1UL << 11)

static void *guest_memory(struct vm *vm, uint64_t gpa)
{
	return vm->mem + gpa;
}

/* 4 GiB one to one by 2 MiB pages; above, a read-only and a no-execute alias of GUEST_FREE. */
static void build_page_tables(struct vm *vm)
{
	uint64_t *pml4 = guest_memory(vm, GUEST_PML4);
	uint64_t *pdpt = guest_memory(vm, GUEST_PDPT);
	uint64_t *pd = guest_memory(vm, GUEST_PD);
	uint64_t *alias = guest_memory(vm, GUEST_PD_ALIAS);

	pml4[0] = GUEST_PDPT | PTE_P | PTE_W | PTE_U;
	for (uint64_t i = 0; i < 4; i++)
		pdpt[i] = (GUEST_PD + i * PAGE_SIZE) | PTE_P | PTE_W | PTE_U;
	for (uint64_t i = 0; i < 4 * 512; i++)
		pd[i] = i * 2 * MiB | PTE_P | PTE_W | PTE_PS;
	pdpt[4] = GUEST_PD_ALIAS | PTE_P | PTE_W | PTE_U;
	alias[0] = GUEST_FREE | PTE_P | PTE_PS;
	alias[1] = GUEST_FREE | PTE_P | PTE_W | PTE_PS | PTE_NX;
}

static void build_descriptor_tables(struct vm *vm)
{
	uint64_t *gdt = guest_memory(vm, GUEST_GDT);
	uint64_t *idt = guest_memory(vm, GUEST_IDT);

	gdt[GUEST_CS / 8] = 0x00af9b000000ffffUL; /* 64-bit code */
	gdt[GUEST_DS / 8] = 0x00cf93000000ffffUL;
	gdt[GUEST_TR / 8] = 0x00008b0000000067UL | (uint64_t)GUEST_TSS << 16;
	gdt[GUEST_TR / 8 + 1] = 0;
	for (unsigned int i = 0; i < 256; i++) {
		uint64_t stub = (uintptr_t)guest_stubs + 16 * i;

		idt[2 * i] = (stub & 0xffff) | GUEST_CS << 16 | 0x8eUL << 40 |
			     (stub >> 16 & 0xffff) << 48;
		idt[2 * i + 1] = stub >> 32;
	}
}

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type)
{
	struct kvm_segment s = {
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.g = 1,
		.db = 1,
	};

	return s;
}

static void set_data_segments(struct kvm_sregs *s, struct kvm_segment data)
{
	s->ds = s->es = s->fs = s->gs = s->ss = data;
}

static void set_system_segments(struct kvm_sregs *s)
{
	s->tr = (struct kvm_segment){
		.base = GUEST_TSS,
		.limit = 0x67,
		.selector = GUEST_TR,
		.type = 0xb,
		.present = 1,
	};
	s->ldt = (struct kvm_segment){ .unusable = 1 };
}

static void make_runnable(struct vcpu *vcpu)
{
	struct kvm_mp_state state = { .mp_state = KVM_MP_STATE_RUNNABLE };

	if (vcpu->vm->irqchip)
		must(ioctl(vcpu->fd, KVM_SET_MP_STATE, &state));
}

static void set_regs(struct vcpu *vcpu, uint64_t rip, uint64_t rsp, uint64_t rdi)
{
	struct kvm_regs regs = { .rip = rip, .rsp = rsp, .rdi = rdi, .rflags = 2 };

	must(ioctl(vcpu->fd, KVM_SET_REGS, &regs));
	make_runnable(vcpu);
}

void vcpu_long_mode(struct vcpu *vcpu, void (*fn)(uint64_t), uint64_t arg)
{
	struct vm *vm = vcpu->vm;
	uint64_t bottom = GUEST_STACKS + vcpu->id * GUEST_STACK_SIZE;
	uint64_t rsp = bottom + GUEST_STACK_SIZE - 72; /* as if called: SysV ABI alignment */
	struct kvm_sregs s;

	build_page_tables(vm);
	build_descriptor_tables(vm);
	must(ioctl(vcpu->fd, KVM_GET_SREGS, &s));
	s.cs = flat_segment(GUEST_CS, 0xb);
	s.cs.l = 1;
	s.cs.db = 0;
	set_data_segments(&s, flat_segment(GUEST_DS, 3));
	set_system_segments(&s);
	s.gdt = (struct kvm_dtable){ .base = GUEST_GDT, .limit = GUEST_TR + 15 };
	s.idt = (struct kvm_dtable){ .base = GUEST_IDT, .limit = 0xfff };
	s.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	s.cr3 = GUEST_PML4;
	s.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	s.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
	must(ioctl(vcpu->fd, KVM_SET_SREGS, &s));

	vcpu->report = guest_memory(vm, bottom);
	memset(vcpu->report, 0, sizeof(*vcpu->report));
	*(uint64_t *)guest_memory(vm, rsp) = (uintptr_t)guest_exit;
	set_regs(vcpu, (uintptr_t)fn, rsp, arg);
}

void vcpu_protected_mode(struct vcpu *vcpu, uint64_t gpa, const void *code, size_t size)
{
	struct kvm_sregs s;

	memcpy(guest_memory(vcpu->vm, gpa), code, size);
	build_descriptor_tables(vcpu->vm);
	must(ioctl(vcpu->fd, KVM_GET_SREGS, &s));
	s.cs = flat_segment(GUEST_CS, 0xb);
	set_data_segments(&s, flat_segment(GUEST_DS, 3));
	set_system_segments(&s);
	s.cr0 = CR0_PE | CR0_ET | CR0_NE;
	must(ioctl(vcpu->fd, KVM_SET_SREGS, &s));
	set_regs(vcpu, gpa, gpa, 0);
}

void vcpu_real_mode(struct vcpu *vcpu, uint16_t gpa, const void *code, size_t size)
{
	struct kvm_sregs s;

	memcpy(guest_memory(vcpu->vm, gpa), code, size);
	must(ioctl(vcpu->fd, KVM_GET_SREGS, &s));
	s.cs.selector = 0;
	s.cs.base = 0;
	must(ioctl(vcpu->fd, KVM_SET_SREGS, &s));
	set_regs(vcpu, gpa, gpa, 0);
}
