/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * As compat.h, for the x86 interfaces that arch/x86/vmx/ uses. Found by tools/kbuild/probe.sh.
 */
#ifndef APICVISOR_COMPAT_X86_H
#define APICVISOR_COMPAT_X86_H

#include <linux/cpuhotplug.h>
#include <linux/pgtable.h>
#include <linux/syscore_ops.h>

/*
 * The hotplug state at which VMX goes on and off: behind the point where the last task has left a
 * CPU that goes down. It is in-tree KVM's own: two hypervisors can't both register it.
 */
#ifdef HAVE_CPUHP_KVM_ONLINE
#define COMPAT_CPUHP_VMX CPUHP_AP_KVM_ONLINE
#else
#define COMPAT_CPUHP_VMX CPUHP_AP_KVM_STARTING
#endif

/* System-core callbacks: formerly without an argument, and without an object of their own. */
#ifdef HAVE_SYSCORE_OBJECT
#define COMPAT_SYSCORE_DATA          void *data
#define COMPAT_SYSCORE_CONST         const
#define COMPAT_SYSCORE(name, o)      static struct syscore name = { .ops = &(o) }
#define compat_register_syscore(s)   register_syscore(s)
#define compat_unregister_syscore(s) unregister_syscore(s)
#else
#define COMPAT_SYSCORE_DATA void
#define COMPAT_SYSCORE_CONST
#define COMPAT_SYSCORE(name, o)      static struct syscore_ops *const name = &(o)
#define compat_register_syscore(s)   register_syscore_ops(*(s))
#define compat_unregister_syscore(s) unregister_syscore_ops(*(s))
#endif

/* Send @vector to @cpu, another one. Preemption off. Formerly an operation, now a static call. */
#ifdef HAVE_POSTED_VECTORS
#include <linux/cpumask.h>
#include <asm/apic.h>
static inline void compat_send_ipi(int cpu, u32 vector)
{
#ifdef HAVE_APIC_STATIC_CALLS
	__apic_send_IPI_mask(cpumask_of(cpu), vector);
#else
	apic->send_IPI_mask(cpumask_of(cpu), vector);
#endif
}
#endif

/* Does the entry map a large page? */
#ifdef HAVE_PMD_LEAF
#define compat_pmd_leaf(pmd) pmd_leaf(pmd)
#define compat_pud_leaf(pud) pud_leaf(pud)
#else
#define compat_pmd_leaf(pmd) pmd_large(pmd)
#define compat_pud_leaf(pud) pud_large(pud)
#endif

#endif
