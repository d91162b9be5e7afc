// SPDX-License-Identifier: GPL-2.0-only
/*
 * One local APIC: accepting interrupts, priorities, and everything that a register write does.
 *
 * Knows neither the other LAPICs nor the IOAPIC: an IPI or an EOI broadcast is an effect that the
 * caller carries out. The timer's arithmetic is in vlapic_timer.c, save and restore in
 * vlapic_state.c. Left out: delivery-status bits (delivery is instant, so they always read idle),
 * and what the Pentium 4 abandoned: APR and RRD read as 0, and no remote read returns data.
 */
#include <irqchip/msg.h>
#include <irqchip/vlapic.h>

#define LAPIC_ROW(name, offset, access, writable, ignored) \
	[(offset) >> 4] = { (writable), (ignored), (access) },
const struct lapic_reg lapic_reg_table[LAPIC_NR_REGS] = { LAPIC_REGISTERS(LAPIC_ROW) };
#undef LAPIC_ROW

static const u16 lvt_offsets[] = {
	LAPIC_LVT_CMCI,  LAPIC_LVT_TIMER, LAPIC_LVT_THERMAL, LAPIC_LVT_PERF,
	LAPIC_LVT_LINT0, LAPIC_LVT_LINT1, LAPIC_LVT_ERROR,
};

/* --- 256-bit vector banks (ISR, TMR, IRR): eight words, 16 bytes apart --- */

static u32 bank_offset(u32 bank, u8 vector)
{
	return bank + (vector / 32) * 0x10;
}

static u32 *bank_word(struct vlapic *apic, u32 bank, u8 vector)
{
	return &apic->regs[bank_offset(bank, vector) / 4];
}

static u32 vector_bit(u8 vector)
{
	return 1u << (vector % 32);
}

static bool bank_test(const struct vlapic *apic, u32 bank, u8 vector)
{
	return vlapic_reg(apic, bank_offset(bank, vector)) & vector_bit(vector);
}

static int bank_highest(const struct vlapic *apic, u32 bank)
{
	int first;

	/* Most words are empty, and each interrupt has this done a few times: no loop. */
#pragma GCC unroll 8
	for (first = 224; first >= 0; first -= 32) {
		u32 bits = vlapic_reg(apic, bank_offset(bank, (u8)first));

		if (bits)
			return first + (int)__fls(bits);
	}
	return -1;
}

/* --- requests and priorities --- */

static __always_inline void fold_word(struct vlapic *apic, u32 word, u32 bits)
{
	u32 *irr = bank_word(apic, LAPIC_IRR, (u8)(word * 32));

	if (bits)
		WRITE_ONCE(*irr, *irr | bits);
}

void vlapic_fold(struct vlapic *apic)
{
	bool staged = READ_ONCE(apic->look) & VLAPIC_LOOK_STAGED;
	u32 pair, word;

	if (!vlapic_has_requests(apic))
		return;
	/* Hints first, then the bits: a sender sets them in the other order. */
	if (unlikely(staged)) {
		env_clear_u32(&apic->look, VLAPIC_LOOK_STAGED);
		apic->stale |= VLAPIC_STALE_EOIS;
	}
	posted_acknowledge(apic->posted);
	for (pair = 0; pair < 4; pair++) {
		if (!posted_in_pair(apic->posted, pair))
			continue;
		fold_word(apic, 2 * pair, posted_take(apic->posted, 2 * pair));
		fold_word(apic, 2 * pair + 1, posted_take(apic->posted, 2 * pair + 1));
	}
	for (word = 0; unlikely(staged) && word < 8; word++)
		fold_word(apic, word, env_xchg_u32(&apic->staged[word], 0));
	apic->irr_hint = true;
	apic->stale |= VLAPIC_STALE_IRR;
}

bool vlapic_holds(const struct vlapic *apic, u8 vector)
{
	u32 requested =
		READ_ONCE(apic->posted->pir[vector / 32]) | READ_ONCE(apic->staged[vector / 32]);

	return (requested & vector_bit(vector)) || bank_test(apic, LAPIC_IRR, vector) ||
	       bank_test(apic, LAPIC_ISR, vector);
}

int vlapic_highest_irr(struct vlapic *apic)
{
	vlapic_fold(apic);
	return vlapic_highest_folded(apic);
}

int vlapic_highest_folded(struct vlapic *apic)
{
	int vector;

	if (!apic->irr_hint)
		return -1;
	vector = bank_highest(apic, LAPIC_IRR);
	apic->irr_hint = vector >= 0;
	return vector;
}

int vlapic_highest_isr(struct vlapic *apic)
{
	if (apic->isr_top == VLAPIC_ISR_UNKNOWN)
		apic->isr_top = bank_highest(apic, LAPIC_ISR);
	return apic->isr_top;
}

u8 vlapic_update_ppr(struct vlapic *apic)
{
	u32 tpr = vlapic_reg(apic, LAPIC_TPR) & 0xff;
	int top = vlapic_highest_isr(apic);
	u32 isr = top < 0 ? 0 : (u32)top & LAPIC_PRIO_CLASS;
	u32 ppr = (tpr & LAPIC_PRIO_CLASS) >= isr ? tpr : isr;

	vlapic_set_reg(apic, LAPIC_PPR, ppr);
	return (u8)ppr;
}

int vlapic_peek(struct vlapic *apic)
{
	int vector = vlapic_highest_irr(apic);

	if (vector < 0 || !vlapic_hw_enabled(apic))
		return -1;
	if (((u32)vector & LAPIC_PRIO_CLASS) <= (vlapic_update_ppr(apic) & LAPIC_PRIO_CLASS))
		return -1;
	return vector;
}

int vlapic_ack(struct vlapic *apic)
{
	int vector = vlapic_peek(apic);
	u32 *irr;

	if (vector < 0)
		return -1;
	irr = bank_word(apic, LAPIC_IRR, (u8)vector);
	WRITE_ONCE(*irr, *irr & ~vector_bit((u8)vector)); /* senders look whether it is pending */
	*bank_word(apic, LAPIC_ISR, (u8)vector) |= vector_bit((u8)vector);
	/* Its class is above PPR, and so above everything in service. */
	apic->isr_top = vector;
	apic->stale |= VLAPIC_STALE_IRR | VLAPIC_STALE_ISR;
	vlapic_update_ppr(apic);
	return vector;
}

void vlapic_resync(struct vlapic *apic)
{
	u32 word;

	apic->isr_top = VLAPIC_ISR_UNKNOWN;
	apic->irr_hint = true;
	apic->svr = vlapic_reg(apic, LAPIC_SVR);
	apic->stale = VLAPIC_STALE_IRR | VLAPIC_STALE_ISR | VLAPIC_STALE_EOIS;
	/* Which edges among these somebody waits for, no image tells: report them all. */
	for (word = 0; word < 8; word++)
		env_or_u32(&apic->eoi_wanted[word],
			   vlapic_reg(apic, LAPIC_TMR + word * 0x10) |
				   vlapic_reg(apic, LAPIC_IRR + word * 0x10) |
				   vlapic_reg(apic, LAPIC_ISR + word * 0x10));
	vlapic_update_ppr(apic);
}

void vlapic_report_eoi(struct vlapic *apic, u8 vector, struct vlapic_effect *fx)
{
	fx->what |= VLAPIC_FX_EOI | VLAPIC_FX_SELF;
	fx->eoi_vector = vector;
	fx->eoi_level = bank_test(apic, LAPIC_TMR, vector);
	fx->eoi_wanted = READ_ONCE(apic->eoi_wanted[vector / 32]) & vector_bit(vector);
	fx->eoi_silent = apic->svr & LAPIC_SVR_NO_BROADCAST;
}

static void end_of_interrupt(struct vlapic *apic, struct vlapic_effect *fx)
{
	int top = vlapic_highest_isr(apic);
	u8 vector = (u8)top;

	if (top < 0) /* an EOI without an interrupt in service does nothing */
		return;
	*bank_word(apic, LAPIC_ISR, vector) &= ~vector_bit(vector);
	apic->isr_top = bank_highest(apic, LAPIC_ISR);
	apic->stale |= VLAPIC_STALE_ISR;
	vlapic_update_ppr(apic);
	vlapic_report_eoi(apic, vector, fx);
}

/* --- interrupts and events in --- */

/* Make @bit of @word in one of the atomic banks @value; most often it is right already. */
static __always_inline void put_bit(u32 *word, u32 bit, bool value)
{
	if (value == !!(READ_ONCE(*word) & bit))
		return;
	if (value)
		env_set_u32(word, bit);
	else
		env_clear_u32(word, bit);
}

/* The processor would not report the EOI: its map must change before it may find the request. */
static bool stage(struct vlapic *apic, u32 word, u32 bit)
{
	bool fresh = !(env_or_u32(&apic->staged[word], bit) & bit);

	env_set_u32(&apic->look, VLAPIC_LOOK_STAGED);
	return fresh;
}

/* 1: a new request, 0: coalesced with one that is pending. */
static __always_inline int request(struct vlapic *apic, u8 vector, enum irq_notify *how)
{
	u32 word = vector / 32, bit = vector_bit(vector);
	/* Asked before the request is made: afterwards the owner may have folded this very one. */
	bool pending = bank_test(apic, LAPIC_IRR, vector);
	bool fresh, notify;

	if (likely(!(READ_ONCE(apic->eoi_wanted[word]) & bit)) ||
	    (READ_ONCE(apic->eoi_seen[word]) & bit)) {
		fresh = posted_request(apic->posted, vector, &notify);
		*how = notify ? NOTIFY_POST : NOTIFY_NONE;
	} else {
		fresh = stage(apic, word, bit);
		*how = NOTIFY_KICK;
	}
	return fresh && !pending;
}

static int accept_message(struct vlapic *apic, const struct irq_msg *msg, enum irq_notify *how)
{
	u32 word = msg->vector / 32, bit = vector_bit(msg->vector);
	int fresh;

	/* First: who finds the request must find the trigger mode that belongs to it. */
	put_bit(bank_word(apic, LAPIC_TMR, msg->vector), bit, msg->level);
	if (!msg->quiet_eoi) /* which leaves alone what a pin's message has noted */
		put_bit(&apic->eoi_wanted[word], bit, msg->level || msg->report_eoi);
	if (msg->level || msg->report_eoi)
		smp_mb(); /* ->eoi_wanted before ->eoi_seen: see vlapic_eoi_exits() */

	fresh = request(apic, msg->vector, how);
	env_count(fresh ? &apic->delivered[msg->path] : &apic->coalesced);
	return fresh;
}

/* After a message of that vector which was none. */
static noinline struct vlapic_accepted accept_first_edge(struct vlapic *apic, u8 vector,
							 enum irq_path path)
{
	const struct irq_msg msg = { .vector = vector, .assert = true, .path = path };
	struct vlapic_accepted result;

	result.fresh = accept_message(apic, &msg, &result.how);
	return result;
}

struct vlapic_accepted vlapic_accept_edge(struct vlapic *apic, u8 vector, enum irq_path path)
{
	u32 word = vector / 32, bit = vector_bit(vector);
	struct vlapic_accepted result;
	bool pending, notify;

	if (unlikely((vlapic_reg(apic, bank_offset(LAPIC_TMR, vector)) |
		      READ_ONCE(apic->eoi_wanted[word])) &
		     bit))
		return accept_first_edge(apic, vector, path);
	/* What accept_message() would come to, there being nothing to put right. */
	pending = bank_test(apic, LAPIC_IRR, vector);
	result.fresh = posted_request(apic->posted, vector, &notify) && !pending;
	result.how = notify ? NOTIFY_POST : NOTIFY_NONE;
	env_count(result.fresh ? &apic->delivered[path] : &apic->coalesced);
	return result;
}

enum irq_notify vlapic_error(struct vlapic *apic, u32 bits)
{
	enum irq_notify how = NOTIFY_NONE;
	struct irq_msg msg;

	env_or_u32(&apic->esr_latch, bits);
	if (!vlapic_sw_enabled(apic) || !vlapic_lvt_message(apic, LAPIC_LVT_ERROR, &msg))
		return NOTIFY_NONE;
	if (msg.vector >= LAPIC_FIRST_VECTOR)
		(void)accept_message(apic, &msg, &how);
	else
		env_or_u32(&apic->esr_latch, LAPIC_ESR_RECEIVE_ILLEGAL);
	return how;
}

static int accept_fixed(struct vlapic *apic, const struct irq_msg *msg, enum irq_notify *how)
{
	if (!vlapic_sw_enabled(apic))
		return -1;
	if (msg->vector < LAPIC_FIRST_VECTOR) {
		*how = vlapic_error(apic, LAPIC_ESR_RECEIVE_ILLEGAL);
		return -1;
	}
	return accept_message(apic, msg, how);
}

int vlapic_accept(struct vlapic *apic, const struct irq_msg *msg, enum irq_notify *how)
{
	*how = NOTIFY_NONE;
	switch (msg->delivery) {
	case IRQ_DM_FIXED:
	case IRQ_DM_LOWEST:
		return msg->assert ? accept_fixed(apic, msg, how) : -1;
	case IRQ_DM_INIT:
		/* The de-assertion only synchronized arbitration IDs, which no longer exist. */
		if (!msg->assert)
			return -1;
		/* INIT outlives everything that was latched before it, a SIPI above all. */
		env_xchg_u32(&apic->pending, VLAPIC_PENDING_INIT);
		*how = NOTIFY_KICK;
		return 1;
	case IRQ_DM_STARTUP:
		WRITE_ONCE(apic->sipi_vector, msg->vector);
		env_or_u32(&apic->pending, VLAPIC_PENDING_SIPI);
		*how = NOTIFY_KICK;
		return 1;
	case IRQ_DM_REMOTE_READ:
		/*
		 * QUIRK(remote_read_wakes): a code that hardware reserves; KVM's ABI gave it to the
		 * hypercall that wakes a vCPU for paravirtual spinlocks, and thereby to IPIs. It
		 * ends the present HLT, or the next. test_vlapic: remote_read_wakes, guest_halt
		 */
		env_or_u32(&apic->look, VLAPIC_LOOK_WAKE);
		*how = NOTIFY_KICK;
		return 1;
	default: /* QUIRK(smi_dropped): there is no SMM to enter. test_messages: delivery_modes */
		return -1;
	}
}

bool vlapic_lvt_message(const struct vlapic *apic, u32 lvt, struct irq_msg *msg)
{
	u32 value = lvt == LAPIC_LVT_TIMER ? READ_ONCE(apic->timer.lvt) : vlapic_reg(apic, lvt);

	if (value & LAPIC_LVT_MASKED)
		return false;
	*msg = (struct irq_msg){
		.vector = FIELD_GET(LAPIC_LVT_VECTOR, value),
		/* The timer and error entries have no such field: always fixed. */
		.delivery =
			FIELD_GET(LAPIC_LVT_DELIVERY, value & lapic_reg_table[lvt >> 4].writable),
		.assert = true,
		.path = lvt == LAPIC_LVT_TIMER ? IRQ_PATH_TIMER : IRQ_PATH_LVT,
	};
	return true;
}

bool vlapic_raise_lvt(struct vlapic *apic, u32 lvt, struct irq_msg *msg)
{
	if (!vlapic_lvt_message(apic, lvt, msg))
		return false;
	if (lvt == LAPIC_LVT_PERF) /* SDM "Local Vector Table", mask */
		env_or_u32(&apic->regs[LAPIC_LVT_PERF / 4], LAPIC_LVT_MASKED);
	return true;
}

bool vlapic_take_init(struct vlapic *apic)
{
	return env_and_u32(&apic->pending, ~(u32)VLAPIC_PENDING_INIT) & VLAPIC_PENDING_INIT;
}

bool vlapic_take_sipi(struct vlapic *apic, u8 *vector)
{
	if (!(env_and_u32(&apic->pending, ~(u32)VLAPIC_PENDING_SIPI) & VLAPIC_PENDING_SIPI))
		return false;
	*vector = READ_ONCE(apic->sipi_vector);
	return true;
}

void vlapic_take_wake(struct vlapic *apic)
{
	if (vlapic_wake_requested(apic))
		env_and_u32(&apic->look, ~(u32)VLAPIC_LOOK_WAKE);
}

bool vlapic_accepts_extint(const struct vlapic *apic)
{
	u32 lint0;

	if (!vlapic_hw_enabled(apic))
		return true;
	lint0 = vlapic_reg(apic, LAPIC_LVT_LINT0);
	return !(lint0 & LAPIC_LVT_MASKED) && FIELD_GET(LAPIC_LVT_DELIVERY, lint0) == IRQ_DM_EXTINT;
}

void vlapic_accept_extint(struct vlapic *apic)
{
	env_or_u32(&apic->look, VLAPIC_LOOK_EXTINT);
}

void vlapic_take_extint(struct vlapic *apic)
{
	if (vlapic_extint_requested(apic))
		env_and_u32(&apic->look, ~(u32)VLAPIC_LOOK_EXTINT);
}

/* --- register access --- */

static void notify_self(struct vlapic_effect *fx, enum irq_notify how)
{
	if (how != NOTIFY_NONE)
		fx->what |= VLAPIC_FX_SELF;
}

/* What expired before this access comes before this access. */
static void settle_timer(struct vlapic *apic, u64 now_ns, struct vlapic_effect *fx)
{
	notify_self(fx, vlapic_timer_poll(apic, now_ns));
	fx->what |= VLAPIC_FX_TIMER;
}

/* The table's row, as far as this LAPIC has the register and its optional bits. */
static struct lapic_reg reg_attributes(const struct vlapic *apic, u32 offset)
{
	struct lapic_reg reg = { 0 };

	if (offset >> 4 >= LAPIC_NR_REGS || (offset == LAPIC_LVT_CMCI && !apic->has_cmci))
		return reg;
	reg = lapic_reg_table[offset >> 4];
	if (offset == LAPIC_SVR && !apic->has_directed_eoi)
		reg.writable &= ~LAPIC_SVR_NO_BROADCAST;
	return reg;
}

static u32 read_register(struct vlapic *apic, u32 offset, u64 now_ns, struct vlapic_effect *fx)
{
	switch (offset) {
	case LAPIC_APR:
	case LAPIC_RRD:
	case LAPIC_EOI:
		return 0;
	case LAPIC_PPR:
		return vlapic_update_ppr(apic);
	case LAPIC_IRR0 ... LAPIC_IRR7:
		/* From here on nothing says that there is something new: look now. */
		if (vlapic_has_requests(apic))
			fx->what |= VLAPIC_FX_SELF;
		vlapic_fold(apic);
		return vlapic_reg(apic, offset);
	case LAPIC_TMCCT:
		settle_timer(apic, now_ns, fx);
		return vlapic_timer_count(apic, now_ns);
	default:
		return vlapic_reg(apic, offset);
	}
}

static void write_icr(struct vlapic *apic, u32 value, struct vlapic_effect *fx)
{
	/*
	 * QUIRK(icr_readback): reserved bits and the remote-read status read back as written, as
	 * with KVM; delivery is instant. test_vlapic: icr_reads_back
	 */
	vlapic_set_reg(apic, LAPIC_ICR_LO, value & ~LAPIC_ICR_BUSY);
	msg_from_icr(value, vlapic_reg(apic, LAPIC_ICR_HI), vlapic_x2apic(apic), &fx->ipi);

	if (fx->ipi.vector < LAPIC_FIRST_VECTOR &&
	    (fx->ipi.delivery == IRQ_DM_FIXED || fx->ipi.delivery == IRQ_DM_LOWEST))
		notify_self(fx, vlapic_error(apic, LAPIC_ESR_SEND_ILLEGAL));
	else
		fx->what |= VLAPIC_FX_IPI;
}

static void write_self_ipi(struct vlapic *apic, u8 vector, struct vlapic_effect *fx)
{
	if (vector < LAPIC_FIRST_VECTOR) {
		notify_self(fx, vlapic_error(apic, LAPIC_ESR_SEND_ILLEGAL));
		return;
	}
	fx->ipi = (struct irq_msg){
		.vector = vector,
		.shorthand = IRQ_SH_SELF,
		.assert = true,
		.path = IRQ_PATH_IPI,
	};
	fx->what |= VLAPIC_FX_IPI;
}

static void write_lvt(struct vlapic *apic, u32 offset, u32 value, u64 now_ns,
		      struct vlapic_effect *fx)
{
	/* SDM "Local APIC State After It Has Been Software Disabled": masks are set and stay set. */
	if (!(vlapic_reg(apic, LAPIC_SVR) & LAPIC_SVR_ENABLE))
		value |= LAPIC_LVT_MASKED;
	if (offset == LAPIC_LVT_TIMER) {
		settle_timer(apic, now_ns, fx);
		vlapic_timer_write_lvt(apic, value);
	} else {
		vlapic_set_reg(apic, offset, value);
	}
	if (offset == LAPIC_LVT_LINT0)
		fx->what |= VLAPIC_FX_SELF; /* the PIC may have been waiting */
}

static void write_svr(struct vlapic *apic, u32 value, u64 now_ns, struct vlapic_effect *fx)
{
	u32 old = apic->svr;
	size_t i;

	settle_timer(apic, now_ns, fx);
	vlapic_set_reg(apic, LAPIC_SVR, value);
	apic->svr = value;
	if ((old ^ value) & LAPIC_SVR_ENABLE)
		fx->what |= VLAPIC_FX_MAP | VLAPIC_FX_SELF;
	if (value & LAPIC_SVR_ENABLE)
		return;
	/* Also if it was disabled before: the boot CPU comes with LINT0 unmasked. */
	for (i = 0; i < ARRAY_SIZE(lvt_offsets); i++)
		write_lvt(apic, lvt_offsets[i], vlapic_reg(apic, lvt_offsets[i]), now_ns, fx);
}

static void write_esr(struct vlapic *apic)
{
	u32 errors = env_xchg_u32(&apic->esr_latch, 0);

	vlapic_set_reg(apic, LAPIC_ESR, errors & LAPIC_ESR_ALL);
}

void vlapic_write(struct vlapic *apic, u32 offset, u32 value, u64 now_ns, struct vlapic_effect *fx)
{
	u32 masked = value & reg_attributes(apic, offset).writable;

	switch (offset) {
	case LAPIC_TPR:
		vlapic_set_reg(apic, LAPIC_TPR, masked);
		vlapic_update_ppr(apic);
		fx->what |= VLAPIC_FX_SELF;
		break;
	case LAPIC_EOI:
		end_of_interrupt(apic, fx);
		break;
	case LAPIC_LDR:
		apic->xapic_ldr = masked;
		vlapic_set_reg(apic, LAPIC_LDR, masked);
		fx->what |= VLAPIC_FX_MAP;
		break;
	case LAPIC_DFR:
		vlapic_set_reg(apic, LAPIC_DFR, masked | ~LAPIC_DFR_MODEL);
		fx->what |= VLAPIC_FX_MAP;
		break;
	case LAPIC_SVR:
		write_svr(apic, masked, now_ns, fx);
		break;
	case LAPIC_ESR:
		write_esr(apic);
		break;
	case LAPIC_ICR_LO:
		write_icr(apic, value, fx);
		break;
	case LAPIC_ICR_HI:
		vlapic_set_reg(apic, LAPIC_ICR_HI, vlapic_x2apic(apic) ? value : masked);
		break;
	case LAPIC_SELF_IPI:
		write_self_ipi(apic, (u8)masked, fx);
		break;
	case LAPIC_LVT_CMCI:
	case LAPIC_LVT_TIMER:
	case LAPIC_LVT_THERMAL:
	case LAPIC_LVT_PERF:
	case LAPIC_LVT_LINT0:
	case LAPIC_LVT_LINT1:
	case LAPIC_LVT_ERROR:
		write_lvt(apic, offset, masked, now_ns, fx);
		break;
	case LAPIC_TMICT:
		settle_timer(apic, now_ns, fx);
		vlapic_timer_write_initial(apic, masked, now_ns);
		break;
	case LAPIC_TDCR:
		settle_timer(apic, now_ns, fx);
		vlapic_timer_write_divide(apic, masked, now_ns);
		break;
	default: /* read-only, or no register */
		break;
	}
}

/* --- the xAPIC page --- */

void vlapic_mmio_read(struct vlapic *apic, u32 offset, u32 len, void *data, u64 now_ns,
		      struct vlapic_effect *fx)
{
	u32 slot = offset & ~0xfu, byte = offset & 0xf;
	u32 value;

	memset(data, 0, len);
	if (!(reg_attributes(apic, slot).access & LAPIC_XR)) {
		notify_self(fx, vlapic_error(apic, LAPIC_ESR_ILLEGAL_REG));
		return;
	}
	if (byte + len > sizeof(value))
		return;
	value = read_register(apic, slot, now_ns, fx);
	memcpy(data, (u8 *)&value + byte, len);
}

void vlapic_mmio_write(struct vlapic *apic, u32 offset, u32 len, const void *data, u64 now_ns,
		       struct vlapic_effect *fx)
{
	u8 access = reg_attributes(apic, offset & ~0xfu).access;
	u32 value;

	if (!(access & LAPIC_XR)) {
		notify_self(fx, vlapic_error(apic, LAPIC_ESR_ILLEGAL_REG));
		return;
	}
	if (!(access & LAPIC_XW) || (offset & 0xf) || len != sizeof(value))
		return;
	memcpy(&value, data, sizeof(value));
	vlapic_write(apic, offset, value, now_ns, fx);
}

/* --- x2APIC MSRs: SDM "x2APIC Register Address Space" --- */

int vlapic_msr_read(struct vlapic *apic, u32 msr, u64 *value, u64 now_ns, struct vlapic_effect *fx)
{
	u32 offset = x2apic_offset(msr);

	if (!vlapic_x2apic(apic) || !(reg_attributes(apic, offset).access & LAPIC_2R))
		return 1;
	*value = read_register(apic, offset, now_ns, fx);
	if (offset == LAPIC_ICR_LO)
		*value |= (u64)vlapic_reg(apic, LAPIC_ICR_HI) << 32;
	return 0;
}

int vlapic_msr_write(struct vlapic *apic, u32 msr, u64 value, u64 now_ns, struct vlapic_effect *fx)
{
	u32 offset = x2apic_offset(msr);
	struct lapic_reg reg = reg_attributes(apic, offset);

	if (!vlapic_x2apic(apic) || !(reg.access & LAPIC_2W))
		return 1;
	if ((u32)value & ~(reg.writable | reg.ignored))
		return 1;
	/* Only ICR is wider than 32 bits: its upper half is the destination. */
	if (offset == LAPIC_ICR_LO)
		vlapic_set_reg(apic, LAPIC_ICR_HI, (u32)(value >> 32));
	else if (value >> 32)
		return 1;
	vlapic_write(apic, offset, (u32)value, now_ns, fx);
	return 0;
}

/* --- life and modes --- */

static void update_version(struct vlapic *apic)
{
	u32 max_lvt = ARRAY_SIZE(lvt_offsets) - 1 - !apic->has_cmci;

	vlapic_set_reg(apic, LAPIC_VERSION,
		       LAPIC_VERSION_NR | FIELD_PREP(LAPIC_VERSION_MAX_LVT, max_lvt) |
			       (apic->has_directed_eoi ? LAPIC_VERSION_DIRECTED_EOI : 0));
}

void vlapic_set_features(struct vlapic *apic, bool directed_eoi, bool cmci)
{
	apic->has_directed_eoi = directed_eoi;
	apic->has_cmci = cmci;
	update_version(apic);
}

void vlapic_update_id(struct vlapic *apic)
{
	bool x2apic = vlapic_x2apic(apic);

	vlapic_set_reg(apic, LAPIC_ID,
		       x2apic ? apic->id : FIELD_PREP(LAPIC_ID_XAPIC, apic->id & 0xff));
	vlapic_set_reg(apic, LAPIC_LDR, x2apic ? msg_x2apic_ldr(apic->id) : apic->xapic_ldr);
}

/* What comes in later belongs to the time after the reset. */
static void drop_requests(struct vlapic *apic)
{
	u32 word;

	posted_acknowledge(apic->posted);
	env_and_u32(&apic->look, ~(u32)VLAPIC_LOOK_STAGED);
	for (word = 0; word < 8; word++) {
		(void)posted_take(apic->posted, word);
		env_xchg_u32(&apic->staged[word], 0);
		env_xchg_u32(&apic->eoi_wanted[word], 0);
	}
}

void vlapic_reset(struct vlapic *apic, bool init_event)
{
	bool bsp = apic->base_msr & LAPIC_BASE_BSP;
	size_t i;

	vlapic_timer_stop(apic);
	if (!init_event) {
		WRITE_ONCE(apic->base_msr,
			   LAPIC_DEFAULT_BASE | LAPIC_BASE_ENABLE | (bsp ? LAPIC_BASE_BSP : 0));
		env_xchg_u32(&apic->pending, 0);
	}
	for (i = 0; i < LAPIC_NR_REGS * 4; i++)
		WRITE_ONCE(apic->regs[i], 0);

	apic->xapic_ldr = 0;
	vlapic_update_id(apic);
	update_version(apic);
	vlapic_set_reg(apic, LAPIC_DFR, LAPIC_DFR_FLAT);
	vlapic_set_reg(apic, LAPIC_SVR, LAPIC_SVR_VECTOR);
	for (i = 0; i < ARRAY_SIZE(lvt_offsets); i++)
		vlapic_set_reg(apic, lvt_offsets[i], LAPIC_LVT_MASKED);
	/*
	 * QUIRK(lint0_at_reset): the BSP's LINT0 is as firmware leaves it, in virtual wire mode,
	 * not masked; VMMs that boot a kernel directly count on it. test_vlapic: power_on_state
	 */
	if (bsp)
		vlapic_set_reg(apic, LAPIC_LVT_LINT0,
			       FIELD_PREP(LAPIC_LVT_DELIVERY, IRQ_DM_EXTINT));
	WRITE_ONCE(apic->arb_prio, 0); /* msg_arbitrate() may be reading it */
	apic->esr_latch = 0;
	vlapic_timer_adopt(apic);
	vlapic_take_extint(apic);
	vlapic_take_wake(apic);
	drop_requests(apic);
	vlapic_resync(apic);
}

void vlapic_init(struct vlapic *apic, u32 *regs, u32 id, bool bsp)
{
	memset(apic, 0, sizeof(*apic));
	apic->regs = regs;
	apic->posted = (struct posted_desc *)(regs + LAPIC_POSTED / 4);
	apic->id = id;
	apic->maxphyaddr = 52;
	apic->has_x2apic = true;
	apic->base_msr = bsp ? LAPIC_BASE_BSP : 0;
	apic->timer.bus_cycle_ns = 1;
	irq_lock_init(&apic->timer.lock);
	vlapic_see_all_eois(apic);
	vlapic_reset(apic, false);
}

static bool base_transition_ok(u64 from, u64 to)
{
	from &= LAPIC_BASE_MODE;
	to &= LAPIC_BASE_MODE;
	/* x2APIC is entered from xAPIC only, and left to "disabled" only. */
	if (from == LAPIC_BASE_MODE)
		return to != LAPIC_BASE_ENABLE;
	return to != LAPIC_BASE_MODE || from == LAPIC_BASE_ENABLE;
}

int vlapic_set_base(struct vlapic *apic, u64 value, bool host_initiated, struct vlapic_effect *fx)
{
	u64 old = apic->base_msr;
	u64 valid = LAPIC_BASE_BSP | LAPIC_BASE_ENABLE |
		    (LAPIC_BASE_ADDR & ((1ULL << min_t(u32, apic->maxphyaddr, 52)) - 1));

	if (apic->has_x2apic)
		valid |= LAPIC_BASE_X2APIC;
	if ((value & ~valid) || (value & LAPIC_BASE_MODE) == LAPIC_BASE_X2APIC)
		return 1;
	if (!host_initiated && !base_transition_ok(old, value))
		return 1;

	WRITE_ONCE(apic->base_msr, value);
	if (!((old ^ value) & LAPIC_BASE_MODE))
		return 0;
	fx->what |= VLAPIC_FX_MAP | VLAPIC_FX_SELF | VLAPIC_FX_TIMER;
	/* A host that restores a machine may set base and registers in either order. */
	if (!host_initiated && !(value & LAPIC_BASE_ENABLE))
		vlapic_reset(apic, true);
	/* SDM "State Changes From xAPIC Mode to x2APIC Mode": ICR's high half is not preserved. */
	if (!host_initiated && vlapic_x2apic(apic))
		vlapic_set_reg(apic, LAPIC_ICR_HI, 0);
	vlapic_update_id(apic);
	return 0;
}
