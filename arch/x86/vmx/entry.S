/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The register switch around VM entry, and the call of a host interrupt handler.
 * C side: vmx.h (prototypes), run.c (what surrounds them).
 */
#include <linux/linkage.h>
#include <linux/objtool.h>
#include <asm/asm.h>
#include <asm/asm-offsets.h>
#include <asm/cpufeatures.h>
#include <asm/nospec-branch.h>
#include <asm/segment.h>
#include <asm/unwind_hints.h>
#include "vmcs_fields.h"

/* Byte offsets into regs[]: enum vcpu_reg is the instruction encoding's order. */
#define RAX_ 0x00
#define RCX_ 0x08
#define RDX_ 0x10
#define RBX_ 0x18
#define RBP_ 0x28
#define RSI_ 0x30
#define RDI_ 0x38
#define R8_  0x40
#define R9_  0x48
#define R10_ 0x50
#define R11_ 0x58
#define R12_ 0x60
#define R13_ 0x68
#define R14_ 0x70
#define R15_ 0x78

	/* In guest context: see enter_guest() of run.c. */
	.section .noinstr.text, "ax"

/*
 * bool vmx_enter_guest(u64 *regs, bool launched, unsigned long *host_rsp)
 *	%rdi regs, %sil launched, %rdx where VMCS_HOST_RSP is cached
 */
SYM_FUNC_START(vmx_enter_guest)
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rdi			/* regs: top of stack at the exit */

	cmp	%rsp, (%rdx)
	je	1f
	mov	%rsp, (%rdx)
	mov	$VMCS_HOST_RSP, %eax
.Lwrite_rsp:
	vmwrite	%rsp, %rax
1:
	UNWIND_HINT_SAVE
	test	%sil, %sil		/* ZF lives until the branch below: loads leave flags alone */

	mov	RAX_(%rdi), %rax
	mov	RCX_(%rdi), %rcx
	mov	RDX_(%rdi), %rdx
	mov	RBX_(%rdi), %rbx
	mov	RBP_(%rdi), %rbp
	mov	RSI_(%rdi), %rsi
	mov	R8_(%rdi),  %r8
	mov	R9_(%rdi),  %r9
	mov	R10_(%rdi), %r10
	mov	R11_(%rdi), %r11
	mov	R12_(%rdi), %r12
	mov	R13_(%rdi), %r13
	mov	R14_(%rdi), %r14
	mov	R15_(%rdi), %r15
	mov	RDI_(%rdi), %rdi

	jz	.Llaunch
.Lresume:
	vmresume
	jmp	.Lfailed
.Llaunch:
	vmlaunch
	jmp	.Lfailed

SYM_INNER_LABEL(vmx_exit_point, SYM_L_GLOBAL)
	UNWIND_HINT_RESTORE		/* the stack is as it was at the entry */
	ANNOTATE_NOENDBR		/* an exit is no indirect branch */
	push	%rdi			/* the guest's; regs is one below */
	mov	8(%rsp), %rdi
	mov	%rax, RAX_(%rdi)
	mov	%rcx, RCX_(%rdi)
	mov	%rdx, RDX_(%rdi)
	mov	%rbx, RBX_(%rdi)
	mov	%rbp, RBP_(%rdi)
	mov	%rsi, RSI_(%rdi)
	mov	%r8,  R8_(%rdi)
	mov	%r9,  R9_(%rdi)
	mov	%r10, R10_(%rdi)
	mov	%r11, R11_(%rdi)
	mov	%r12, R12_(%rdi)
	mov	%r13, R13_(%rdi)
	mov	%r14, R14_(%rdi)
	mov	%r15, R15_(%rdi)
	pop	RDI_(%rdi)
	mov	$1, %eax

.Lleave:
	/* No guest value survives in a register that the host could use speculatively. */
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%esi, %esi
	xor	%edi, %edi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	xor	%ebx, %ebx
	xor	%ebp, %ebp
	xor	%r12d, %r12d
	xor	%r13d, %r13d
	xor	%r14d, %r14d
	xor	%r15d, %r15d
	/* The guest has trained the return stack: refill it before the first RET. */
	FILL_RETURN_BUFFER %rcx, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT, \
			   X86_FEATURE_RSB_VMEXIT_LITE

	add	$8, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	RET

.Lfailed:
	xor	%eax, %eax
	jmp	.Lleave

	/* After VMXOFF by a reboot these fault instead of failing. */
	_ASM_EXTABLE(.Lwrite_rsp, .Lfailed)
	_ASM_EXTABLE(.Lresume, .Lfailed)
	_ASM_EXTABLE(.Llaunch, .Lfailed)
SYM_FUNC_END(vmx_enter_guest)

	.text

/*
 * void vmx_call_handler(unsigned long entry)
 * Builds the frame that the processor would push for an interrupt, and calls the gate's code; its
 * IRET comes back behind the call with RSP as it was.
 */
SYM_FUNC_START(vmx_call_handler)
	push	%rbp
	mov	%rsp, %rbp
	and	$-16, %rsp		/* the processor aligns the stack, too */
	push	$__KERNEL_DS
	push	%rbp
	pushf
	push	$__KERNEL_CS
	CALL_NOSPEC rdi			/* pushes the RIP of the frame */
	mov	%rbp, %rsp		/* as the IRET has done; objtool can't know */
	pop	%rbp
	RET
SYM_FUNC_END(vmx_call_handler)
