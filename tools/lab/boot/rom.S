/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The boot ROM of the lab machine: takes over from the BIOS at the end of its POST and enters
 * what the host has put into memory (a kernel, or a bare probe) in 64-bit mode.
 * The BIOS calls it as an expansion ROM in real mode; nothing is ever returned to the BIOS.
 * It leaves out everything the host can prepare: page tables, boot parameters and the command
 * line are data, laid out by labkit/bootimage.py, which also owns the addresses used here.
 */
#define ROM_BASE	0xd0000
#define ROM_BLOCKS	2			/* of 512 bytes */
#define BOOT_INFO	0x100000		/* struct boot_info, below */
#define E820_SEGMENT	0x1000			/* scratch: count, then the entries */
#define E820_BUFFER	(E820_SEGMENT << 4)
#define E820_FIRST	16
#define E820_MAX	64
#define E820_ENTRY	20

/* struct boot_info, all 64 bits wide */
#define BI_CR3		8
#define BI_ENTRY	16
#define BI_PARAMS	24			/* zero page of the Linux boot protocol, or 0 */
#define BI_NR_SEALS	32
#define BI_SEALS	40			/* pairs: address, value expected there */

/* where the memory map goes in the zero page */
#define ZP_E820_COUNT	0x1e8
#define ZP_E820_TABLE	0x2d0

#define PORT_OUT	0xe9

	.text
	.code16
	.globl	rom
rom:
	.word	0xaa55
	.byte	ROM_BLOCKS
	cli
	cld

	/* The memory map must be asked for while there is a BIOS to ask. */
	movw	$E820_SEGMENT, %ax
	movw	%ax, %es
	movw	$E820_FIRST, %di
	xorl	%ebx, %ebx
	xorl	%ebp, %ebp
next_range:
	movl	$0xe820, %eax
	movl	$E820_ENTRY, %ecx
	movl	$0x534d4150, %edx		/* "SMAP" */
	int	$0x15
	jc	map_done
	incl	%ebp
	addw	$E820_ENTRY, %di
	cmpl	$E820_MAX, %ebp
	jae	map_done
	testl	%ebx, %ebx
	jnz	next_range
map_done:
	movl	%ebp, %es:0
	cli

	inb	$0x92, %al			/* A20 */
	orb	$2, %al
	outb	%al, $0x92

	lgdtl	%cs:(gdt_pointer - rom)
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ljmpl	$0x08, $enter32

	.code32
enter32:
	movw	$0x18, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movw	%ax, %fs
	movw	%ax, %gs
	movl	$0x80000, %esp

	movl	%cr4, %eax
	orl	$0x20, %eax			/* PAE */
	movl	%eax, %cr4
	movl	BOOT_INFO + BI_CR3, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx		/* EFER.LME */
	rdmsr
	orl	$0x100, %eax
	wrmsr
	movl	%cr0, %eax
	orl	$0x80000000, %eax
	movl	%eax, %cr0
	ljmpl	$0x10, $enter64

	.code64
enter64:
	/* An image that the emulator has not laid out contiguously lacks its seal. */
	movl	$BOOT_INFO, %ebx
	movq	BI_NR_SEALS(%rbx), %rcx
	leaq	BI_SEALS(%rbx), %rsi
1:	jrcxz	2f
	movq	(%rsi), %rdx
	movq	(%rdx), %rax
	cmpq	8(%rsi), %rax
	jne	scattered
	addq	$16, %rsi
	decq	%rcx
	jmp	1b

2:	movq	BI_PARAMS(%rbx), %rdx
	testq	%rdx, %rdx
	jz	3f
	movl	$E820_BUFFER, %esi
	movl	(%rsi), %eax
	movb	%al, ZP_E820_COUNT(%rdx)
	imull	$E820_ENTRY, %eax, %ecx
	addl	$E820_FIRST, %esi
	leaq	ZP_E820_TABLE(%rdx), %rdi
	rep movsb
3:	movq	%rdx, %rsi			/* the boot protocol's argument */
	jmpq	*BI_ENTRY(%rbx)

scattered:
	leaq	message(%rip), %rsi
	movl	$(message_end - message), %ecx
	movl	$PORT_OUT, %edx
	rep outsb
4:	hlt
	jmp	4b

message:
	.ascii	"LAB-BOOT: an image is not contiguous in memory\n"
message_end:

	.balign	8
gdt:
	.quad	0
	.quad	0x00cf9b000000ffff		/* 08: 32-bit code */
	.quad	0x00af9b000000ffff		/* 10: 64-bit code, the kernel's __BOOT_CS */
	.quad	0x00cf93000000ffff		/* 18: data, the kernel's __BOOT_DS */
gdt_pointer:
	.word	gdt_pointer - gdt - 1
	.long	gdt

	.org	ROM_BLOCKS * 512 - 1
	.byte	0				/* the checksum, set by labkit/bootimage.py */
