/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupt handlers of the benchmark's guests, as short as they can be: the moment of the first
 * instruction (but for two PUSH), EOI, the moment after it, and the count, which is what senders
 * wait for. bench_first and bench_done are of the last one if several vCPUs are interrupted.
 */
	.macro	MOMENT where
	rdtsc
	mov	%eax, \where
	mov	%edx, \where + 4
	.endm

	.macro	HANDLER name, eoi:vararg
	.balign	16
	.globl	\name
\name:
	push	%rax
	push	%rdx
	MOMENT	bench_first
	push	%rcx
	\eoi
	MOMENT	bench_done
	lock incq bench_count
	pop	%rcx
	pop	%rdx
	pop	%rax
	iretq
	.endm

	.macro	EOI_XAPIC
	mov	$0xfee000b0, %eax
	movl	$0, (%rax)
	.endm

	.macro	EOI_X2APIC
	mov	$0x80b, %ecx
	xor	%eax, %eax
	xor	%edx, %edx
	wrmsr
	.endm

	.macro	EOI_PIC
	mov	$0x20, %al
	outb	%al, $0x20
	.endm

	.text
	HANDLER	bench_irq_xapic, EOI_XAPIC
	HANDLER	bench_irq_x2apic, EOI_X2APIC
	HANDLER	bench_irq_pic, EOI_PIC
	HANDLER	bench_irq_nmi

	.bss
	.balign	64
	.globl	bench_first, bench_done, bench_count
bench_first:
	.quad	0
bench_done:
	.quad	0
	.balign	64
bench_count:
	.quad	0

	.section .note.GNU-stack,"",@progbits
