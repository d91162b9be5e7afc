/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the guest's exceptions and interrupts land: one stub of 16 bytes per vector, so that the
 * host can compute the gates. Each ends in guest_dispatch(frame). Also guest_catch(), which runs
 * code that faults and comes back.
 */
	.text
	.balign	16
	.globl	guest_stubs
guest_stubs:
	.set	vector, 0
	.rept	256
	.balign	16
	/* #DF #TS #NP #SS #GP #PF #AC #CP push an error code themselves */
	.if	(vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21)
	.else
	pushq	$0
	.endif
	pushq	$vector
	jmp	guest_common
	.set	vector, vector + 1
	.endr

	.balign	16
guest_common:
	push	%rax
	push	%rcx
	push	%rdx
	push	%rbx
	push	%rbp
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	cld
	mov	%rsp, %rdi
	mov	%rsp, %rbx
	and	$-16, %rsp
	call	guest_dispatch
	mov	%rbx, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdi
	pop	%rsi
	pop	%rbp
	pop	%rbx
	pop	%rdx
	pop	%rcx
	pop	%rax
	add	$16, %rsp
	iretq

/*
 * int guest_catch(void (*insn)(void), uint32_t *error): the stack pointer to return to is kept in
 * guest_catch_rsp; guest_dispatch() rewrites the frame to resume at guest_catch_landing with the
 * vector in RAX and the error code in RDX.
 */
	.globl	guest_catch
guest_catch:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rsi
	mov	%rsp, guest_catch_rsp
	call	*%rdi
	mov	$-1, %rax
	xor	%edx, %edx
	.globl	guest_catch_landing
guest_catch_landing:
	mov	guest_catch_rsp, %rsp
	movq	$0, guest_catch_rsp
	pop	%rsi
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	test	%rsi, %rsi
	jz	1f
	mov	%edx, (%rsi)
1:	ret

	.section .note.GNU-stack,"",@progbits
