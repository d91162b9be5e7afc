// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's TSC as the processor makes it: "use TSC offsetting" always, "use TSC scaling" only
 * while a guest's frequency differs from the host's. The numbers come from clock.c.
 *
 * Left out: RDTSC exits, with which a processor without the control could pretend to have it.
 * Source: SDM "Time-Stamp Counter Offset and Multiplier".
 */
#include <linux/moduleparam.h>
#include "vmx.h"

static bool tsc_scaling = true;
module_param(tsc_scaling, bool, 0444);
MODULE_PARM_DESC(tsc_scaling, "guests can have another TSC frequency (default: if usable)");

void __init tsc_caps_init(void)
{
	if (!(vmx_caps.proc2 & PROC2_TSC_SCALING))
		tsc_scaling = false;
	vmx_caps.proc2 &= ~PROC2_TSC_SCALING; /* set while there is something to scale */
}

bool backend_scales_tsc(void)
{
	return tsc_scaling;
}

void backend_set_tsc(struct vcpu *vcpu, const struct tsc_map *map)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	bool scaled = map->ratio != TSC_RATIO_ONE;

	vmcs_write64(VMCS_CTRL_TSC_OFFSET, map->offset);
	if (scaled)
		vmcs_write64(VMCS_CTRL_TSC_MULTIPLIER, map->ratio);
	vmx_set_control(&vmx->proc2, VMCS_CTRL_PROC2, PROC2_TSC_SCALING, scaled);
}
