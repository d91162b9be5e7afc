// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's FPU, SSE and AVX state, kept in the kernel's own container for it (struct fpu_guest).
 *
 * The one file that calls the kernel's guest-FPU functions. Save and restore go through the XSAVE
 * image in standard format, never through the container's insides, since there a component in its
 * initial state may have stale bytes. Left out: AMX and other state that needs a larger buffer.
 */
#include <linux/cache.h>
#include <linux/init.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <asm/cpufeature.h>
#include <asm/fpu/api.h>
#include <asm/fpu/xcr.h>
#include <asm/fpu/types.h>
#include <asm/msr.h>
#include <asm/thread_info.h>
#include <vcpu.h>

/* Components that a guest may use: the kernel saves them, and their instructions trap nowhere. */
#define XCR0_LEGACY    (XFEATURE_MASK_FP | XFEATURE_MASK_SSE)
#define XCR0_AVX512    (XFEATURE_MASK_OPMASK | XFEATURE_MASK_ZMM_Hi256 | XFEATURE_MASK_Hi16_ZMM)
#define XCR0_SUPPORTED (XCR0_LEGACY | XFEATURE_MASK_YMM | XCR0_AVX512 | XFEATURE_MASK_PKRU)

void __init fpu_host_init(void)
{
	if (boot_cpu_has(X86_FEATURE_OSXSAVE))
		x86_host.own_xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	if (boot_cpu_has(X86_FEATURE_XSAVES))
		rdmsrl(MSR_IA32_XSS, x86_host.own_xss);
	x86_host.xcr0 = x86_host.own_xcr0 & XCR0_SUPPORTED;
	if (!boot_cpu_has(X86_FEATURE_OSPKE))
		x86_host.xcr0 &= ~XFEATURE_MASK_PKRU;
}

int fpu_vcpu_init(struct vcpu *vcpu)
{
	return fpu_alloc_guest_fpstate(&vcpu->arch.fpu) ? 0 : -ENOMEM;
}

void fpu_vcpu_destroy(struct vcpu *vcpu)
{
	if (vcpu->arch.fpu.fpstate)
		fpu_free_guest_fpstate(&vcpu->arch.fpu);
}

void fpu_load_guest(struct vcpu *vcpu)
{
	if (WARN_ON_ONCE(vcpu->arch.fpu_loaded))
		return;
	fpu_swap_kvm_fpstate(&vcpu->arch.fpu, true);
	vcpu->arch.fpu_loaded = true;
}

void fpu_put_guest(struct vcpu *vcpu)
{
	if (!vcpu->arch.fpu_loaded)
		return;
	fpu_swap_kvm_fpstate(&vcpu->arch.fpu, false);
	vcpu->arch.fpu_loaded = false;
}

/* Since fpu_load_guest() a context switch or a softirq may have taken the registers away. */
void fpu_before_entry(struct vcpu *vcpu)
{
	fpregs_assert_state_consistent();
	if (test_thread_flag(TIF_NEED_FPU_LOAD))
		switch_fpu_return();
}

/* --- save and restore: outside KVM_RUN, so that the container is up to date --- */

static void save_image(struct vcpu *vcpu, void *image, size_t size)
{
	memset(image, 0, size);
	fpu_copy_guest_fpstate_to_uabi(&vcpu->arch.fpu, image, size, x86_host.xcr0 | XCR0_LEGACY,
				       vcpu->arch.pkru);
}

/* -EINVAL: components that the host lacks, reserved MXCSR bits, a broken header. */
static int restore_image(struct vcpu *vcpu, const void *image)
{
	return fpu_copy_uabi_to_guest_fpstate(&vcpu->arch.fpu, image, x86_host.xcr0 | XCR0_LEGACY,
					      &vcpu->arch.pkru);
}

int xsave_get(struct vcpu *vcpu, struct kvm_xsave *x)
{
	save_image(vcpu, x->region, sizeof(x->region));
	return 0;
}

int xsave_set(struct vcpu *vcpu, const struct kvm_xsave *x)
{
	return restore_image(vcpu, x->region);
}

int fpu_get(struct vcpu *vcpu, struct kvm_fpu *f)
{
	struct kvm_xsave *image = kzalloc(sizeof(*image), GFP_KERNEL_ACCOUNT);
	const struct fxregs_state *fx;

	if (!image)
		return -ENOMEM;
	save_image(vcpu, image, sizeof(*image));
	fx = (const struct fxregs_state *)image;

	memset(f, 0, sizeof(*f));
	memcpy(f->fpr, fx->st_space, sizeof(f->fpr));
	memcpy(f->xmm, fx->xmm_space, sizeof(f->xmm));
	f->fcw = fx->cwd;
	f->fsw = fx->swd;
	f->ftwx = fx->twd;
	f->last_opcode = fx->fop;
	f->last_ip = fx->rip;
	f->last_dp = fx->rdp;
	f->mxcsr = fx->mxcsr;
	kfree(image);
	return 0;
}

int fpu_set(struct vcpu *vcpu, const struct kvm_fpu *f)
{
	struct kvm_xsave *image = kzalloc(sizeof(*image), GFP_KERNEL_ACCOUNT);
	struct xregs_state *xs;
	int r;

	if (!image)
		return -ENOMEM;
	/* Read, change, write: AVX state stays as it is. */
	save_image(vcpu, image, sizeof(*image));
	xs = (struct xregs_state *)image;
	memcpy(xs->i387.st_space, f->fpr, sizeof(f->fpr));
	memcpy(xs->i387.xmm_space, f->xmm, sizeof(f->xmm));
	xs->i387.cwd = f->fcw;
	xs->i387.swd = f->fsw;
	xs->i387.twd = f->ftwx;
	xs->i387.fop = f->last_opcode;
	xs->i387.rip = f->last_ip;
	xs->i387.rdp = f->last_dp;
	xs->i387.mxcsr = f->mxcsr;
	xs->header.xfeatures |= XCR0_LEGACY;
	r = restore_image(vcpu, image);
	kfree(image);
	return r;
}
