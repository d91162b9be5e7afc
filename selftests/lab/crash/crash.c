// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes the lab's machine fail in every way that the lab must name. Loading it with how=NAME is the
 * failure, or what leads to it. selftests/lab/run uses it in the lab to test the lab, and
 * tools/check/debug to test the debug kernel's checkers; nobody else should.
 */
#include <linux/context_tracking.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/irqflags.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <asm/desc.h>
#include <asm/msr.h>
#include <asm/tlbflush.h>

static char *how = "";
module_param(how, charp, 0);
MODULE_PARM_DESC(how,
		 "oops, bug, warn, lockup, stall, triple-fault or entry; on the debug kernel also "
		 "rcu, guest-rcu, sleep, deadlock, shift, list, timer, use-after-free or leak");

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

/* What only the checkers of the debug kernel see: one fault for each of them. */

static int __rcu *pointer;

static void fail_rcu(void)
{
	(void)rcu_dereference(pointer); /* in no read-side section */
}

/* In a read-side section, but on a CPU that is a guest's and that RCU does not watch. */
static void fail_guest_rcu(void)
{
	local_irq_disable();
	context_tracking_guest_enter();
	rcu_read_lock();
	(void)rcu_dereference(pointer);
	rcu_read_unlock();
	context_tracking_guest_exit();
	local_irq_enable();
}

static void fail_sleep(void)
{
	preempt_disable();
	might_sleep();
	preempt_enable();
}

static DEFINE_MUTEX(first);
static DEFINE_MUTEX(second);

/* Nobody waits: lockdep knows from the two orders. */
static void fail_deadlock(void)
{
	mutex_lock(&first);
	mutex_lock(&second);
	mutex_unlock(&second);
	mutex_unlock(&first);
	mutex_lock(&second);
	mutex_lock(&first);
	mutex_unlock(&first);
	mutex_unlock(&second);
}

static void fail_shift(void)
{
	unsigned int distance = 32, result;

	OPTIMIZER_HIDE_VAR(distance);
	result = 1U << distance;
	OPTIMIZER_HIDE_VAR(result);
}

static void fail_list(void)
{
	LIST_HEAD(head);
	struct list_head entry;

	list_add(&entry, &head);
	head.next = &head; /* as if another CPU had changed it without the lock */
	list_del(&entry);
}

struct timed {
	struct timer_list timer;
};

static void on_time(struct timer_list *timer)
{
}

static void fail_timer(void)
{
	struct timed *object = kmalloc(sizeof(*object), GFP_KERNEL);

	if (!object)
		return;
	timer_setup(&object->timer, on_time, 0);
	mod_timer(&object->timer, jiffies + 100 * HZ);
	kfree(object);
}

static void fail_use_after_free(void)
{
	u8 *object = kmalloc(100, GFP_KERNEL);

	kfree(object);
	OPTIMIZER_HIDE_VAR(object);
	if (object)
		(void)READ_ONCE(*object);
}

/* More than one: an old copy of an address on a stack makes an object look used. */
static void fail_leak(void)
{
	for (int i = 0; i < 10; i++) {
		void *object = kmalloc(100, GFP_KERNEL);

		OPTIMIZER_HIDE_VAR(object);
	}
}

static const struct {
	const char *name;
	void (*fail)(void);
} ways[] = {
	{ "oops", fail_oops },
	{ "bug", fail_bug },
	{ "warn", fail_warn },
	{ "lockup", fail_lockup },
	{ "stall", fail_stall },
	{ "triple-fault", fail_triple_fault },
	{ "entry", fail_entry },
	{ "rcu", fail_rcu },
	{ "guest-rcu", fail_guest_rcu },
	{ "sleep", fail_sleep },
	{ "deadlock", fail_deadlock },
	{ "shift", fail_shift },
	{ "list", fail_list },
	{ "timer", fail_timer },
	{ "use-after-free", fail_use_after_free },
	{ "leak", fail_leak },
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
