// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPUID of a guest: policy, look-up, bits that follow registers.
 *
 * The policy is two tables. A feature that is not in features[] is not offered, whatever the host
 * has: VMX, PDCM, MONITOR, SMX, PT, SGX, AMX, WAITPKG, TSX, CET and everything that needs
 * IA32_SPEC_CTRL, IA32_ARCH_CAPABILITIES or a PMU is absent because its MSRs are not virtualized.
 * TSC_DEADLINE is a capability instead (userspace adds the bit). Leaf 0x15 describes the guest's
 * TSC and APIC timer, never the host's crystal. See include/cpuid.h.
 *
 * The hypervisor leaves carry KVM's signature, and what pv.c offers. Linux guests look for the
 * former before they switch to x2APIC without interrupt remapping; kvmtool and Firecracker pass it
 * on, QEMU builds its own.
 */
#include <asm/kvm_para.h>
#include <cpuid.h>

#define CRYSTAL_HZ        1000000000U /* the APIC timer's input clock: one tick per nanosecond */
#define MAX_TSC_ERROR     20000       /* leaf 0x15 may be off by one part in this: 50 ppm */
#define XCR0_X87          0x001ULL
#define XCR0_SSE          0x002ULL
#define XCR0_YMM          0x004ULL
#define XCR0_ZMM          0x0e0ULL /* opmask and both halves: all or none */
#define XCR0_PKRU         0x200ULL

#define GUEST_CR4_OSXSAVE BIT_ULL(18)
#define GUEST_CR4_PKE     BIT_ULL(22)

#define LEAF1_ECX_OSXSAVE BIT(27)
#define LEAF1_EDX_APIC    BIT(9)
#define LEAF7_ECX_OSPKE   BIT(4)
#define LEAFD1_XSAVEC     BIT(1)
#define LEAFD1_XSAVES     BIT(3)

#define XSAVE_LEGACY_AREA 576 /* with the XSAVE header */

#define MAX_BASIC         0xd
#define MAX_EXTENDED      0x80000008

/* What a feature takes beside the host's having it. */
enum need {
	HOST,     /* nothing */
	EMULATED, /* not even the host's */
	XSAVE,
	YMM,
	ZMM,
	RDTSCP,
	INVPCID,
	XSAVES,
	UMIP,
	PKU,
	LA57,
	STRINGS,
};

/* The registers that hold features: leaf, subleaf, register. */
enum word { F1C, F1D, F7B, F7C, F7D, F71A, F71D, FD1A, FX1C, FX1D, FX8B };

static const struct {
	u32 leaf;
	u8 sub, reg;
} words[] = {
	[F1C] = { 1, 0, CPUID_REG_ECX },           [F1D] = { 1, 0, CPUID_REG_EDX },
	[F7B] = { 7, 0, CPUID_REG_EBX },           [F7C] = { 7, 0, CPUID_REG_ECX },
	[F7D] = { 7, 0, CPUID_REG_EDX },           [F71A] = { 7, 1, CPUID_REG_EAX },
	[F71D] = { 7, 1, CPUID_REG_EDX },          [FD1A] = { 0xd, 1, CPUID_REG_EAX },
	[FX1C] = { 0x80000001, 0, CPUID_REG_ECX }, [FX1D] = { 0x80000001, 0, CPUID_REG_EDX },
	[FX8B] = { 0x80000008, 0, CPUID_REG_EBX },
};

struct feature {
	u8 word, bit, need;
};

/* SDM: "CPUID—CPU Identification", tables of feature information. */
static const struct feature features[] = {
	{ F1C, 0, HOST },      /* SSE3 */
	{ F1C, 1, HOST },      /* PCLMULQDQ */
	{ F1C, 9, HOST },      /* SSSE3 */
	{ F1C, 12, YMM },      /* FMA */
	{ F1C, 13, HOST },     /* CMPXCHG16B */
	{ F1C, 17, HOST },     /* PCID */
	{ F1C, 19, HOST },     /* SSE4.1 */
	{ F1C, 20, HOST },     /* SSE4.2 */
	{ F1C, 21, EMULATED }, /* x2APIC */
	{ F1C, 22, HOST },     /* MOVBE */
	{ F1C, 23, HOST },     /* POPCNT */
	{ F1C, 25, HOST },     /* AES */
	{ F1C, 26, XSAVE },    /* XSAVE */
	{ F1C, 28, YMM },      /* AVX */
	{ F1C, 29, YMM },      /* F16C */
	{ F1C, 30, HOST },     /* RDRAND */
	{ F1C, 31, EMULATED }, /* runs under a hypervisor */

	{ F1D, 0, HOST },     /* FPU */
	{ F1D, 1, HOST },     /* VME */
	{ F1D, 2, HOST },     /* DE */
	{ F1D, 3, HOST },     /* PSE */
	{ F1D, 4, HOST },     /* TSC */
	{ F1D, 5, HOST },     /* MSR */
	{ F1D, 6, HOST },     /* PAE */
	{ F1D, 7, HOST },     /* MCE */
	{ F1D, 8, HOST },     /* CMPXCHG8B */
	{ F1D, 9, EMULATED }, /* APIC */
	{ F1D, 11, HOST },    /* SEP */
	{ F1D, 12, HOST },    /* MTRR */
	{ F1D, 13, HOST },    /* PGE */
	{ F1D, 14, HOST },    /* MCA */
	{ F1D, 15, HOST },    /* CMOV */
	{ F1D, 16, HOST },    /* PAT */
	{ F1D, 17, HOST },    /* PSE-36 */
	{ F1D, 19, HOST },    /* CLFLUSH */
	{ F1D, 23, HOST },    /* MMX */
	{ F1D, 24, HOST },    /* FXSR */
	{ F1D, 25, HOST },    /* SSE */
	{ F1D, 26, HOST },    /* SSE2 */
	{ F1D, 27, HOST },    /* self-snoop */

	{ F7B, 0, HOST },     /* FSGSBASE */
	{ F7B, 1, EMULATED }, /* IA32_TSC_ADJUST */
	{ F7B, 3, HOST },     /* BMI1 */
	{ F7B, 5, YMM },      /* AVX2 */
	{ F7B, 6, HOST },     /* x87 data pointer updated on exceptions only */
	{ F7B, 7, HOST },     /* SMEP */
	{ F7B, 8, HOST },     /* BMI2 */
	{ F7B, 9, STRINGS },  /* enhanced REP MOVSB/STOSB */
	{ F7B, 10, INVPCID }, /* INVPCID */
	{ F7B, 13, HOST },    /* x87 CS and DS deprecated */
	{ F7B, 16, ZMM },     /* AVX512F */
	{ F7B, 17, ZMM },     /* AVX512DQ */
	{ F7B, 18, HOST },    /* RDSEED */
	{ F7B, 19, HOST },    /* ADX */
	{ F7B, 20, HOST },    /* SMAP */
	{ F7B, 21, ZMM },     /* AVX512_IFMA */
	{ F7B, 23, HOST },    /* CLFLUSHOPT */
	{ F7B, 24, HOST },    /* CLWB */
	{ F7B, 28, ZMM },     /* AVX512CD */
	{ F7B, 29, HOST },    /* SHA */
	{ F7B, 30, ZMM },     /* AVX512BW */
	{ F7B, 31, ZMM },     /* AVX512VL */

	{ F7C, 1, ZMM },     /* AVX512_VBMI */
	{ F7C, 2, UMIP },    /* UMIP */
	{ F7C, 3, PKU },     /* PKU */
	{ F7C, 6, ZMM },     /* AVX512_VBMI2 */
	{ F7C, 8, HOST },    /* GFNI */
	{ F7C, 9, YMM },     /* VAES */
	{ F7C, 10, YMM },    /* VPCLMULQDQ */
	{ F7C, 11, ZMM },    /* AVX512_VNNI */
	{ F7C, 12, ZMM },    /* AVX512_BITALG */
	{ F7C, 14, ZMM },    /* AVX512_VPOPCNTDQ */
	{ F7C, 16, LA57 },   /* LA57 */
	{ F7C, 22, RDTSCP }, /* RDPID */
	{ F7C, 25, HOST },   /* CLDEMOTE */
	{ F7C, 27, HOST },   /* MOVDIRI */
	{ F7C, 28, HOST },   /* MOVDIR64B */

	{ F7D, 4, STRINGS }, /* fast short REP MOV */
	{ F7D, 8, ZMM },     /* AVX512_VP2INTERSECT */
	{ F7D, 10, HOST },   /* MD_CLEAR: VERW, no MSR */
	{ F7D, 14, HOST },   /* SERIALIZE */
	{ F7D, 23, ZMM },    /* AVX512_FP16 */

	{ F71A, 4, YMM },      /* AVX-VNNI */
	{ F71A, 5, ZMM },      /* AVX512_BF16 */
	{ F71A, 10, STRINGS }, /* fast zero-length REP MOVSB */
	{ F71A, 11, STRINGS }, /* fast short REP STOSB */
	{ F71A, 12, STRINGS }, /* fast short REP CMPSB, SCASB */
	{ F71A, 23, YMM },     /* AVX-IFMA */
	{ F71D, 4, YMM },      /* AVX-VNNI-INT8 */
	{ F71D, 5, YMM },      /* AVX-NE-CONVERT */
	{ F71D, 14, HOST },    /* PREFETCHIT0/1 */

	{ FD1A, 0, XSAVE },  /* XSAVEOPT */
	{ FD1A, 1, XSAVE },  /* XSAVEC */
	{ FD1A, 2, XSAVE },  /* XGETBV with ECX = 1 */
	{ FD1A, 3, XSAVES }, /* XSAVES */

	{ FX1C, 0, HOST }, /* LAHF in 64-bit mode */
	{ FX1C, 5, HOST }, /* LZCNT */
	{ FX1C, 8, HOST }, /* PREFETCHW */

	{ FX1D, 11, HOST },   /* SYSCALL */
	{ FX1D, 20, HOST },   /* execute disable */
	{ FX1D, 26, HOST },   /* 1-GByte pages */
	{ FX1D, 27, RDTSCP }, /* RDTSCP */
	{ FX1D, 29, HOST },   /* Intel 64 */

	{ FX8B, 9, HOST }, /* WBNOINVD */
};

/* A leaf of the list. Its registers are the host's where @pass allows, then @set, then features. */
struct leaf_row {
	u32 leaf;
	u32 sub;
	bool indexed;
	u32 pass[CPUID_REGS];
	u32 set[CPUID_REGS];
};

#define ALL 0xffffffff

/* Leaves 4 and 0xD have as many subleaves as the host: see their functions. */
static const struct leaf_row leaves_before_4[] = {
	/* vendor; the limit follows */
	{ .leaf = 0, .pass = { 0, ALL, ALL, ALL } },
	/* signature and CLFLUSH size; APIC ID and logical processors are userspace's */
	{ .leaf = 1, .pass = { 0x0fff3fff, 0x0000ff00 } },
	/* cache descriptors */
	{ .leaf = 2, .pass = { ALL, ALL, ALL, ALL } },
};

static const struct leaf_row leaves_before_d[] = {
	/* ARAT: the APIC timer runs in every idle state */
	{ .leaf = 6, .set = { BIT(2) } },
	{ .leaf = 7, .sub = 0, .indexed = true },
	{ .leaf = 7, .sub = 1, .indexed = true },
	/* no PMU */
	{ .leaf = 0xa },
	/* no topology: userspace knows it */
	{ .leaf = 0xb, .indexed = true },
};

static const struct leaf_row leaves_after_d[] = {
	/* TSC and crystal, in numbers of our own */
	{ .leaf = 0x15 },
	/* "KVMKVMKVM" */
	{ .leaf = 0x40000000, .set = { 0x40000001, 0x4b4d564b, 0x564b4d56, 0x0000004d } },
	{ .leaf = 0x40000001 },
	{ .leaf = 0x80000000 },
	{ .leaf = 0x80000001 },
	/* brand string */
	{ .leaf = 0x80000002, .pass = { ALL, ALL, ALL, ALL } },
	{ .leaf = 0x80000003, .pass = { ALL, ALL, ALL, ALL } },
	{ .leaf = 0x80000004, .pass = { ALL, ALL, ALL, ALL } },
	{ .leaf = 0x80000005 },
	/* L2 cache */
	{ .leaf = 0x80000006, .pass = { 0, 0, ALL, 0 } },
	/* invariant TSC */
	{ .leaf = 0x80000007, .pass = { 0, 0, 0, BIT(8) } },
	/* address widths */
	{ .leaf = 0x80000008, .pass = { 0x0000ffff } },
};

/* The list while it is built. */
struct builder {
	const struct cpuid_limits *limits;
	u64 xcr0; /* of the limits, what makes sense and fits the 4 KiB of struct kvm_xsave */
	cpuid_host_fn host;
	struct kvm_cpuid_entry2 *out;
	u32 max, n;
	u32 host_basic, host_extended, host_leaf7; /* largest leaves, and subleaf of leaf 7 */
};

/* SDM: "XSAVE-Supported Features and State-Component Bitmaps": what XCR0 may hold together. */
static u64 sensible_xcr0(u64 xcr0)
{
	u64 offered = xcr0 & (XCR0_X87 | XCR0_SSE);

	if (offered != (XCR0_X87 | XCR0_SSE))
		return 0;
	if (xcr0 & XCR0_YMM) {
		offered |= XCR0_YMM;
		if ((xcr0 & XCR0_ZMM) == XCR0_ZMM)
			offered |= XCR0_ZMM;
	}
	return offered | (xcr0 & XCR0_PKRU);
}

static bool need_met(const struct builder *b, u8 need)
{
	const struct cpuid_limits *l = b->limits;

	switch (need) {
	case XSAVE:
		return b->xcr0;
	case YMM:
		return b->xcr0 & XCR0_YMM;
	case ZMM:
		return b->xcr0 & XCR0_ZMM;
	case RDTSCP:
		return l->rdtscp;
	case INVPCID:
		return l->invpcid;
	case XSAVES:
		return l->xsaves && b->xcr0;
	case UMIP:
		return l->umip;
	case PKU:
		return l->pku && (b->xcr0 & XCR0_PKRU);
	case LA57:
		return l->la57;
	case STRINGS:
		return l->strings;
	default:
		return true;
	}
}

/* Above its limits a processor repeats some other leaf: that must not be taken for this one. */
static bool host_has(const struct builder *b, u32 leaf, u32 sub)
{
	if (leaf == 7)
		return b->host_basic >= 7 && sub <= b->host_leaf7;
	return leaf >= 0x80000000 ? leaf <= b->host_extended : leaf <= b->host_basic;
}

/* Leaves of our own, and those that head a range, stand in every list. */
static bool always_listed(const struct builder *b, u32 leaf)
{
	if (leaf == 0x15)
		return b->limits->tsc_khz;
	return leaf == 0 || leaf == 1 || leaf == 0x80000000 || (leaf & 0xff000000) == 0x40000000;
}

static void host_query(const struct builder *b, u32 leaf, u32 sub, u32 regs[CPUID_REGS])
{
	memset(regs, 0, CPUID_REGS * sizeof(regs[0]));
	if (host_has(b, leaf, sub))
		b->host(leaf, sub, regs);
}

static void emit(struct builder *b, u32 leaf, u32 sub, bool indexed, const u32 *regs)
{
	if (b->n < b->max) {
		struct kvm_cpuid_entry2 *e = &b->out[b->n];

		memset(e, 0, sizeof(*e));
		e->function = leaf;
		e->index = sub;
		e->flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0;
		e->eax = regs[CPUID_REG_EAX];
		e->ebx = regs[CPUID_REG_EBX];
		e->ecx = regs[CPUID_REG_ECX];
		e->edx = regs[CPUID_REG_EDX];
	}
	b->n++;
}

static void add_features(const struct builder *b, u32 leaf, u32 sub, const u32 *host, u32 *regs)
{
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		const struct feature *f = &features[i];
		u8 reg = words[f->word].reg;

		if (words[f->word].leaf != leaf || words[f->word].sub != sub)
			continue;
		if (f->need == EMULATED || ((host[reg] & BIT(f->bit)) && need_met(b, f->need)))
			regs[reg] |= BIT(f->bit);
	}
}

/*
 * Leaf 0x15: TSC rate = crystal * EBX / EAX, and the crystal drives the APIC timer. Guests (Linux)
 * multiply the crystal's kHz by EBX in 32 bits, so EBX is bounded: the ratio is the last convergent
 * of its continued fraction that fits. All zero ("not told") when that is not near the rate.
 */
static void describe_tsc(u64 tsc_khz, u32 *regs)
{
	const u64 crystal_khz = CRYSTAL_HZ / 1000;
	u64 num = 1, num_before = 0, den = 0, den_before = 1; /* of the convergents */
	u64 a = tsc_khz, b = crystal_khz;

	while (b && a / b * num + num_before <= ~0U / crystal_khz) {
		u64 digit = a / b, rest = a % b, next;

		next = digit * num + num_before;
		num_before = num;
		num = next;
		next = digit * den + den_before;
		den_before = den;
		den = next;
		a = b;
		b = rest;
	}
	memset(regs, 0, CPUID_REGS * sizeof(regs[0]));
	if (!num || !den)
		return;
	a = crystal_khz * num / den; /* what the guest will believe */
	if ((a > tsc_khz ? a - tsc_khz : tsc_khz - a) * MAX_TSC_ERROR > tsc_khz)
		return;
	regs[CPUID_REG_EAX] = (u32)den;
	regs[CPUID_REG_EBX] = (u32)num;
	regs[CPUID_REG_ECX] = CRYSTAL_HZ;
}

/* Values that neither are features nor pass through. */
static void adjust(const struct builder *b, u32 leaf, u32 sub, const u32 *host, u32 *regs)
{
	u32 phys;

	switch (leaf) {
	case 0:
		regs[CPUID_REG_EAX] = min_t(u32, b->host_basic, MAX_BASIC);
		if (b->limits->tsc_khz)
			regs[CPUID_REG_EAX] = 0x15;
		break;
	case 7:
		if (sub == 0)
			regs[CPUID_REG_EAX] = min_t(u32, host[CPUID_REG_EAX], 1);
		break;
	case 0x15:
		describe_tsc(b->limits->tsc_khz, regs);
		break;
	case KVM_CPUID_FEATURES:
		regs[CPUID_REG_EAX] = b->limits->pv;
		break;
	case 0x80000000:
		regs[CPUID_REG_EAX] = min_t(u32, b->host_extended, MAX_EXTENDED);
		break;
	case 0x80000008:
		phys = regs[CPUID_REG_EAX] & 0xff;
		if (b->limits->gpa_bits)
			phys = min_t(u32, phys, b->limits->gpa_bits);
		regs[CPUID_REG_EAX] =
			phys | (b->limits->la57 ? regs[CPUID_REG_EAX] & 0xff00 : 48 << 8);
		break;
	}
}

static void add_rows(struct builder *b, const struct leaf_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct leaf_row *row = &rows[i];
		u32 host[CPUID_REGS], regs[CPUID_REGS];

		if (!always_listed(b, row->leaf) &&
		    (row->leaf == 0x15 || !host_has(b, row->leaf, row->sub)))
			continue;
		host_query(b, row->leaf, row->sub, host);
		for (int r = 0; r < CPUID_REGS; r++)
			regs[r] = (host[r] & row->pass[r]) | row->set[r];
		add_features(b, row->leaf, row->sub, host, regs);
		adjust(b, row->leaf, row->sub, host, regs);
		emit(b, row->leaf, row->sub, row->indexed, regs);
	}
}

/* Deterministic cache parameters: subleaves up to the one of type 0. */
static void add_leaf_4(struct builder *b)
{
	u32 regs[CPUID_REGS];
	u32 sub = 0;

	do {
		host_query(b, 4, sub, regs);
		emit(b, 4, sub, true, regs);
	} while ((regs[CPUID_REG_EAX] & 0x1f) && ++sub < 16);
}

/* Extended state: what XCR0 may hold, and where the host's XSAVE puts each component. */
static void add_leaf_d(struct builder *b)
{
	u32 host[CPUID_REGS], regs[CPUID_REGS] = { 0 };
	u64 end = XSAVE_LEGACY_AREA;
	u32 head = b->n;

	if (b->host_basic < 0xd || !b->xcr0)
		return;
	emit(b, 0xd, 0, true, regs); /* filled in below */
	host_query(b, 0xd, 1, host);
	add_features(b, 0xd, 1, host, regs);
	emit(b, 0xd, 1, true, regs);
	for (u32 sub = 2; sub < 63; sub++) {
		if (!(b->xcr0 & BIT_ULL(sub)))
			continue;
		host_query(b, 0xd, sub, host);
		end = max_t(u64, end, (u64)host[CPUID_REG_EAX] + host[CPUID_REG_EBX]);
		emit(b, 0xd, sub, true, host);
	}
	if (head < b->max) {
		b->out[head].eax = (u32)b->xcr0;
		b->out[head].ebx = XSAVE_LEGACY_AREA;
		b->out[head].ecx = (u32)end;
		b->out[head].edx = (u32)(b->xcr0 >> 32);
	}
}

int cpuid_supported(const struct cpuid_limits *limits, cpuid_host_fn host,
		    struct kvm_cpuid_entry2 *out, u32 max, u32 *n)
{
	struct builder b = {
		.limits = limits,
		.xcr0 = sensible_xcr0(limits->xcr0),
		.host = host,
		.out = out,
		.max = max,
	};
	u32 regs[CPUID_REGS];

	host(0, 0, regs);
	b.host_basic = regs[CPUID_REG_EAX];
	host(0x80000000, 0, regs);
	b.host_extended = max_t(u32, 0x80000000, regs[CPUID_REG_EAX]);
	host_query(&b, 7, 0, regs);
	b.host_leaf7 = regs[CPUID_REG_EAX];

	add_rows(&b, leaves_before_4, ARRAY_SIZE(leaves_before_4));
	add_leaf_4(&b);
	add_rows(&b, leaves_before_d, ARRAY_SIZE(leaves_before_d));
	add_leaf_d(&b);
	add_rows(&b, leaves_after_d, ARRAY_SIZE(leaves_after_d));
	*n = b.n;
	if (b.n > max)
		return -E2BIG;
	/* the same state as a vCPU after reset: XCR0 is 1, the APIC is on */
	cpuid_update_runtime(out, b.n, 0, 1, true);
	return 0;
}

int cpuid_validate(const struct kvm_cpuid_entry2 *entries, u32 n)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(entries, n, 0x80000008, 0);
	u32 width = e ? (e->eax >> 8) & 0xff : 0;

	return width == 0 || width == 48 || width == 57 ? 0 : -EINVAL;
}

const struct kvm_cpuid_entry2 *cpuid_find(const struct kvm_cpuid_entry2 *entries, u32 n, u32 leaf,
					  u32 sub)
{
	for (u32 i = 0; i < n; i++) {
		const struct kvm_cpuid_entry2 *e = &entries[i];

		if (e->function != leaf)
			continue;
		if (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == sub)
			return e;
	}
	return NULL;
}

/* AMD and Hygon processors read zeros out of range, all others repeat a leaf. */
static bool reads_zero_out_of_range(const struct kvm_cpuid_entry2 *leaf0)
{
	bool amd = leaf0->ebx == 0x68747541 && leaf0->edx == 0x69746e65 && leaf0->ecx == 0x444d4163;
	bool hygon =
		leaf0->ebx == 0x6f677948 && leaf0->edx == 0x6e65476e && leaf0->ecx == 0x656e6975;

	return amd || hygon;
}

/* The entry that names the largest leaf of @leaf's range. */
static const struct kvm_cpuid_entry2 *range_head(const struct kvm_cpuid_entry2 *entries, u32 n,
						 u32 leaf)
{
	u32 head = 0;

	if (leaf >= 0x40000000 && leaf <= 0x4fffffff)
		head = leaf & 0xffffff00; /* several interfaces may stand side by side */
	else if (leaf >= 0xc0000000)
		head = 0xc0000000;
	else if (leaf >= 0x80000000)
		head = leaf & 0x80000000;
	return cpuid_find(entries, n, head, 0);
}

/* The entry an out-of-range leaf is answered with, or NULL for zeros. */
static const struct kvm_cpuid_entry2 *out_of_range(const struct kvm_cpuid_entry2 *entries, u32 n,
						   u32 leaf, u32 sub)
{
	const struct kvm_cpuid_entry2 *basic = cpuid_find(entries, n, 0, 0);
	const struct kvm_cpuid_entry2 *head = range_head(entries, n, leaf);

	if (!basic || reads_zero_out_of_range(basic))
		return NULL;
	if (head && leaf <= head->eax)
		return NULL; /* in range, merely absent */
	return cpuid_find(entries, n, basic->eax, sub);
}

struct cpuid_result cpuid_query(const struct kvm_cpuid_entry2 *entries, u32 n, u32 leaf, u32 sub)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(entries, n, leaf, sub);

	if (!e)
		e = out_of_range(entries, n, leaf, sub);
	if (e)
		return (struct cpuid_result){ e->eax, e->ebx, e->ecx, e->edx };
	/* a topology that has a subleaf 0 has an x2APIC ID for every subleaf */
	e = leaf == 0xb || leaf == 0x1f ? cpuid_find(entries, n, leaf, 0) : NULL;
	return (struct cpuid_result){ .ecx = e ? sub & 0xff : 0, .edx = e ? e->edx : 0 };
}

bool cpuid_has(const struct kvm_cpuid_entry2 *entries, u32 n, u32 leaf, u32 sub, unsigned int reg,
	       u32 bit)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(entries, n, leaf, sub);
	u32 value;

	if (!e)
		return false;
	value = reg == CPUID_REG_EAX   ? e->eax
		: reg == CPUID_REG_EBX ? e->ebx
		: reg == CPUID_REG_ECX ? e->ecx
				       : e->edx;
	return value & BIT(bit);
}

u8 cpuid_maxphyaddr(const struct kvm_cpuid_entry2 *entries, u32 n)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(entries, n, 0x80000008, 0);

	if (!e || !(e->eax & 0xff))
		return 36;
	return max_t(u32, 32, min_t(u32, 52, e->eax & 0xff));
}

u64 cpuid_xcr0(const struct kvm_cpuid_entry2 *entries, u32 n, u64 host_xcr0)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(entries, n, 0xd, 0);

	return e ? (e->eax | (u64)e->edx << 32) & host_xcr0 : 0;
}

/* Bytes of the XSAVE area for the components of @mask, by the guest's own leaf 0xD. */
static u32 xsave_size(const struct kvm_cpuid_entry2 *entries, u32 n, u64 mask, bool compacted)
{
	u64 end = XSAVE_LEGACY_AREA;

	for (u32 sub = 2; sub < 63; sub++) {
		const struct kvm_cpuid_entry2 *e;

		if (!(mask & BIT_ULL(sub)))
			continue;
		e = cpuid_find(entries, n, 0xd, sub);
		if (!e)
			continue;
		if (!compacted) {
			end = max_t(u64, end, (u64)e->eax + e->ebx);
			continue;
		}
		if (e->ecx & BIT(1)) /* aligned on 64 bytes */
			end = (end + 63) & ~63ULL;
		end += e->eax;
	}
	return min_t(u64, end, ALL);
}

static struct kvm_cpuid_entry2 *find_mutable(struct kvm_cpuid_entry2 *entries, u32 n, u32 leaf,
					     u32 sub)
{
	return (struct kvm_cpuid_entry2 *)cpuid_find(entries, n, leaf, sub);
}

static void mirror_bit(u32 *reg, u32 bit, bool value)
{
	*reg = value ? *reg | bit : *reg & ~bit;
}

void cpuid_update_runtime(struct kvm_cpuid_entry2 *entries, u32 n, u64 cr4, u64 xcr0,
			  bool apic_enabled)
{
	struct kvm_cpuid_entry2 *e;

	e = find_mutable(entries, n, 1, 0);
	if (e) {
		mirror_bit(&e->ecx, LEAF1_ECX_OSXSAVE, cr4 & GUEST_CR4_OSXSAVE);
		mirror_bit(&e->edx, LEAF1_EDX_APIC, apic_enabled);
	}
	e = find_mutable(entries, n, 7, 0);
	if (e)
		mirror_bit(&e->ecx, LEAF7_ECX_OSPKE, cr4 & GUEST_CR4_PKE);
	e = find_mutable(entries, n, 0xd, 0);
	if (e)
		e->ebx = xsave_size(entries, n, xcr0, false);
	e = find_mutable(entries, n, 0xd, 1);
	if (e && (e->eax & (LEAFD1_XSAVEC | LEAFD1_XSAVES)))
		e->ebx = xsave_size(entries, n, xcr0, true);
}
