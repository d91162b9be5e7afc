#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Ask a kernel's headers which form of an interface it has, and print -DHAVE_... for Kbuild.
# Usage: probe.sh SRCTREE OBJTREE (the directories that hold include/linux and Module.symvers). What
# each answer means for the code stands in include/compat.h. No version number is looked at: distributions backport.

srctree=$1
objtree=$2

# Does header $2 contain extended regular expression $3 (any white space counts as one blank)?
# Prints -D$1 if so. A header that is gone means that this script must learn something new.
has()
{
	if [ ! -r "$srctree/include/$2" ]; then
		echo "probe.sh: no $srctree/include/$2" >&2
		echo "-DPROBE_FAILED"
	elif tr -s '\n\t ' '   ' <"$srctree/include/$2" | grep -Eq "$3"; then
		echo "-D$1"
	fi
}

# Are all these symbols exported to any module? A name space or a list of modules would be in the
# last column.
exported()
{
	name=$1
	shift
	for symbol; do
		grep -Eq "^[^	]*	$symbol	[^	]*	EXPORT_SYMBOL(_GPL)?	?\$" \
			"$objtree/Module.symvers" || return 0
	done
	echo "-D$name"
}

has HAVE_EVENTFD_SIGNAL_COUNT linux/eventfd.h 'eventfd_signal\(struct eventfd_ctx \*ctx, __u64'
has HAVE_HRTIMER_SETUP linux/hrtimer.h 'void hrtimer_setup\('
has HAVE_TASK_IS_RUNNABLE linux/sched.h 'bool task_is_runnable\('
has HAVE_MMU_NOTIFIER_YOUNG_BOOL linux/mmu_notifier.h 'bool \(\*test_young\)\('
has HAVE_IMMEDIATE_EXIT_UNSAFE uapi/linux/kvm.h 'HINT_UNSAFE_IN_KVM\(immediate_exit\)'

# irqbypass: include/bypass.h. Its token became an eventfd, and struct vcpu_data another one, at about
# the same time: where either has changed, devices don't bypass.
if has x linux/irqbypass.h 'void \*token' | grep -q . &&
	has x ../arch/x86/include/asm/irq_remapping.h 'struct vcpu_data' | grep -q .; then
	exported HAVE_IRQ_BYPASS irq_bypass_register_consumer irq_bypass_unregister_consumer \
		irq_set_vcpu_affinity
fi

# x86: include/compat_x86.h
has HAVE_EMERGENCY_VIRT_CALLBACK ../arch/x86/include/asm/reboot.h \
	'cpu_emergency_register_virt_callback'
has HAVE_CPUHP_KVM_ONLINE linux/cpuhotplug.h 'CPUHP_AP_KVM_ONLINE'
has HAVE_PMD_LEAF ../arch/x86/include/asm/pgtable.h '#define pmd_leaf pmd_leaf'
has HAVE_SYSCORE_OBJECT linux/syscore_ops.h 'void register_syscore\('
has HAVE_APIC_STATIC_CALLS ../arch/x86/include/asm/apic.h 'DECLARE_APIC_CALL\(send_IPI_mask\)'
if has x ../arch/x86/include/asm/apic.h 'DECLARE_APIC_CALL\(send_IPI_mask\)' | grep -q .; then
	exported HAVE_POSTED_VECTORS kvm_set_posted_intr_wakeup_handler __SCT__apic_call_send_IPI_mask
else
	exported HAVE_POSTED_VECTORS kvm_set_posted_intr_wakeup_handler apic
fi
