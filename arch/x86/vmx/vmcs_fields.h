/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VMCS field encodings and the bits inside the fields: SDM appendix "Field Encoding in VMCS" and
 * section "VM-Execution Control Fields" and its neighbours. Names are VMCS_<GROUP>_<FIELD>; a
 * field's bits stand beneath it. Constants only, so that entry.S can include it too.
 */
/* The bits of a field are indented beneath it: */
/* clang-format off */
#ifndef VMX_VMCS_FIELDS_H
#define VMX_VMCS_FIELDS_H

/* Bits 14:13 of an encoding give the width: 0 = 16 bits, 1 = 64, 2 = 32, 3 = natural. */
#define VMCS_FIELD_WIDTH(field) (((field) >> 13) & 3)

/* --- 16-bit --- */
#define VMCS_CTRL_VPID		 0x0000
#define VMCS_CTRL_POSTED_VECTOR	 0x0002
#define VMCS_GUEST_ES_SEL	 0x0800 /* ES, CS, SS, DS, FS, GS, LDTR, TR: step 2 */
#define VMCS_GUEST_CS_SEL	 0x0802
#define VMCS_GUEST_SS_SEL	 0x0804
#define VMCS_GUEST_DS_SEL	 0x0806
#define VMCS_GUEST_FS_SEL	 0x0808
#define VMCS_GUEST_GS_SEL	 0x080a
#define VMCS_GUEST_LDTR_SEL	 0x080c
#define VMCS_GUEST_TR_SEL	 0x080e
#define VMCS_GUEST_INTR_STATUS	 0x0810
#define   INTR_STATUS_RVI	 0x00ffu /* highest requesting vector */
#define   INTR_STATUS_SVI	 0xff00u /* highest vector in service */
#define VMCS_HOST_ES_SEL	 0x0c00
#define VMCS_HOST_CS_SEL	 0x0c02
#define VMCS_HOST_SS_SEL	 0x0c04
#define VMCS_HOST_DS_SEL	 0x0c06
#define VMCS_HOST_FS_SEL	 0x0c08
#define VMCS_HOST_GS_SEL	 0x0c0a
#define VMCS_HOST_TR_SEL	 0x0c0c

/* --- 64-bit --- */
#define VMCS_CTRL_IO_BITMAP_A	 0x2000
#define VMCS_CTRL_IO_BITMAP_B	 0x2002
#define VMCS_CTRL_MSR_BITMAP	 0x2004
#define VMCS_CTRL_TSC_OFFSET	 0x2010
#define VMCS_CTRL_VAPIC_ADDR	 0x2012
#define VMCS_CTRL_APIC_ACCESS	 0x2014
#define VMCS_CTRL_PI_DESC	 0x2016
#define VMCS_CTRL_EPTP		 0x201a
#define   EPTP_MEMTYPE_WB	 6
#define   EPTP_WALK_4		 (3 << 3)
#define   EPTP_ACCESSED_DIRTY	 (1 << 6)
#define VMCS_CTRL_XSS_BITMAP	 0x202c
#define VMCS_CTRL_TSC_MULTIPLIER 0x2032
#define VMCS_CTRL_EOI_EXIT0	 0x201c /* four fields, step 2 */
#define VMCS_EXIT_GUEST_PHYS	 0x2400
#define VMCS_GUEST_LINK_POINTER	 0x2800
#define VMCS_GUEST_DEBUGCTL	 0x2802
#define VMCS_GUEST_PAT		 0x2804
#define VMCS_GUEST_EFER		 0x2806
#define VMCS_GUEST_PDPTE0	 0x280a /* four fields, step 2 */
#define VMCS_HOST_PAT		 0x2c00
#define VMCS_HOST_EFER		 0x2c02

/* --- 32-bit --- */
#define VMCS_CTRL_PIN		 0x4000
#define   PIN_EXT_INTR_EXIT	 (1u << 0)
#define   PIN_NMI_EXIT		 (1u << 3)
#define   PIN_VIRTUAL_NMIS	 (1u << 5)
#define   PIN_PREEMPT_TIMER	 (1u << 6)
#define   PIN_POSTED_INTR	 (1u << 7)
#define VMCS_CTRL_PROC		 0x4002
#define   PROC_IRQ_WINDOW	 (1u << 2)
#define   PROC_TSC_OFFSET	 (1u << 3)
#define   PROC_HLT_EXIT		 (1u << 7)
#define   PROC_INVLPG_EXIT	 (1u << 9)
#define   PROC_MWAIT_EXIT	 (1u << 10)
#define   PROC_RDPMC_EXIT	 (1u << 11)
#define   PROC_RDTSC_EXIT	 (1u << 12)
#define   PROC_CR3_LOAD_EXIT	 (1u << 15)
#define   PROC_CR3_STORE_EXIT	 (1u << 16)
#define   PROC_CR8_LOAD_EXIT	 (1u << 19)
#define   PROC_CR8_STORE_EXIT	 (1u << 20)
#define   PROC_TPR_SHADOW	 (1u << 21)
#define   PROC_NMI_WINDOW	 (1u << 22)
#define   PROC_MOV_DR_EXIT	 (1u << 23)
#define   PROC_UNCOND_IO_EXIT	 (1u << 24)
#define   PROC_IO_BITMAPS	 (1u << 25)
#define   PROC_MONITOR_TRAP	 (1u << 27)
#define   PROC_MSR_BITMAPS	 (1u << 28)
#define   PROC_MONITOR_EXIT	 (1u << 29)
#define   PROC_PAUSE_EXIT	 (1u << 30)
#define   PROC_SECONDARY	 (1u << 31)
#define VMCS_CTRL_EXCEPTIONS	 0x4004
#define VMCS_CTRL_PF_MASK	 0x4006
#define VMCS_CTRL_PF_MATCH	 0x4008
#define VMCS_CTRL_CR3_TARGETS	 0x400a
#define VMCS_CTRL_EXIT		 0x400c
#define   EXIT_SAVE_DEBUG	 (1u << 2)
#define   EXIT_HOST_64BIT	 (1u << 9)
#define   EXIT_ACK_INTR		 (1u << 15)
#define   EXIT_SAVE_PAT		 (1u << 18)
#define   EXIT_LOAD_PAT		 (1u << 19)
#define   EXIT_SAVE_EFER	 (1u << 20)
#define   EXIT_LOAD_EFER	 (1u << 21)
#define VMCS_CTRL_EXIT_STORE_N	 0x400e
#define VMCS_CTRL_EXIT_LOAD_N	 0x4010
#define VMCS_CTRL_ENTRY		 0x4012
#define   ENTRY_LOAD_DEBUG	 (1u << 2)
#define   ENTRY_IA32E_GUEST	 (1u << 9)
#define   ENTRY_SMM		 (1u << 10)
#define   ENTRY_DUAL_MONITOR	 (1u << 11)
#define   ENTRY_LOAD_PAT	 (1u << 14)
#define   ENTRY_LOAD_EFER	 (1u << 15)
#define VMCS_CTRL_ENTRY_LOAD_N	 0x4014
#define VMCS_CTRL_ENTRY_INTR	 0x4016
#define VMCS_CTRL_ENTRY_ERROR	 0x4018
#define VMCS_CTRL_ENTRY_INSN_LEN 0x401a
#define VMCS_CTRL_TPR_THRESHOLD	 0x401c
#define VMCS_CTRL_PROC2		 0x401e
#define   PROC2_APIC_ACCESS	 (1u << 0)
#define   PROC2_EPT		 (1u << 1)
#define   PROC2_DESC_EXIT	 (1u << 2)
#define   PROC2_RDTSCP		 (1u << 3)
#define   PROC2_X2APIC		 (1u << 4)
#define   PROC2_VPID		 (1u << 5)
#define   PROC2_WBINVD_EXIT	 (1u << 6)
#define   PROC2_UNRESTRICTED	 (1u << 7)
#define   PROC2_APIC_REGISTER	 (1u << 8)
#define   PROC2_VIRT_INTR	 (1u << 9)
#define   PROC2_PAUSE_LOOP	 (1u << 10)
#define   PROC2_INVPCID		 (1u << 12)
#define   PROC2_XSAVES		 (1u << 20)
#define   PROC2_TSC_SCALING	 (1u << 25)
#define VMCS_CTRL_PLE_GAP	 0x4020
#define VMCS_CTRL_PLE_WINDOW	 0x4022
#define VMCS_EXIT_INSN_ERROR	 0x4400
#define VMCS_EXIT_REASON	 0x4402
#define   EXIT_REASON_BASIC	 0xffffu
#define   EXIT_REASON_ENTRY_FAIL (1u << 31)
#define VMCS_EXIT_INTR_INFO	 0x4404
#define   INTR_INFO_VECTOR	 0xffu
#define   INTR_INFO_TYPE	 0x700u
#define   INTR_INFO_ERROR	 (1u << 11)
#define   INTR_INFO_NMI_UNBLOCK	 (1u << 12) /* exits: an IRET had unblocked NMIs */
#define   INTR_INFO_VALID	 (1u << 31)
#define VMCS_EXIT_INTR_ERROR	 0x4406
#define VMCS_EXIT_IDT_INFO	 0x4408 /* event whose delivery the exit interrupted */
#define VMCS_EXIT_IDT_ERROR	 0x440a
#define VMCS_EXIT_INSN_LEN	 0x440c
#define VMCS_EXIT_INSN_INFO	 0x440e
#define VMCS_GUEST_ES_LIMIT	 0x4800 /* as the selectors: step 2 */
#define VMCS_GUEST_CS_LIMIT	 0x4802
#define VMCS_GUEST_SS_LIMIT	 0x4804
#define VMCS_GUEST_DS_LIMIT	 0x4806
#define VMCS_GUEST_FS_LIMIT	 0x4808
#define VMCS_GUEST_GS_LIMIT	 0x480a
#define VMCS_GUEST_LDTR_LIMIT	 0x480c
#define VMCS_GUEST_TR_LIMIT	 0x480e
#define VMCS_GUEST_GDTR_LIMIT	 0x4810
#define VMCS_GUEST_IDTR_LIMIT	 0x4812
#define VMCS_GUEST_ES_AR	 0x4814
#define   SEGAR_TYPE		 0x000fu
#define   SEGAR_TYPE_TSS_BUSY	 0x000bu /* 32-bit or 64-bit */
#define   SEGAR_S			 (1u << 4)
#define   SEGAR_DPL		 (3u << 5)
#define   SEGAR_P			 (1u << 7)
#define   SEGAR_AVL		 (1u << 12)
#define   SEGAR_L			 (1u << 13)
#define   SEGAR_DB			 (1u << 14)
#define   SEGAR_G			 (1u << 15)
#define   SEGAR_UNUSABLE		 (1u << 16)
#define VMCS_GUEST_CS_AR	 0x4816
#define VMCS_GUEST_SS_AR	 0x4818
#define VMCS_GUEST_DS_AR	 0x481a
#define VMCS_GUEST_FS_AR	 0x481c
#define VMCS_GUEST_GS_AR	 0x481e
#define VMCS_GUEST_LDTR_AR	 0x4820
#define VMCS_GUEST_TR_AR	 0x4822
#define VMCS_GUEST_BLOCKING	 0x4824 /* interruptibility state */
#define   GUEST_BLOCK_STI	 (1u << 0)
#define   GUEST_BLOCK_MOVSS	 (1u << 1)
#define   GUEST_BLOCK_SMI	 (1u << 2)
#define   GUEST_BLOCK_NMI	 (1u << 3)
#define VMCS_GUEST_ACTIVITY	 0x4826
#define VMCS_GUEST_PREEMPT_TIMER 0x482e
#define   ACTIVITY_ACTIVE	 0
#define   ACTIVITY_HLT		 1
#define VMCS_GUEST_SYSENTER_CS	 0x482a
#define VMCS_HOST_SYSENTER_CS	 0x4c00

/* --- natural width --- */
#define VMCS_CTRL_CR0_MASK	 0x6000 /* 1: the host owns the bit; reads give the shadow */
#define VMCS_CTRL_CR4_MASK	 0x6002
#define VMCS_CTRL_CR0_SHADOW	 0x6004
#define VMCS_CTRL_CR4_SHADOW	 0x6006
#define VMCS_EXIT_QUALIFICATION	 0x6400
#define VMCS_EXIT_GUEST_LINEAR	 0x640a
#define VMCS_EXIT_IO_RCX	 0x6402
#define VMCS_EXIT_IO_RSI	 0x6404
#define VMCS_EXIT_IO_RDI	 0x6406
#define VMCS_EXIT_IO_RIP	 0x6408
#define VMCS_EXIT_LINEAR	 0x640a
#define VMCS_GUEST_CR0		 0x6800
#define VMCS_GUEST_CR3		 0x6802
#define VMCS_GUEST_CR4		 0x6804
#define VMCS_GUEST_ES_BASE	 0x6806
#define VMCS_GUEST_CS_BASE	 0x6808
#define VMCS_GUEST_SS_BASE	 0x680a
#define VMCS_GUEST_DS_BASE	 0x680c
#define VMCS_GUEST_FS_BASE	 0x680e
#define VMCS_GUEST_GS_BASE	 0x6810
#define VMCS_GUEST_LDTR_BASE	 0x6812
#define VMCS_GUEST_TR_BASE	 0x6814
#define VMCS_GUEST_GDTR_BASE	 0x6816
#define VMCS_GUEST_IDTR_BASE	 0x6818
#define VMCS_GUEST_DR7		 0x681a
#define VMCS_GUEST_RSP		 0x681c
#define VMCS_GUEST_RIP		 0x681e
#define VMCS_GUEST_RFLAGS	 0x6820
#define VMCS_GUEST_PENDING_DB	 0x6822
#define   PENDING_DB_ENABLED	 (1u << 12) /* one of B0..B3 is a breakpoint that is on */
#define   PENDING_DB_BS		 (1u << 14)
#define VMCS_GUEST_SYSENTER_ESP	 0x6824
#define VMCS_GUEST_SYSENTER_EIP	 0x6826
#define VMCS_HOST_CR0		 0x6c00
#define VMCS_HOST_CR3		 0x6c02
#define VMCS_HOST_CR4		 0x6c04
#define VMCS_HOST_FS_BASE	 0x6c06
#define VMCS_HOST_GS_BASE	 0x6c08
#define VMCS_HOST_TR_BASE	 0x6c0a
#define VMCS_HOST_GDTR_BASE	 0x6c0c
#define VMCS_HOST_IDTR_BASE	 0x6c0e
#define VMCS_HOST_SYSENTER_ESP	 0x6c10
#define VMCS_HOST_SYSENTER_EIP	 0x6c12
#define VMCS_HOST_RSP		 0x6c14
#define VMCS_HOST_RIP		 0x6c16

/* Basic exit reasons: SDM appendix "VMX Basic Exit Reasons". */
#define EXIT_EXCEPTION_NMI	 0
#define EXIT_EXT_INTR		 1
#define EXIT_TRIPLE_FAULT	 2
#define EXIT_INIT		 3
#define EXIT_SIPI		 4
#define EXIT_IRQ_WINDOW		 7
#define EXIT_NMI_WINDOW		 8
#define EXIT_TASK_SWITCH	 9
#define EXIT_CPUID		 10
#define EXIT_GETSEC		 11
#define EXIT_HLT		 12
#define EXIT_INVD		 13
#define EXIT_INVLPG		 14
#define EXIT_RDPMC		 15
#define EXIT_RDTSC		 16
#define EXIT_RSM		 17
#define EXIT_VMCALL		 18
#define EXIT_VMCLEAR		 19
#define EXIT_VMLAUNCH		 20
#define EXIT_VMPTRLD		 21
#define EXIT_VMPTRST		 22
#define EXIT_VMREAD		 23
#define EXIT_VMRESUME		 24
#define EXIT_VMWRITE		 25
#define EXIT_VMXOFF		 26
#define EXIT_VMXON		 27
#define EXIT_CR_ACCESS		 28
#define EXIT_DR_ACCESS		 29
#define EXIT_IO			 30
#define EXIT_RDMSR		 31
#define EXIT_WRMSR		 32
#define EXIT_BAD_GUEST_STATE	 33
#define EXIT_BAD_MSR_LOAD	 34
#define EXIT_MWAIT		 36
#define EXIT_MONITOR_TRAP	 37
#define EXIT_MONITOR		 39
#define EXIT_PAUSE		 40
#define EXIT_BAD_MCE		 41
#define EXIT_TPR_BELOW		 43
#define EXIT_APIC_ACCESS	 44
#define EXIT_VIRT_EOI		 45
#define EXIT_GDTR_IDTR		 46
#define EXIT_LDTR_TR		 47
#define EXIT_EPT_VIOLATION	 48
#define EXIT_EPT_MISCONFIG	 49
#define EXIT_INVEPT		 50
#define EXIT_RDTSCP		 51
#define EXIT_PREEMPT_TIMER	 52
#define EXIT_INVVPID		 53
#define EXIT_WBINVD		 54
#define EXIT_XSETBV		 55
#define EXIT_APIC_WRITE		 56
#define EXIT_INVPCID		 58

/* Exit qualifications: SDM section "Basic VM-Exit Information". */
#define QUAL_CR_NUMBER		 0xful
#define QUAL_CR_TYPE		 0x30ul
#define   QUAL_CR_TYPE_MOV_TO	 0
#define   QUAL_CR_TYPE_MOV_FROM	 1
#define   QUAL_CR_TYPE_CLTS	 2
#define   QUAL_CR_TYPE_LMSW	 3
#define QUAL_CR_GPR		 0xf00ul
#define QUAL_CR_LMSW_SOURCE	 0xffff0000ul
#define QUAL_DR_NUMBER		 0x7ul
#define QUAL_DR_FROM		 (1ul << 4)
#define QUAL_DR_GPR		 0xf00ul
#define QUAL_IO_SIZE		 0x7ul /* minus one */
#define QUAL_IO_IN		 (1ul << 3)
#define QUAL_IO_STRING		 (1ul << 4)
#define QUAL_IO_REP		 (1ul << 5)
#define QUAL_IO_PORT		 0xffff0000ul
#define QUAL_EPT_READ		 (1ul << 0)
#define QUAL_EPT_WRITE		 (1ul << 1)
#define QUAL_EPT_FETCH		 (1ul << 2)
#define QUAL_EPT_PRESENT	 (7ul << 3) /* some right was granted by the entry */
#define QUAL_EPT_LINEAR		 (1ul << 7) /* VMCS_EXIT_GUEST_LINEAR is valid */
#define QUAL_EPT_TRANSLATED	 (1ul << 8) /* ... and what was accessed, not an entry of tables */
#define QUAL_EPT_NMI_UNBLOCK	 (1ul << 12)
#define QUAL_APIC_OFFSET	 0xffful
#define QUAL_APIC_TYPE		 0xf000ul
#define   QUAL_APIC_READ	 0 /* linear, by an instruction's data access */
#define   QUAL_APIC_WRITE	 1

#endif
/* clang-format on */
