// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registers as a guest finds them: which writes to CR0, CR4, EFER, XCR0 and MSRs are #GP, what
 * follows from the others (CPUID bits, TSC and TSC_ADJUST), FPU state across KVM_RUN, and machine
 * checks that userspace injects. Sources: SDM "Control Registers", "Extended Control Registers
 * (Including XCR0)", "Model-Specific Registers (MSRs)", "Machine-Check Architecture".
 */
#include <sys/syscall.h>
#include "kvmtest.h"

#define UD               6
#define GP               13
#define MC               18

#define CR0_MP           (1UL << 1)
#define CR0_NW           (1UL << 29)
#define CR0_CD           (1UL << 30)
#define CR0_PG           (1UL << 31)
#define CR4_MCE          (1UL << 6)
#define CR4_VMXE         (1UL << 13)
#define CR4_SMXE         (1UL << 14)
#define CR4_PCIDE        (1UL << 17)
#define CR4_OSXSAVE      (1UL << 18)
#define EFER_SCE         (1UL << 0)
#define EFER_LME         (1UL << 8)
#define EFER_LMA         (1UL << 10)
#define EFER_NX          (1UL << 11)

#define MSR_TSC_ADJUST   0x3b
#define MSR_UCODE_REV    0x8b
#define MSR_MTRRCAP      0xfe
#define MSR_SYSENTER_CS  0x174
#define MSR_SYSENTER_ESP 0x175
#define MSR_MCG_CAP      0x179
#define MSR_MCG_STATUS   0x17a
#define MSR_MISC_ENABLE  0x1a0
#define MSR_MTRR_VAR0    0x200
#define MSR_PAT          0x277
#define MSR_MTRR_DEF     0x2ff
#define MSR_MC0_CTL      0x400
#define MSR_EFER         0xc0000080
#define MSR_STAR         0xc0000081
#define MSR_LSTAR        0xc0000082
#define MSR_FMASK        0xc0000084
#define MSR_KERNEL_GS    0xc0000102

#define NOT_CANONICAL    0x0001000000000000UL

/* --- one instruction that may fault; its operands are globals --- */

static uint32_t reg_index;
static uint64_t reg_value;

static void do_rdmsr(void)
{
	reg_value = rdmsr(reg_index);
}

static void do_wrmsr(void)
{
	wrmsr(reg_index, reg_value);
}

static void do_cr0(void)
{
	write_cr(0, reg_value);
}

static void do_cr4(void)
{
	write_cr(4, reg_value);
}

static void do_cr8(void)
{
	write_cr(8, reg_value);
}

static void do_xsetbv(void)
{
	asm volatile("xsetbv"
		     :
		     : "c"(reg_index), "a"((uint32_t)reg_value), "d"((uint32_t)(reg_value >> 32)));
}

static int try_write(void (*insn)(void), uint64_t v)
{
	reg_value = v;
	return guest_catch(insn, NULL);
}

static int try_wrmsr(uint32_t msr, uint64_t v)
{
	reg_index = msr;
	return try_write(do_wrmsr, v);
}

static int try_rdmsr(uint32_t msr)
{
	reg_index = msr;
	return guest_catch(do_rdmsr, NULL);
}

static bool cpuid_bit(uint32_t leaf, uint32_t sub, int reg, int bit)
{
	uint32_t r[4];

	guest_cpuid(leaf, sub, r);
	return r[reg] >> bit & 1;
}

/* --- control registers --- */

static void cr0_payload(uint64_t arg)
{
	uint64_t cr0 = read_cr(0);

	(void)arg;
	guest_assert_eq(try_write(do_cr0, cr0 | 1UL << 32), GP);
	guest_assert_eq(try_write(do_cr0, (cr0 | CR0_NW) & ~CR0_CD), GP);
	guest_assert_eq(try_write(do_cr0, cr0 & ~1UL), GP);    /* PG without PE */
	guest_assert_eq(try_write(do_cr0, cr0 & ~CR0_PG), GP); /* PG cannot go in 64-bit mode */
	guest_assert_eq(read_cr(0), cr0);
	write_cr(0, (cr0 | CR0_CD | CR0_NW) ^ CR0_MP);
	guest_assert_eq(read_cr(0), (cr0 | CR0_CD | CR0_NW) ^ CR0_MP);
	write_cr(0, cr0 | 1UL << 6); /* reserved in the low half: ignored */
	guest_assert_eq(read_cr(0), cr0);
}

static void cr0_writes(void **state)
{
	(void)state;
	expect_done(guest_new(cr0_payload, 0));
}

static void cr4_payload(uint64_t arg)
{
	uint64_t cr4 = read_cr(4), cr3 = read_cr(3);
	int bit;

	(void)arg;
	for (bit = 25; bit < 64; bit++)
		guest_assert_eq(try_write(do_cr4, cr4 | 1UL << bit), GP);
	if (!cpuid_bit(1, 0, 2, 5))
		guest_assert_eq(try_write(do_cr4, cr4 | CR4_VMXE), GP);
	if (!cpuid_bit(1, 0, 2, 6))
		guest_assert_eq(try_write(do_cr4, cr4 | CR4_SMXE), GP);
	guest_assert_eq(try_write(do_cr4, cr4 & ~(1UL << 5)), GP); /* PAE */
	guest_assert_eq(read_cr(4), cr4);
	if (cpuid_bit(1, 0, 2, 17)) {
		write_cr(3, cr3 | 5);
		guest_assert_eq(try_write(do_cr4, cr4 | CR4_PCIDE), GP); /* CR3[11:0] != 0 */
		write_cr(3, cr3);
		write_cr(4, cr4 | CR4_PCIDE);
		write_cr(3, cr3 | 5 | 1UL << 63); /* bit 63: keep translations; it reads 0 */
		guest_assert_eq(read_cr(3), cr3 | 5);
		guest_assert_eq(try_write(do_cr0, read_cr(0) & ~CR0_PG), GP);
		write_cr(3, cr3);
		write_cr(4, cr4);
	}
	if (cpuid_bit(1, 0, 2, 26)) {
		write_cr(4, cr4 & ~CR4_OSXSAVE);
		guest_assert(!cpuid_bit(1, 0, 2, 27));
		write_cr(4, cr4 | CR4_OSXSAVE);
		guest_assert(cpuid_bit(1, 0, 2, 27));
	}
}

static void cr4_writes(void **state)
{
	(void)state;
	expect_done(guest_new(cr4_payload, 0));
}

static void cr8_payload(uint64_t arg)
{
	(void)arg;
	write_cr(8, 15);
	guest_assert_eq(read_cr(8), 15);
	guest_assert_eq(try_write(do_cr8, 16), GP);
	guest_assert_eq(try_write(do_cr8, 1UL << 63), GP);
	guest_assert_eq(read_cr(8), 15);
	write_cr(8, 0);
}

static void cr8_writes(void **state)
{
	(void)state;
	expect_done(guest_new_irqchip(cr8_payload, 0));
}

static void efer_payload(uint64_t arg)
{
	uint64_t efer = rdmsr(MSR_EFER);

	(void)arg;
	guest_assert_eq(efer & (EFER_LME | EFER_LMA), EFER_LME | EFER_LMA);
	guest_assert_eq(try_wrmsr(MSR_EFER, efer & ~EFER_LME), GP); /* while paging */
	guest_assert_eq(try_wrmsr(MSR_EFER, efer | 1UL << 1), GP);
	guest_assert_eq(try_wrmsr(MSR_EFER, efer | 1UL << 40), GP);
	wrmsr(MSR_EFER, efer ^ EFER_SCE);
	guest_assert_eq(rdmsr(MSR_EFER), efer ^ EFER_SCE);
	wrmsr(MSR_EFER, efer);
	guest_assert_eq(rdmsr(MSR_EFER), efer);
}

static void efer_writes(void **state)
{
	(void)state;
	expect_done(guest_new(efer_payload, 0));
}

/* --- XCR0 --- */

static uint64_t xgetbv0(void)
{
	uint32_t lo, hi;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (uint64_t)hi << 32 | lo;
}

static void xcr0_payload(uint64_t arg)
{
	uint32_t r[4];
	uint64_t supported;
	int bit;

	(void)arg;
	if (!cpuid_bit(1, 0, 2, 26)) {
		guest_sync(99);
		return;
	}
	write_cr(4, read_cr(4) | CR4_OSXSAVE);
	guest_cpuid(0xd, 0, r);
	supported = (uint64_t)r[3] << 32 | r[0];
	reg_index = 0;
	guest_assert_eq(try_write(do_xsetbv, 0), GP);
	guest_assert_eq(try_write(do_xsetbv, 2), GP);
	for (bit = 0; bit < 64; bit++)
		if (!(supported >> bit & 1))
			guest_assert_eq(try_write(do_xsetbv, 3 | 1UL << bit), GP);
	if (supported & 4)
		guest_assert_eq(try_write(do_xsetbv, 1 | 4), GP); /* YMM without SSE */
	if (supported & 0x20)
		guest_assert_eq(try_write(do_xsetbv, 7 | 0x20), GP); /* a part of AVX-512 */
	reg_index = 1;
	guest_assert_eq(try_write(do_xsetbv, 3), GP);

	reg_index = 0;
	guest_assert_eq(try_write(do_xsetbv, 3), -1);
	guest_assert_eq(xgetbv0(), 3);
	guest_cpuid(0xd, 0, r);
	guest_assert_eq(r[1], 576); /* legacy area and header */
	guest_assert_eq(try_write(do_xsetbv, supported), -1);
	guest_assert_eq(xgetbv0(), supported);
	guest_cpuid(0xd, 0, r);
	guest_assert_eq(r[1], r[2]); /* all enabled: the size now is the size at most */
	guest_sync_values(1, supported, 0, 0, 0);
}

static void xcr0_writes(void **state)
{
	struct vcpu *v = guest_new(xcr0_payload, 0);
	struct guest_report *r = vcpu_run_to_report(v);
	struct kvm_xcrs xcrs;

	(void)state;
	if (r->value[0] == 99)
		skip_because("no XSAVE here");
	must(ioctl(v->fd, KVM_GET_XCRS, &xcrs));
	assert_int_equal(xcrs.nr_xcrs, 1);
	assert_int_equal(xcrs.xcrs[0].value, r->value[1]);
	expect_done(v);
}

/* --- SYSCALL --- */

/* Where it leads to: a number, and straight back. */
extern char syscall_one[], syscall_two[];
asm(".pushsection .text\n"
    "syscall_one:\n\t"
    "mov $1, %eax\n\t"
    "jmp *%rcx\n"
    "syscall_two:\n\t"
    "mov $2, %eax\n\t"
    "jmp *%rcx\n"
    ".popsection");

static uint64_t reached;

static void do_syscall(void)
{
	asm volatile("syscall" : "=a"(reached) : : "rcx", "r11", "memory");
}

static uint64_t syscall_reaches(void)
{
	do_syscall();
	return reached;
}

/* Its MSRs count as soon as EFER.SCE is set, and whenever they change, before an exit and after. */
static void syscall_payload(uint64_t arg)
{
	uint64_t off = rdmsr(MSR_EFER) & ~EFER_SCE, on = off | EFER_SCE;

	(void)arg;
	wrmsr(MSR_EFER, off);
	wrmsr(MSR_STAR, (uint64_t)GUEST_CS << 32);
	wrmsr(MSR_FMASK, 0);
	wrmsr(MSR_LSTAR, (uintptr_t)syscall_one);
	guest_assert_eq(guest_catch(do_syscall, NULL), UD);
	guest_sync(1);
	wrmsr(MSR_EFER, on);
	guest_assert_eq(syscall_reaches(), 1);
	wrmsr(MSR_LSTAR, (uintptr_t)syscall_two);
	guest_assert_eq(syscall_reaches(), 2);
	guest_sync(2);
	guest_assert_eq(syscall_reaches(), 2);
	wrmsr(MSR_EFER, off);
	guest_assert_eq(guest_catch(do_syscall, NULL), UD);
	wrmsr(MSR_LSTAR, (uintptr_t)syscall_one);
	guest_assert_eq(rdmsr(MSR_LSTAR), (uintptr_t)syscall_one);
	guest_sync(3);
	wrmsr(MSR_EFER, on);
	guest_assert_eq(syscall_reaches(), 1);
}

static void syscall_follows_efer(void **state)
{
	struct vcpu *v = guest_new_irqchip(syscall_payload, 0);

	(void)state;
	expect_sync(v, 1);
	expect_sync(v, 2);
	expect_sync(v, 3);
	expect_done(v);
}

/* --- MSRs --- */

static void msr_faults_payload(uint64_t arg)
{
	uint64_t pat = rdmsr(MSR_PAT), fixed_types = 0x0606060606060606UL;

	(void)arg;
	guest_assert_eq(try_rdmsr(0x12345678), GP);
	guest_assert_eq(try_wrmsr(0x12345678, 0), GP);
	guest_assert_eq(try_wrmsr(MSR_MTRRCAP, 0), GP);
	guest_assert_eq(try_wrmsr(MSR_MCG_CAP, 1), GP);
	guest_assert_eq(try_wrmsr(MSR_LSTAR, NOT_CANONICAL), GP);
	guest_assert_eq(try_wrmsr(MSR_KERNEL_GS, NOT_CANONICAL), GP);
	guest_assert_eq(try_wrmsr(MSR_PAT, (pat & ~0xffUL) | 2),
			GP); /* types 2 and 3 are reserved */
	guest_assert_eq(try_wrmsr(MSR_PAT, 0x08), GP);
	guest_assert_eq(rdmsr(MSR_PAT), pat);
	guest_assert_eq(try_wrmsr(MSR_MTRR_DEF, 0x806 | 1UL << 8), GP);
	guest_assert_eq(try_wrmsr(MSR_MTRR_DEF, 0x802), GP);
	guest_assert_eq(try_wrmsr(MSR_MTRR_VAR0, 0x100), GP);
	guest_assert_eq(try_wrmsr(MSR_MTRR_VAR0 + 1, 0x400), GP);
	guest_assert_eq(try_wrmsr(0x250, 0x0706060606060606UL), GP);
	guest_assert_eq(try_wrmsr(MSR_MC0_CTL, 5), GP);     /* all or nothing */
	guest_assert_eq(try_wrmsr(MSR_MC0_CTL + 1, 5), GP); /* software can only clear a status */
	guest_assert_eq(try_wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | 1), GP);

	guest_assert_eq(try_wrmsr(MSR_MTRR_DEF, 0xc06), -1);
	guest_assert_eq(rdmsr(MSR_MTRR_DEF), 0xc06);
	guest_assert_eq(try_wrmsr(0x26f, fixed_types), -1);
	guest_assert_eq(rdmsr(0x26f), fixed_types);
	guest_assert_eq(try_wrmsr(MSR_STAR, 0x0023001000000000UL), -1);
	guest_assert_eq(rdmsr(MSR_STAR), 0x0023001000000000UL);
	guest_assert_eq(try_wrmsr(MSR_KERNEL_GS, 0xffff800000001000UL), -1);
	guest_assert_eq(rdmsr(MSR_KERNEL_GS), 0xffff800000001000UL);
	guest_assert_eq(try_wrmsr(MSR_SYSENTER_ESP, 0x1234560), -1);
	guest_assert_eq(rdmsr(MSR_SYSENTER_ESP), 0x1234560);
	guest_assert_eq(try_wrmsr(MSR_UCODE_REV, 0), -1);
	guest_assert(rdmsr(MSR_UCODE_REV) >> 32);
}

static void msr_faults(void **state)
{
	(void)state;
	expect_done(guest_new_irqchip(msr_faults_payload, 0));
}

/* What firmware and Linux read on any Intel processor, before they can handle a #GP. */
static void probed_msrs_payload(uint64_t arg)
{
	static const uint32_t probed[] = {
		0x17, 0x1b, 0x2a, 0x8b, 0xcd, 0xfe, 0x179, 0x198, 0x1a0, 0x277, 0x2ff, 0x606,
	};
	unsigned int i;

	(void)arg;
	for (i = 0; i < ARRAY_SIZE(probed); i++)
		guest_assert_eq(try_rdmsr(probed[i]), -1);
	guest_assert_eq(rdmsr(MSR_MTRRCAP) & 0xff, 8);
}

static void probed_msrs_exist(void **state)
{
	(void)state;
	expect_done(guest_new_irqchip(probed_msrs_payload, 0));
}

#define STEP  (1UL << 40) /* far more than a test takes */
#define SLACK (1UL << 38)

static bool near(uint64_t a, uint64_t b)
{
	return a - b + SLACK < 2 * SLACK;
}

static void tsc_payload(uint64_t arg)
{
	uint64_t t = rdtsc();

	(void)arg;
	guest_assert_eq(rdmsr(MSR_TSC_ADJUST), 0);
	wrmsr(MSR_TSC_ADJUST, STEP);
	guest_assert(near(rdtsc(), t + STEP));
	wrmsr(MSR_TSC, t + 3 * STEP);
	guest_assert(near(rdtsc(), t + 3 * STEP));
	guest_assert(near(rdmsr(MSR_TSC_ADJUST), 3 * STEP));
	guest_sync_values(1, t, 0, 0, 0);
	/* Userspace has written TSC_ADJUST, which must not move the TSC, and then the TSC. */
	guest_assert(near(rdtsc(), t + 3 * STEP));
	guest_assert_eq(rdmsr(MSR_TSC_ADJUST), 7 * STEP);
	guest_sync(2);
	guest_assert(near(rdtsc(), t + 9 * STEP));
	guest_assert_eq(rdmsr(MSR_TSC_ADJUST), 7 * STEP);
}

static void tsc_and_tsc_adjust(void **state)
{
	struct vcpu *v = guest_new(tsc_payload, 0);
	uint64_t t = expect_sync(v, 1)->value[1];

	(void)state;
	assert_int_equal(vcpu_set_msr(v, MSR_TSC_ADJUST, 7 * STEP), 1);
	expect_sync(v, 2);
	assert_int_equal(vcpu_set_msr(v, MSR_TSC, t + 9 * STEP), 1);
	expect_done(v);
}

/* A VMM sets the vCPUs' TSCs one after the other, and means the same moment: QUIRK(tsc-sync). */
static void tscs_of_vcpus_run_together(void **state)
{
	struct vm *vm = vm_create();
	struct vcpu *a = vcpu_create(vm, 0), *b = vcpu_create(vm, 1);
	uint64_t before, between, after;

	(void)state;
	for (int round = 0; round < 2; round++) {
		assert_int_equal(vcpu_set_msr(a, MSR_TSC, round * STEP), 1);
		usleep(1000);
		assert_int_equal(vcpu_set_msr(b, MSR_TSC, round * STEP), 1);
		before = vcpu_get_msr(a, MSR_TSC);
		between = vcpu_get_msr(b, MSR_TSC);
		after = vcpu_get_msr(a, MSR_TSC);
		assert_true(before < between && between < after);
	}
}

/* --- FPU --- */

static void fpu_payload(uint64_t arg)
{
	uint64_t lo, hi;

	write_cr(4, read_cr(4) | 3UL << 9); /* OSFXSR, OSXMMEXCPT */
	if (arg) {
		asm volatile("movq %0, %%xmm3" : : "r"(arg));
		guest_sync(0);
	}
	asm volatile("movq %%xmm3, %0; movhlps %%xmm3, %%xmm4; movq %%xmm4, %1"
		     : "=r"(lo), "=r"(hi));
	guest_sync_values(1, lo, hi, 0, 0);
	asm volatile("movq %0, %%xmm3; fninit; fld1" : : "r"(0xabcdabcdabcdabcdUL));
	guest_sync(2);
}

/* KVM_RUN raw, with our own xmm3 watched around it. */
static uint64_t run_with_xmm3(struct vcpu *v, uint64_t mine)
{
	long r;
	uint64_t back;

	asm volatile("movq %3, %%xmm3; syscall; movq %%xmm3, %1"
		     : "=a"(r), "=r"(back)
		     : "0"((long)SYS_ioctl), "r"(mine), "D"((long)v->fd), "S"((long)KVM_RUN),
		       "d"(0L)
		     : "rcx", "r11", "memory");
	assert_int_equal(r, 0);
	return back;
}

static void check_fpu(struct vcpu *v)
{
	static const uint64_t mine = 0x1111222233334444UL;
	struct kvm_fpu fpu = { .fcw = 0x37f, .mxcsr = 0x1f80 };
	struct guest_report *r;

	memset(fpu.xmm[3], 0x5a, sizeof(fpu.xmm[3]));
	must(ioctl(v->fd, KVM_SET_FPU, &fpu));
	assert_int_equal(run_with_xmm3(v, mine), mine);
	r = v->report;
	assert_int_equal(r->kind, REPORT_SYNC);
	assert_int_equal(r->value[1], 0x5a5a5a5a5a5a5a5aUL);
	assert_int_equal(r->value[2], 0x5a5a5a5a5a5a5a5aUL);
	assert_int_equal(run_with_xmm3(v, mine), mine);
	assert_int_equal(r->value[0], 2);
	must(ioctl(v->fd, KVM_GET_FPU, &fpu));
	assert_int_equal(*(uint64_t *)fpu.xmm[3], 0xabcdabcdabcdabcdUL);
	assert_int_equal(*(uint64_t *)fpu.fpr[0],
			 0x8000000000000000UL); /* 1.0: mantissa, exponent */
	assert_int_equal(*(uint16_t *)(fpu.fpr[0] + 8), 0x3fff);
	assert_int_equal(fpu.ftwx, 0x80);
	expect_done(v);
}

static void fpu_is_the_guests_own(void **state)
{
	struct vcpu *v = guest_new(fpu_payload, 0x7777);

	(void)state;
	expect_sync(v, 0);
	check_fpu(v);
}

/* Before the first KVM_RUN all components are in their initial state, which must give way too. */
static void fpu_can_be_set_before_the_first_run(void **state)
{
	(void)state;
	if (!on_apicvisor())
		skip_because("the peer drops KVM_SET_FPU on components in initial state");
	check_fpu(guest_new(fpu_payload, 0));
}

/* --- machine checks --- */

#define MCI_VAL    (1UL << 63)
#define MCI_UC     (1UL << 61)
#define MCI_EN     (1UL << 60)
#define MCG_CTL_P  (1UL << 8)
#define MCG_CMCI_P (1UL << 10)

static void on_mc(struct guest_frame *f)
{
	guest_assert_eq(f->vector, MC);
	guest_sync_values(2, rdmsr(MSR_MC0_CTL + 4 * 3 + 1), rdmsr(MSR_MC0_CTL + 4 * 3 + 2),
			  rdmsr(MSR_MCG_STATUS), 0);
	wrmsr(MSR_MC0_CTL + 4 * 3 + 1, 0);
	wrmsr(MSR_MCG_STATUS, 0);
}

static void mce_payload(uint64_t arg)
{
	guest_handler[MC] = on_mc;
	if (arg)
		write_cr(4, read_cr(4) | CR4_MCE);
	guest_sync(1);
	guest_sync(3);
}

static struct vcpu *guest_with_mce(uint64_t enabled)
{
	struct vcpu *v = guest_new(mce_payload, enabled);
	uint64_t cap = MCG_CTL_P | 10;

	must(ioctl(v->fd, KVM_X86_SETUP_MCE, &cap));
	assert_int_equal(vcpu_get_msr(v, MSR_MCG_CAP), cap);
	return v;
}

static void machine_check_reaches_the_guest(void **state)
{
	struct vcpu *v = guest_with_mce(1);
	struct kvm_x86_mce mce = { .status = MCI_VAL | MCI_UC | MCI_EN | 0x134,
				   .addr = 0x123000,
				   .mcg_status = 5,
				   .bank = 3 };
	struct guest_report *r;

	(void)state;
	expect_sync(v, 1);
	mce.bank = 10;
	must_fail(EINVAL, ioctl(v->fd, KVM_X86_SET_MCE, &mce));
	mce.bank = 3;
	must(ioctl(v->fd, KVM_X86_SET_MCE, &mce));
	r = expect_sync(v, 2);
	assert_int_equal(r->value[1], mce.status);
	assert_int_equal(r->value[2], mce.addr);
	assert_int_equal(r->value[3], mce.mcg_status);
	expect_sync(v, 3);
	expect_done(v);
}

static void machine_check_without_handler_is_shutdown(void **state)
{
	struct vcpu *v = guest_with_mce(0);
	struct kvm_x86_mce mce = {
		.status = MCI_VAL | MCI_UC | MCI_EN,
		.mcg_status = 5,
		.bank = 3,
	};

	(void)state;
	expect_sync(v, 1);
	must(ioctl(v->fd, KVM_X86_SET_MCE, &mce));
	expect_exit(v, KVM_EXIT_SHUTDOWN);
}

/* "UCNA": uncorrected, but nobody has used the data. No #MC; an interrupt where it is wanted. */

#define CMCI_VECTOR  0xf2
#define MSR_MC3_CTL2 0x283
#define CMCI_EN      (1UL << 30)

static volatile int cmcis;

static void on_cmci(struct guest_frame *f)
{
	(void)f;
	cmcis++;
	xapic_write(APIC_EOI, 0);
}

static void ucna_payload(uint64_t arg)
{
	(void)arg;
	write_cr(4, read_cr(4) | CR4_MCE);
	guest_handler[CMCI_VECTOR] = on_cmci;
	guest_xapic_enable();
	xapic_write(0x2f0, CMCI_VECTOR);
	guest_assert_eq(try_wrmsr(MSR_MC3_CTL2, 1UL << 31), GP);
	guest_assert_eq(try_wrmsr(MSR_MC3_CTL2 + 7, 1), GP); /* bank 10 of 10 */
	sti();
	guest_sync(1);
	guest_assert_eq(cmcis, 0); /* not enabled for this bank */
	guest_assert(rdmsr(MSR_MC0_CTL + 4 * 3 + 1) >> 63);
	wrmsr(MSR_MC3_CTL2, CMCI_EN | 1);
	wrmsr(MSR_MC0_CTL + 4 * 3 + 1, 0);
	guest_sync(2);
	guest_assert_eq(cmcis, 1);
	guest_assert(rdmsr(MSR_MC0_CTL + 4 * 3 + 1) >> 63);
}

static void error_without_action_is_reported_by_cmci(void **state)
{
	struct vcpu *v = guest_new_irqchip(ucna_payload, 0);
	uint64_t cap = MCG_CTL_P | MCG_CMCI_P | 10, supported;
	struct kvm_x86_mce mce = { .status = MCI_VAL | MCI_UC | MCI_EN | 0x9f, .bank = 3 };
	int dev = dev_open();

	(void)state;
	must(ioctl(dev, KVM_X86_GET_MCE_CAP_SUPPORTED, &supported));
	close(dev);
	if (!(supported & MCG_CMCI_P))
		skip_because("no CMCI here");
	must(ioctl(v->fd, KVM_X86_SETUP_MCE, &cap));
	expect_sync(v, 1);
	must(ioctl(v->fd, KVM_X86_SET_MCE, &mce));
	expect_sync(v, 2);
	must(ioctl(v->fd, KVM_X86_SET_MCE, &mce));
	expect_done(v);
}

/* --- XSAVES --- */

#define MSR_XSS 0xda0

static volatile uint64_t written;
static uint8_t xsave_area[4096] __attribute__((aligned(64))); /* in the guest */

static void do_xsaves(void)
{
	asm volatile("xsaves (%0)" : : "r"(xsave_area), "a"(3), "d"(0) : "memory");
}

static void do_xrstors(void)
{
	asm volatile("xrstors (%0)" : : "r"(xsave_area), "a"(3), "d"(0) : "memory");
}

static void read_xss(void)
{
	written = rdmsr(MSR_XSS);
}

static void write_xss(void)
{
	wrmsr(MSR_XSS, written);
}

static void xsaves_payload(uint64_t has_it)
{
	uint32_t error;

	write_cr(4, read_cr(4) | CR4_OSXSAVE);
	if (!has_it) {
		guest_assert_eq(guest_catch(do_xsaves, &error), 6);
		guest_assert_eq(guest_catch(do_xrstors, &error), 6);
		guest_assert_eq(guest_catch(read_xss, &error), GP);
		return;
	}
	guest_assert_eq(guest_catch(do_xsaves, &error), -1);
	guest_assert_eq(xsave_area[512 + 15] >> 7, 1); /* XCOMP_BV[63]: compacted */
	guest_assert_eq(guest_catch(do_xrstors, &error), -1);
	written = ~0ull;
	guest_assert_eq(guest_catch(read_xss, &error), -1);
	guest_assert_eq(written, 0);
	guest_assert_eq(guest_catch(write_xss, &error), -1);
	for (int bit = 0; bit < 64; bit++) {
		written = 1ull << bit;
		guest_assert_eq(guest_catch(write_xss, &error), GP);
	}
}

/* CPUID decides: the instructions and IA32_XSS, which can hold nothing, are there or not. */
static void xsaves_follows_cpuid(void **state)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entry[100];
	} list = { .head.nent = 100 };
	struct kvm_cpuid_entry2 *leaf = NULL;
	struct vcpu *v = guest_new(xsaves_payload, 1);

	(void)state;
	must(ioctl(v->fd, KVM_GET_CPUID2, &list));
	for (uint32_t i = 0; i < list.head.nent; i++)
		if (list.entry[i].function == 0xd && list.entry[i].index == 1)
			leaf = &list.entry[i];
	if (!leaf || !(leaf->eax & 8))
		skip_because("no XSAVES here");
	if (on_apicvisor()) {
		assert_int_equal(leaf->ecx, 0); /* supervisor state */
		assert_int_equal(leaf->edx, 0);
	}
	expect_done(v);
	assert_int_equal(vcpu_get_msr(v, MSR_XSS), 0);
	assert_int_equal(vcpu_set_msr(v, MSR_XSS, 0), 1);
	assert_int_equal(vcpu_set_msr(v, MSR_XSS, 1 << 8), 0);

	v = guest_new(xsaves_payload, 0);
	leaf->eax &= ~8u;
	must(ioctl(v->fd, KVM_SET_CPUID2, &list));
	expect_done(v);
}

static const struct CMUnitTest tests[] = {
	TEST(cr0_writes),
	TEST(cr4_writes),
	TEST(cr8_writes),
	TEST(efer_writes),
	TEST(xcr0_writes),
	TEST(syscall_follows_efer),
	TEST(msr_faults),
	TEST(probed_msrs_exist),
	TEST(tsc_and_tsc_adjust),
	TEST(tscs_of_vcpus_run_together),
	TEST(fpu_is_the_guests_own),
	TEST(fpu_can_be_set_before_the_first_run),
	TEST(machine_check_reaches_the_guest),
	TEST(machine_check_without_handler_is_shutdown),
	TEST(error_without_action_is_reported_by_cmci),
	TEST(xsaves_follows_cpuid),
};

TEST_MAIN("guest_regs", tests)
