// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes the lab's machine fail in every way that the lab must name. Loading it with how=NAME is the
 * failure; nothing of it stays loaded. Only selftests/lab/run uses it, in the lab.
 */
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/irqflags.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <asm/desc.h>
#include <asm/msr.h>
#include <asm/tlbflush.h>

static char *how = "";
module_param(how, charp, 0);
MODULE_PARM_DESC(how, "oops, bug, warn, lockup, stall, triple-fault or entry");

static void fail_oops(void)
{
	int *nowhere = NULL;

	OPTIMIZER_HIDE_VAR(nowhere);
	*nowhere = 1;
}

static void fail_bug(void)
{
	BUG();
}

static void fail_warn(void)
{
	WARN(1, "a warning on purpose\n");
}

static void fail_lockup(void)
{
	preempt_disable();
	for (;;)
		cpu_relax();
}

/* Interrupts go on and the watchdog is fed: it is RCU alone that waits. */
static void fail_stall(void)
{
	rcu_read_lock();
	for (;;)
		cond_resched();
}

static void fail_triple_fault(void)
{
	const struct desc_ptr nothing = {};

	local_irq_disable();
	load_idt(&nothing);
	asm volatile("int3");
}

static bool in_vmx(u64 region, u64 vmcs)
{
	u8 failed;

	asm volatile("vmxon %1; setbe %0" : "=qm"(failed) : "m"(region) : "cc", "memory");
	if (failed)
		return false;
	asm volatile("vmclear %0; vmptrld %0" ::"m"(vmcs) : "cc", "memory");
	return true;
}

/* A VMCS of zeros: the first check of its controls fails. */
static void fail_entry(void)
{
	u32 *region = (u32 *)get_zeroed_page(GFP_KERNEL),
	    *vmcs = (u32 *)get_zeroed_page(GFP_KERNEL);
	u64 basic, control;

	if (!region || !vmcs)
		goto out;
	preempt_disable();
	rdmsrl(MSR_IA32_VMX_BASIC, basic);
	rdmsrl(MSR_IA32_FEAT_CTL, control);
	if (!(control & FEAT_CTL_LOCKED))
		wrmsrl(MSR_IA32_FEAT_CTL,
		       control | FEAT_CTL_LOCKED | FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX);
	*region = *vmcs = basic;
	cr4_set_bits(X86_CR4_VMXE);
	if (in_vmx(virt_to_phys(region), virt_to_phys(vmcs)))
		asm volatile("vmlaunch; vmxoff" ::: "cc", "memory");
	cr4_clear_bits(X86_CR4_VMXE);
	preempt_enable();
out:
	free_page((unsigned long)region);
	free_page((unsigned long)vmcs);
}

static const struct {
	const char *name;
	void (*fail)(void);
} ways[] = {
	{ "oops", fail_oops },     { "bug", fail_bug },     { "warn", fail_warn },
	{ "lockup", fail_lockup }, { "stall", fail_stall }, { "triple-fault", fail_triple_fault },
	{ "entry", fail_entry },
};

static int __init crash_init(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(ways); i++) {
		if (!strcmp(how, ways[i].name)) {
			ways[i].fail();
			return 0;
		}
	}
	return -EINVAL;
}

static void __exit crash_exit(void)
{
}

module_init(crash_init);
module_exit(crash_exit);
MODULE_DESCRIPTION("Failures on purpose, to test the lab");
MODULE_LICENSE("GPL");
