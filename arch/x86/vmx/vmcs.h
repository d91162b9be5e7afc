/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VMX instructions and VMCS accessors. An accessor's name states the field's width, and the
 * compiler refuses the wrong one. All of them need the VMCS current on this CPU: between
 * vmcs_load() and vmcs_clear() with preemption off, or anywhere in the vCPU's own thread
 * between vcpu_load() and vcpu_put() (preemption there reloads the VMCS).
 *
 * Each instruction may fault (#UD) once reboot or a crash has executed VMXOFF under our feet; the
 * exception table then steps over it, so that the machine goes down in peace.
 */
#ifndef VMX_VMCS_H
#define VMX_VMCS_H

#include <linux/build_bug.h>
#include <linux/types.h>
#include <asm/asm.h>
#include "vmcs_fields.h"

/* SDM "VMCS region format". One page, so that it is aligned and of the largest size. */
struct vmcs {
	u32 revision;
	u32 abort;
	u8 data[PAGE_SIZE - 8];
};

/* A VMREAD or VMWRITE failed: names the field once in the log. */
void vmcs_report_error(unsigned long field, bool write);

static __always_inline u64 vmcs_read_any(unsigned long field)
{
	unsigned long value = 0;
	bool failed;

	asm volatile("1: vmread %[field], %[value]\n\t"
		     "2:\n\t" _ASM_EXTABLE(1b, 2b)
		     : [value] "+r"(value), "=@ccna"(failed)
		     : [field] "r"(field));
	if (unlikely(failed))
		vmcs_report_error(field, false);
	return value;
}

static __always_inline void vmcs_write_any(unsigned long field, u64 value)
{
	bool failed;

	asm volatile("1: vmwrite %[value], %[field]\n\t"
		     "2:\n\t" _ASM_EXTABLE(1b, 2b)
		     : "=@ccna"(failed)
		     : [field] "r"(field), [value] "rm"((unsigned long)value));
	if (unlikely(failed))
		vmcs_report_error(field, true);
}

#define VMCS_ACCESSORS(suffix, type, width)                                                      \
	static __always_inline type vmcs_read##suffix(unsigned long field)                       \
	{                                                                                        \
		BUILD_BUG_ON(__builtin_constant_p(field) && VMCS_FIELD_WIDTH(field) != (width)); \
		return (type)vmcs_read_any(field);                                               \
	}                                                                                        \
	static __always_inline void vmcs_write##suffix(unsigned long field, type value)          \
	{                                                                                        \
		BUILD_BUG_ON(__builtin_constant_p(field) && VMCS_FIELD_WIDTH(field) != (width)); \
		vmcs_write_any(field, value);                                                    \
	}

VMCS_ACCESSORS(16, u16, 0)
VMCS_ACCESSORS(64, u64, 1)
VMCS_ACCESSORS(32, u32, 2)
VMCS_ACCESSORS(_nat, unsigned long, 3)

static inline void vmcs_set_bits32(unsigned long field, u32 bits)
{
	vmcs_write32(field, vmcs_read32(field) | bits);
}

static inline void vmcs_clear_bits32(unsigned long field, u32 bits)
{
	vmcs_write32(field, vmcs_read32(field) & ~bits);
}

/* @pa: physical address of the region. Each returns false when the instruction failed. */
static inline bool vmx_vmclear(u64 pa)
{
	bool failed;

	asm volatile("1: vmclear %[pa]\n\t"
		     "2:\n\t" _ASM_EXTABLE(1b, 2b)
		     : "=@ccna"(failed)
		     : [pa] "m"(pa)
		     : "memory");
	return !failed;
}

static inline bool vmx_vmptrld(u64 pa)
{
	bool failed;

	asm volatile("1: vmptrld %[pa]\n\t"
		     "2:\n\t" _ASM_EXTABLE(1b, 2b)
		     : "=@ccna"(failed)
		     : [pa] "m"(pa)
		     : "memory");
	return !failed;
}

/* clang-format off */
/* 0, or -EIO when it faulted or failed (VMX is locked off, or was on already). */
static inline int vmx_vmxon(u64 pa)
{
	asm goto("1: vmxon %[pa]\n\t"
		 "jna %l[failed]\n\t" _ASM_EXTABLE(1b, %l[failed])
		 :
		 : [pa] "m"(pa)
		 : "memory", "cc"
		 : failed);
	return 0;
failed:
	return -EIO;
}
/* clang-format on */

static inline void vmx_vmxoff(void)
{
	asm volatile("1: vmxoff\n\t"
		     "2:\n\t" _ASM_EXTABLE(1b, 2b)
		     :
		     :
		     : "memory", "cc");
}

/* SDM "INVEPT", "INVVPID": type 1 = the one context given, 2 = all. */
static inline void vmx_invept(u64 eptp)
{
	struct {
		u64 eptp, zero;
	} operand = { eptp, 0 };

	asm volatile("1: invept %[op], %[type]\n\t"
		     "2:\n\t" _ASM_EXTABLE(1b, 2b)
		     :
		     : [op] "m"(operand), [type] "r"(1ul)
		     : "memory", "cc");
}

static inline void vmx_invvpid(u16 vpid)
{
	struct {
		u64 vpid, linear;
	} operand = { vpid, 0 };

	asm volatile("1: invvpid %[op], %[type]\n\t"
		     "2:\n\t" _ASM_EXTABLE(1b, 2b)
		     :
		     : [op] "m"(operand), [type] "r"(1ul)
		     : "memory", "cc");
}

#endif
