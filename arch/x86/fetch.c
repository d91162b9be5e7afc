// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instruction fetch: the guest's page tables are walked, bytes are read and decoded; and memory of
 * what was fetched before.
 *
 * What a fetch comes to depends on a few registers and on what it reads of guest memory: entries of
 * page tables, then the instruction's bytes. A memo keeps the decoded instruction with all of that.
 * It holds if each register and each word is what it was, which is looked at every time; so nobody
 * has to say that something has changed, and a guest that rewrites its code or its tables finds what
 * a new fetch would find. It costs some twenty loads where a fetch costs thousands of instructions.
 * Where in the process a word lies changes with the memory slots, which have a generation.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>
#include <arch.h>
#include <backend.h>
#include <fetch.h>
#include <gwalk.h>

#define NR_MEMOS   6 /* a driver's accesses to one device come from a handful of places */
#define MEMO_WORDS 8 /* five levels of tables, 15 bytes of code at any alignment */

/* All that a fetch depends on besides guest memory, and CPUID, which doesn't change any more. */
struct fetch_regs {
	u64 rip, cs_base;
	u64 cr0, cr3, cr4, efer;
	u64 slots; /* generation */
	u32 cs_ar;
	u8 cpl;
	bool vm86;
};

/* Bytes of an aligned word of guest memory, as they were read. */
struct fetch_word {
	const u64 __user *at;
	u64 mask, value;
};

struct fetch_memo {
	struct fetch_regs regs;
	struct fetch_word word[MEMO_WORDS]; /* in the order of reading: the tables' root is first */
	u8 words;                           /* 0: not in use */
	bool unfit;                         /* there were more, or it is not as above */
	bool for_userspace;                 /* the last access was: a guess at the next */
	struct ginsn insn;
};

struct fetch_memos {
	struct fetch_memo memo[NR_MEMOS];
	u8 victim; /* the next to be replaced */
};

static void fetch_regs_now(struct vcpu *vcpu, struct fetch_regs *r)
{
	backend_cache_mode(vcpu);
	r->rip = vcpu_reg(vcpu, REG_RIP);
	r->cs_base = backend_segment_base(vcpu, SEG_CS);
	r->cr0 = vcpu_reg(vcpu, REG_CR0);
	r->cr3 = vcpu_reg(vcpu, REG_CR3);
	r->cr4 = vcpu_reg(vcpu, REG_CR4);
	r->efer = vcpu->arch.efer;
	r->slots = vm_slots(vcpu->vm)->generation;
	r->cs_ar = backend_segment_rights(vcpu, SEG_CS);
	r->cpl = backend_cpl(vcpu);
	r->vm86 = vcpu_reg(vcpu, REG_RFLAGS) & X86_EFLAGS_VM;
}

/* CR3 apart. */
static bool same_regs(const struct fetch_regs *a, const struct fetch_regs *b)
{
	return !((a->rip ^ b->rip) | (a->cs_base ^ b->cs_base) | (a->cr0 ^ b->cr0) |
		 (a->cr4 ^ b->cr4) | (a->efer ^ b->efer) | (a->slots ^ b->slots) |
		 (a->cs_ar ^ b->cs_ar) | (a->cpl ^ b->cpl) | (a->vm86 ^ b->vm86));
}

/* --- memos: using them --- */

static struct fetch_memo *memo_of(struct vcpu *vcpu, u64 rip)
{
	struct fetch_memos *memos = vcpu->arch.fetch_memos;

	if (!memos)
		return NULL;
	for (int i = 0; i < NR_MEMOS; i++)
		if (memos->memo[i].regs.rip == rip && memos->memo[i].words)
			return &memos->memo[i];
	return NULL;
}

static const u64 __user *word_address(const struct memslot *slot, gpa_t gpa)
{
	return (const u64 __user *)(memslot_hva(slot, gpa >> PAGE_SHIFT) +
				    (offset_in_page(gpa) & ~7ul));
}

/*
 * Another process of the guest, perhaps with the same code: what counts is the entry of its own
 * root. A memo holds for whichever root, as long as its first word is that root's. In the other
 * paging modes CR3 is no page's address, or there is no root.
 */
static bool memo_moves_to(struct vcpu *vcpu, struct fetch_memo *memo, u64 cr3)
{
	gpa_t root = gwalk_root(cr3, vcpu->arch.maxphyaddr);
	const struct memslot *slot;

	if (!(memo->regs.efer & EFER_LMA))
		return false;
	slot = memslot_find(vm_slots(vcpu->vm), root >> PAGE_SHIFT);
	if (!slot)
		return false;
	memo->word[0].at = word_address(slot, root + offset_in_page(memo->word[0].at));
	memo->regs.cr3 = cr3;
	return true;
}

/* Pages that are not there just now count as changed. */
static bool words_unchanged(const struct fetch_memo *memo)
{
	const struct fetch_word *word, *end = memo->word + memo->words;
	u64 changed = 0, now;

	pagefault_disable();
	/* That one check is for them all: slots lie in the process's half, memslot_parse(). */
	if (!user_read_access_begin(memo->word[0].at, sizeof(now))) {
		pagefault_enable();
		return false;
	}
	for (word = memo->word; word < end; word++) {
		unsafe_get_user(now, word->at, unreadable);
		changed |= (now ^ word->value) & word->mask;
	}
	user_read_access_end();
	pagefault_enable();
	return !changed;

unreadable:
	user_read_access_end();
	pagefault_enable();
	return false;
}

bool fetch_may_know(struct vcpu *vcpu)
{
	const struct fetch_memo *memo;

	if (!vcpu->arch.fetch_memos)
		return false;
	memo = memo_of(vcpu, vcpu_reg(vcpu, REG_RIP));
	return memo && !memo->for_userspace;
}

void fetch_remember(const struct ginsn *known, bool here)
{
	struct fetch_memo *memo = container_of((struct ginsn *)known, struct fetch_memo, insn);

	memo->for_userspace = !here;
}

const struct ginsn *fetch_again(struct vcpu *vcpu)
{
	struct fetch_memo *memo = memo_of(vcpu, vcpu_reg(vcpu, REG_RIP));
	struct fetch_regs now;

	if (!memo)
		return NULL;
	fetch_regs_now(vcpu, &now);
	if (!same_regs(&memo->regs, &now))
		return NULL;
	if (memo->regs.cr3 != now.cr3 && !memo_moves_to(vcpu, memo, now.cr3))
		return NULL;
	return words_unchanged(memo) ? &memo->insn : NULL;
}

/* --- memos: making them --- */

/* A memo to be filled in; not in use until memo_end(). NULL without memory: never mind. */
static struct fetch_memo *memo_begin(struct vcpu *vcpu)
{
	struct fetch_memos *memos = vcpu->arch.fetch_memos;
	struct fetch_memo *memo;

	if (!memos) {
		memos = kzalloc(sizeof(*memos), GFP_KERNEL_ACCOUNT);
		vcpu->arch.fetch_memos = memos;
	}
	if (!memos)
		return NULL;
	memo = memo_of(vcpu, vcpu_reg(vcpu, REG_RIP));
	if (!memo) {
		memo = &memos->memo[memos->victim];
		memos->victim = (memos->victim + 1) % NR_MEMOS;
	}
	fetch_regs_now(vcpu, &memo->regs);
	memo->words = 0;
	memo->unfit = false;
	memo->for_userspace = false;
	return memo;
}

/* The fetch has read @n bytes at @gpa, all in one page. */
static void memo_add(struct vcpu *vcpu, struct fetch_memo *memo, gpa_t gpa, const void *data,
		     size_t n)
{
	const struct memslot *slot = memslot_find(vm_slots(vcpu->vm), gpa >> PAGE_SHIFT);
	size_t skip, len;

	for (; n; gpa += len, data += len, n -= len) {
		struct fetch_word *word = &memo->word[memo->words];

		if (!slot || memo->words == MEMO_WORDS) {
			memo->unfit = true;
			return;
		}
		skip = gpa & 7;
		len = min_t(size_t, n, 8 - skip);
		word->at = word_address(slot, gpa);
		word->mask = GENMASK_ULL(8 * (skip + len) - 1, 8 * skip);
		word->value = 0;
		memcpy((u8 *)&word->value + skip, data, len);
		memo->words++;
	}
}

/* It came to @insn. If slots have changed meanwhile, addresses of two generations are in there. */
static void memo_end(struct vcpu *vcpu, struct fetch_memo *memo, const struct ginsn *insn)
{
	if (memo->unfit || memo->regs.slots != vm_slots(vcpu->vm)->generation)
		memo->words = 0;
	memo->insn = *insn;
}

void fetch_vcpu_destroy(struct vcpu *vcpu)
{
	kfree(vcpu->arch.fetch_memos);
	vcpu->arch.fetch_memos = NULL;
}

/* --- guest-linear memory --- */

/* Who reads: the context of a walk. */
struct reader {
	struct vcpu *vcpu;
	struct fetch_memo *memo; /* where to note what was read; NULL: nowhere */
};

static int read_noted(void *ctx, u64 gpa, void *data, size_t n)
{
	const struct reader *by = ctx;
	int r = vm_read_guest(by->vcpu->vm, gpa, data, n);

	if (!r && by->memo)
		memo_add(by->vcpu, by->memo, gpa, data, n);
	return r;
}

/* A and D bits are the processor's: it has walked the same tables before it exited. */
static const struct gwalk_ops walk_ops = { .read = read_noted };

static void walk_state(struct vcpu *vcpu, struct gwalk *w)
{
	*w = (struct gwalk){
		.cr0 = vcpu_reg(vcpu, REG_CR0),
		.cr3 = vcpu_reg(vcpu, REG_CR3),
		.cr4 = vcpu_reg(vcpu, REG_CR4),
		.efer = vcpu->arch.efer,
		.rflags = vcpu_reg(vcpu, REG_RFLAGS),
		.pkru = vcpu->arch.pkru,
		.cpl = backend_cpl(vcpu),
		.maxphyaddr = vcpu->arch.maxphyaddr,
		.gbpages = vcpu->arch.gbpages,
	};
}

static int translate(struct reader *by, u64 la, u32 access, gpa_t *gpa)
{
	struct gwalk_result out;
	struct gwalk w;
	int r;

	walk_state(by->vcpu, &w);
	r = gwalk_translate(&w, &walk_ops, by, la, access, &out);
	if (r == -EFAULT) {
		event_queue_page_fault(by->vcpu, la, out.error_code);
		return 1;
	}
	*gpa = out.gpa;
	return r;
}

int guest_translate(struct vcpu *vcpu, u64 la, u32 access, gpa_t *gpa)
{
	struct reader by = { .vcpu = vcpu };

	return translate(&by, la, access, gpa);
}

/* --- the fetch --- */

/* Fetch up to the end of the page that holds byte @have, behind the @have bytes already there. */
static int fetch_more(struct reader *by, u64 la, u8 *bytes, unsigned int *have)
{
	unsigned int n =
		min_t(unsigned int, GINSN_MAX_LEN - *have, PAGE_SIZE - offset_in_page(la + *have));
	gpa_t gpa;
	int r;

	if (*have && by->memo)
		by->memo->unfit = true; /* two pages, two walks */
	r = translate(by, la + *have, GWALK_FETCH, &gpa);
	if (!r)
		r = read_noted(by, gpa, bytes + *have, n);
	if (!r)
		*have += n;
	return r;
}

static int fetch_anew(struct vcpu *vcpu, struct reader *by, struct ginsn *insn)
{
	u64 rip = vcpu_reg(vcpu, REG_RIP), la;
	u32 cs_ar = backend_segment_rights(vcpu, SEG_CS);
	enum ginsn_mode mode = ginsn_mode(vcpu_reg(vcpu, REG_CR0) & X86_CR0_PE,
					  vcpu_reg(vcpu, REG_RFLAGS) & X86_EFLAGS_VM,
					  vcpu->arch.efer & EFER_LMA, cs_ar);
	u8 bytes[GINSN_MAX_LEN] = {};
	unsigned int have = 0;
	int r;

	la = mode == GINSN_MODE_64 ? rip : (u32)(backend_segment_base(vcpu, SEG_CS) + rip);
	do {
		r = fetch_more(by, la, bytes, &have);
		if (r == 1)
			return 2;
		if (r < 0)
			return io_emulation_failed(vcpu, bytes, have);
		r = ginsn_decode(insn, bytes, have, mode);
	} while (r == -ENODATA && have < GINSN_MAX_LEN);
	if (!r)
		return 1;
	if (r == -E2BIG)
		event_queue_exception_error(vcpu, X86_TRAP_GP, 0);
	else if (r == -EINVAL) /* another vCPU has rewritten the code since the exit */
		event_queue_exception(vcpu, X86_TRAP_UD);
	else
		return io_emulation_failed(vcpu, bytes, have);
	return 2;
}

int fetch_insn(struct vcpu *vcpu, struct ginsn *insn)
{
	const struct ginsn *known = fetch_again(vcpu);
	struct reader by = { .vcpu = vcpu };
	int r;

	if (known) {
		*insn = *known;
		return 1;
	}
	by.memo = memo_begin(vcpu);
	r = fetch_anew(vcpu, &by, insn);
	if (r == 1 && by.memo)
		memo_end(vcpu, by.memo, insn);
	else if (by.memo)
		by.memo->words = 0;
	return r;
}
