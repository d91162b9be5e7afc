/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The entry of a probe: its own stack, descriptor tables and task register, then main().
 */
	.section .text.entry, "ax"
	.code64
	.globl	_start
_start:
	leaq	stack_top(%rip), %rsp
	lgdt	gdt_pointer(%rip)
	lidt	idt_pointer(%rip)

	/* the TSS descriptor's base, which no assembler expression can split */
	leaq	tss(%rip), %rax
	leaq	gdt_tss(%rip), %rbx
	movw	%ax, 2(%rbx)
	shrq	$16, %rax
	movb	%al, 4(%rbx)
	movb	%ah, 7(%rbx)
	movw	$0x20, %ax
	ltr	%ax

	movb	$0xff, %al		/* no interrupt but those a probe asks for */
	outb	%al, $0x21
	outb	%al, $0xa1

	movq	%cr0, %rax		/* SSE is not used, but the kernel's compilers may vary */
	andq	$~0x4, %rax
	movq	%rax, %cr0
	movq	%cr4, %rax
	orq	$0x600, %rax
	movq	%rax, %cr4
	call	main
	ud2

	.data
	.balign	16
gdt:
	.quad	0
	.quad	0
	.quad	0x00af9b000000ffff	/* SEL_CODE */
	.quad	0x00cf93000000ffff	/* SEL_DATA */
gdt_tss:
	.quad	0x0000890000000067	/* SEL_TSS */
	.quad	0
gdt_pointer:
	.word	gdt_pointer - gdt - 1
	.quad	gdt
idt_pointer:
	.word	256 * 16 - 1
	.quad	idt

	.bss
	.balign	16
	.globl	idt, tss
idt:	.skip	256 * 16
tss:	.skip	104
	.balign	16
	.skip	16384
stack_top:
