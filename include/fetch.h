/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From CS:RIP to a decoded instruction, through the guest's own page tables: arch/x86/fetch.c.
 *
 * The vCPU's thread, vm->srcu held. What is asked for here reads guest memory each time anew: a
 * vCPU remembers instructions, but never without looking whether they are still the same.
 */
#ifndef APICVISOR_FETCH_H
#define APICVISOR_FETCH_H

#include <insn.h>
#include <vcpu.h>

/*
 * Translate @la for an access (GWALK_* flags of gwalk.h). May sleep. 0; 1 with a #PF queued; other
 * errors (the tables are not in memory) count as emulation failures.
 */
int guest_translate(struct vcpu *vcpu, u64 la, u32 access, gpa_t *gpa);

/*
 * Fetch and decode the instruction at CS:RIP. May sleep. 1 = done; 2 = an exception is queued for
 * the guest instead; 0 = to userspace as an emulation failure.
 */
int fetch_insn(struct vcpu *vcpu, struct ginsn *insn);

/*
 * The same if this vCPU has done it before and would come to the same again, else NULL. Never
 * sleeps; interrupts may be off. Good until the next fetch_insn().
 */
const struct ginsn *fetch_again(struct vcpu *vcpu);

/*
 * Before vm->srcu is taken for that, a guess by RIP alone: is the instruction known, and was its
 * last access for the kernel to make, not for userspace? fetch_remember() is told which it was.
 */
bool fetch_may_know(struct vcpu *vcpu);
void fetch_remember(const struct ginsn *known, bool here);

void fetch_vcpu_destroy(struct vcpu *vcpu);

#endif
