// SPDX-License-Identifier: GPL-2.0-only
/*
 * Port I/O and MMIO: from the exit to a device of the core, a device on a bus, or userspace.
 *
 * A port access is complete in itself. An access to memory that no slot backs needs its instruction
 * (fetch.c), whose accesses are carried out piece by piece. A piece lies in one page; RAM pieces
 * are done at once, device pieces may leave to userspace in between, and the instruction waits in
 * vcpu->arch.mmio for KVM_RUN to come back. Registers change only at its end.
 *
 * Nearly all accesses are moves by an instruction that has been there before. Then the one access
 * is the one that the exit tells of, and there is nothing to plan or translate: see below, "moves".
 *
 * Userspace may set registers while an access waits for it. Those that the instruction does not
 * change stay as they were set; if RIP is another one, the instruction is forgotten (a reset).
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>
#include <arch.h>
#include <backend.h>
#include <fetch.h>
#include <gwalk.h>
#include <insn.h>

#define MAX_PIECES 6 /* two operands of at most 8 bytes, each crossing at most one page; and room */

/* Up to 8 bytes of one access, within one page. */
struct piece {
	gpa_t gpa;
	u8 len;
	u8 offset; /* in the access's value */
	u8 acc;    /* index into x.acc[] */
};

struct x86_mmio {
	struct ginsn_exec x;
	struct ginsn_state before; /* registers at the start of the instruction */
	struct piece piece[MAX_PIECES];
	unsigned int n;
	unsigned int next;
	bool writing; /* reads are done and the instruction has been executed */
};

/* --- in-kernel devices --- */

static bool in_lapic_page(struct vcpu *vcpu, gpa_t gpa)
{
	const struct vlapic *apic = &vcpu->arch.apic;

	return vcpu->vm->irqchip_mode != IRQCHIP_NONE && vlapic_hw_enabled(apic) &&
	       !vlapic_x2apic(apic) && (gpa & PAGE_MASK) == vlapic_base_gpa(apic);
}

static bool device_read(struct vcpu *vcpu, gpa_t gpa, u32 len, void *data)
{
	struct irqchip *chip = &vcpu->vm->chip;

	if (in_lapic_page(vcpu, gpa)) {
		if (offset_in_page(gpa) == LAPIC_TPR)
			vapic_tpr_accessed(vcpu, false);
		irqchip_lapic_read(chip, vcpu->index, offset_in_page(gpa), len, data);
		return true;
	}
	return irqchip_mmio_read(chip, gpa, len, data);
}

static bool device_write(struct vcpu *vcpu, gpa_t gpa, u32 len, const void *data)
{
	struct irqchip *chip = &vcpu->vm->chip;

	if (in_lapic_page(vcpu, gpa)) {
		if (offset_in_page(gpa) == LAPIC_TPR)
			vapic_tpr_accessed(vcpu, true);
		irqchip_lapic_write(chip, vcpu->index, offset_in_page(gpa), len, data);
		return true;
	}
	return irqchip_mmio_write(chip, gpa, len, data) ||
	       !iobus_write(vcpu, IOBUS_MMIO, gpa, len, data);
}

static bool port_read(struct vcpu *vcpu, u16 port, u32 len, void *data)
{
	return irqchip_pio_read(&vcpu->vm->chip, port, len, data);
}

static bool port_write(struct vcpu *vcpu, u16 port, u32 len, const void *data)
{
	return irqchip_pio_write(&vcpu->vm->chip, port, len, data) ||
	       !iobus_write(vcpu, IOBUS_PIO, port, len, data);
}

/* --- ports --- */

/* IN leaves the upper half of RAX alone, except that 32-bit results clear it. */
static void set_rax(struct vcpu *vcpu, const void *data, u8 size)
{
	u64 *rax = &vcpu->arch.regs[REG_RAX];

	switch (size) {
	case 1:
		*(u8 *)rax = *(const u8 *)data;
		break;
	case 2:
		*(u16 *)rax = *(const u16 *)data;
		break;
	default:
		*rax = *(const u32 *)data;
	}
}

static int exit_to_userspace_io(struct vcpu *vcpu, u16 port, u8 size, bool in, u32 count)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	run->io.size = size;
	run->io.port = port;
	run->io.count = count;
	run->io.data_offset = KVM_PIO_PAGE_OFFSET * PAGE_SIZE;
	vcpu->stats.io_exits++;
	return 0;
}

static int complete_in(struct vcpu *vcpu)
{
	if (vcpu_reg(vcpu, REG_RIP) != vcpu->arch.pio.rip)
		return 1;
	set_rax(vcpu, vcpu->pio_data, vcpu->arch.pio.size);
	return 1;
}

int io_port(struct vcpu *vcpu, u16 port, u8 size, bool in)
{
	u32 value;

	if (!in) {
		value = vcpu->arch.regs[REG_RAX];
		if (port_write(vcpu, port, size, &value))
			return 1;
		memcpy(vcpu->pio_data, &value, size);
		return exit_to_userspace_io(vcpu, port, size, false, 1);
	}
	if (port_read(vcpu, port, size, &value)) {
		set_rax(vcpu, &value, size);
		return 1;
	}
	vcpu->arch.pio.size = size;
	vcpu->arch.pio.rip = vcpu_reg(vcpu, REG_RIP);
	vcpu->arch.complete = complete_in;
	return exit_to_userspace_io(vcpu, port, size, true, 1);
}

bool io_out_at_once(struct vcpu *vcpu, u16 port, u8 size)
{
	const u64 *rax = &vcpu->arch.regs[REG_RAX];
	int idx, r;

	if (irqchip_pio_write(&vcpu->vm->chip, port, size, rax))
		return true;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	r = iobus_write(vcpu, IOBUS_PIO, port, size, rax);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return !r;
}

bool io_in_at_once(struct vcpu *vcpu, u16 port, u8 size)
{
	u32 value;

	if (!irqchip_pio_read(&vcpu->vm->chip, port, size, &value))
		return false;
	set_rax(vcpu, &value, size);
	return true;
}

/* --- instructions: state, failure --- */

int io_emulation_failed(struct vcpu *vcpu, const u8 *bytes, u32 len)
{
	struct kvm_run *run = vcpu->run;

	memset(&run->emulation_failure, 0, sizeof(run->emulation_failure));
	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
	run->emulation_failure.ndata = 1; /* the flags */
	if (len) {
		len = min_t(u32, len, sizeof(run->emulation_failure.insn_bytes));
		run->emulation_failure.ndata = 3;
		run->emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
		run->emulation_failure.insn_size = len;
		memcpy(run->emulation_failure.insn_bytes, bytes, len);
	}
	return 0;
}

static void instruction_state(struct vcpu *vcpu, struct ginsn_state *st)
{
	/* Both number ES, CS, SS, DS, FS, GS from 0 to 5. */
	static_assert(GINSN_ES == (int)SEG_ES && GINSN_GS == (int)SEG_GS);
	int i;

	vcpu_reg(vcpu, REG_RSP);
	memcpy(st->gpr, vcpu->arch.regs, sizeof(st->gpr));
	st->rip = vcpu_reg(vcpu, REG_RIP);
	st->rflags = vcpu_reg(vcpu, REG_RFLAGS);
	st->la_bits = gwalk_la_bits(vcpu_reg(vcpu, REG_CR4));
	for (i = 0; i < GINSN_NR_SEG; i++)
		st->seg[i] = (struct ginsn_segment){
			.base = backend_segment_base(vcpu, i),
			.limit = backend_segment_limit(vcpu, i),
			.ar = backend_segment_rights(vcpu, i),
		};
}

/* Has userspace moved the vCPU elsewhere while the instruction waited? */
static bool instruction_is_stale(struct vcpu *vcpu, const struct x86_mmio *m)
{
	return vcpu_reg(vcpu, REG_RIP) != m->before.rip;
}

/* What the instruction has changed, and what the processor does between instructions. */
static void commit_state(struct vcpu *vcpu, const struct x86_mmio *m)
{
	const struct ginsn_state *before = &m->before, *after = &m->x.st;
	u64 flags = before->rflags ^ after->rflags;
	int i;

	for (i = 0; i < GINSN_NR_GPR; i++)
		if (after->gpr[i] != before->gpr[i])
			vcpu_set_reg(vcpu, i, after->gpr[i]);
	vcpu_set_reg(vcpu, REG_RIP, after->rip);
	vcpu_set_reg(vcpu, REG_RFLAGS,
		     (vcpu_reg(vcpu, REG_RFLAGS) & ~flags) | (after->rflags & flags));
	backend_end_insn(vcpu);
}

/*
 * Fetch and decode the instruction at CS:RIP, and plan its accesses. 1 = planned; 2 = an exception
 * is queued for the guest instead; 0 = to userspace as an emulation failure.
 */
static int decode_at_rip(struct vcpu *vcpu, struct x86_mmio *m)
{
	struct ginsn insn;
	int r;

	r = fetch_insn(vcpu, &insn);
	if (r != 1)
		return r;
	instruction_state(vcpu, &m->before);
	if (ginsn_plan(&m->x, &insn, &m->before)) {
		event_queue_exception_error(vcpu, m->x.vector, 0);
		return 2;
	}
	return 1;
}

/* --- string I/O --- */

/* INS and OUTS: m->x is the instruction, piece[0].gpa where its round's memory is. */
static int complete_string_in(struct vcpu *vcpu)
{
	struct x86_mmio *m = vcpu->arch.mmio;
	u32 count = vcpu->arch.pio.count;
	u8 size = vcpu->arch.pio.size;

	if (instruction_is_stale(vcpu, m))
		return 1;
	/*
	 * Userspace may have changed the count meanwhile: the instruction goes on with the new one.
	 */
	m->before.gpr[REG_RCX] = vcpu_reg(vcpu, REG_RCX);
	m->x.st.gpr[REG_RCX] = m->before.gpr[REG_RCX];
	count = min_t(u64, count, ginsn_string_count(&m->x.insn, &m->x.st, m->x.acc[1].addr));
	if (!count)
		return 1;
	if (vm_write_guest(vcpu->vm, m->piece[0].gpa, vcpu->pio_data, (size_t)count * size))
		return io_emulation_failed(vcpu, m->x.insn.bytes, m->x.insn.len);
	ginsn_string_advance(&m->x.insn, &m->x.st, count);
	commit_state(vcpu, m);
	return 1;
}

static int start_pieces(struct vcpu *vcpu, struct x86_mmio *m);

static struct x86_mmio *instruction_slot(struct vcpu *vcpu)
{
	if (!vcpu->arch.mmio)
		vcpu->arch.mmio = kzalloc(sizeof(*vcpu->arch.mmio), GFP_KERNEL_ACCOUNT);
	return vcpu->arch.mmio;
}

/* How many elements one round moves: ascending, within one page, not single-stepped; else one. */
static u32 string_round(struct vcpu *vcpu, const struct ginsn_exec *x, u64 la, u8 size)
{
	if (offset_in_page(la) + size > PAGE_SIZE)
		return 0; /* crosses a page */
	if ((x->st.rflags & (X86_EFLAGS_DF | X86_EFLAGS_TF)) || debug_stepping(vcpu))
		return 1;
	return ginsn_string_count(&x->insn, &x->st, la);
}

static int string_out(struct vcpu *vcpu, struct x86_mmio *m, u16 port, u8 size, u32 count)
{
	u8 *data = vcpu->pio_data;
	u32 done;

	if (vm_read_guest(vcpu->vm, m->piece[0].gpa, data, (size_t)count * size))
		return io_emulation_failed(vcpu, m->x.insn.bytes, m->x.insn.len);
	for (done = 0; done < count; done++)
		if (!port_write(vcpu, port, size, data + done * size))
			break;
	/* What userspace gets counts as done: it will see each element exactly once. */
	ginsn_string_advance(&m->x.insn, &m->x.st, count);
	commit_state(vcpu, m);
	if (done == count)
		return 1;
	memmove(data, data + done * size, (size_t)(count - done) * size);
	return exit_to_userspace_io(vcpu, port, size, false, count - done);
}

static int string_in(struct vcpu *vcpu, u16 port, u8 size, u32 count)
{
	u8 *data = vcpu->pio_data;
	u32 done;

	for (done = 0; done < count; done++)
		if (!port_read(vcpu, port, size, data + done * size))
			break;
	vcpu->arch.pio.size = size;
	vcpu->arch.pio.count = done ? done : count;
	if (done)
		return complete_string_in(vcpu);
	vcpu->arch.complete = complete_string_in;
	return exit_to_userspace_io(vcpu, port, size, true, count);
}

static bool is_ram(struct vcpu *vcpu, gpa_t gpa, bool write)
{
	const struct memslot *slot = memslot_find(vm_slots(vcpu->vm), gpa >> PAGE_SHIFT);

	return slot && !(write && (slot->flags & KVM_MEM_READONLY));
}

int io_port_string(struct vcpu *vcpu, u16 port, u8 size, bool in)
{
	struct x86_mmio *m = instruction_slot(vcpu);
	const struct ginsn_access *mem;
	u32 count;
	int r;

	if (!m)
		return -ENOMEM;
	r = decode_at_rip(vcpu, m);
	if (r != 1)
		return r ? 1 : 0;
	/* The guest may have rewritten the instruction since the exit: then let it run that one. */
	if (m->x.insn.op != (in ? GINSN_INS : GINSN_OUTS) || m->x.insn.op_size != size)
		return 1;
	if (!m->x.nr_acc) { /* REP with a count of zero */
		ginsn_execute(&m->x);
		commit_state(vcpu, m);
		return 1;
	}
	mem = in ? &m->x.acc[1] : &m->x.acc[0];
	count = string_round(vcpu, &m->x, mem->addr, size);
	if (!count)
		return start_pieces(vcpu, m);
	r = guest_translate(vcpu, mem->addr, in ? GWALK_WRITE : 0, &m->piece[0].gpa);
	if (r)
		return r == 1 ? 1 : io_emulation_failed(vcpu, m->x.insn.bytes, m->x.insn.len);
	if (!is_ram(vcpu, m->piece[0].gpa, in))
		return start_pieces(vcpu, m);
	count = min_t(u32, count, PAGE_SIZE / size);
	return in ? string_in(vcpu, port, size, count) : string_out(vcpu, m, port, size, count);
}

/* --- MMIO --- */

/* Translate access @i of the plan into pieces. As guest_translate(). */
static int add_pieces(struct vcpu *vcpu, struct x86_mmio *m, unsigned int i)
{
	const struct ginsn_access *acc = &m->x.acc[i];
	unsigned int done, len;
	gpa_t gpa;
	int r;

	if (acc->flags & GINSN_ACC_PORT) {
		m->piece[m->n++] = (struct piece){ .gpa = acc->addr, .len = acc->size, .acc = i };
		return 0;
	}
	for (done = 0; done < acc->size; done += len) {
		len = min_t(unsigned int, acc->size - done,
			    PAGE_SIZE - offset_in_page(acc->addr + done));
		r = guest_translate(vcpu, acc->addr + done,
				    acc->flags & GINSN_ACC_WRITE ? GWALK_WRITE : 0, &gpa);
		if (r)
			return r;
		m->piece[m->n++] = (struct piece){
			.gpa = gpa,
			.len = len,
			.offset = done,
			.acc = i,
		};
	}
	return 0;
}

static int exit_to_userspace_mmio(struct vcpu *vcpu, gpa_t gpa, u8 len, const void *data,
				  bool write)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = gpa;
	run->mmio.len = len;
	run->mmio.is_write = write;
	if (write)
		memcpy(run->mmio.data, data, len);
	vcpu->stats.mmio_exits++;
	return 0;
}

static bool read_piece(struct vcpu *vcpu, const struct ginsn_access *acc, const struct piece *p,
		       void *data)
{
	if (acc->flags & GINSN_ACC_PORT)
		return port_read(vcpu, p->gpa, p->len, data);
	return !vm_read_guest(vcpu->vm, p->gpa, data, p->len) ||
	       device_read(vcpu, p->gpa, p->len, data);
}

static bool write_piece(struct vcpu *vcpu, const struct ginsn_access *acc, const struct piece *p,
			const void *data)
{
	if (acc->flags & GINSN_ACC_PORT)
		return port_write(vcpu, p->gpa, p->len, data);
	return !vm_write_guest(vcpu->vm, p->gpa, data, p->len) ||
	       device_write(vcpu, p->gpa, p->len, data);
}

static int mmio_continue(struct vcpu *vcpu);

/* Userspace has read @next for us. */
static int complete_read(struct vcpu *vcpu)
{
	struct x86_mmio *m = vcpu->arch.mmio;
	const struct piece *p = &m->piece[m->next];
	struct ginsn_access *acc = &m->x.acc[p->acc];
	const void *data = acc->flags & GINSN_ACC_PORT ? vcpu->pio_data : vcpu->run->mmio.data;

	if (instruction_is_stale(vcpu, m))
		return 1;
	memcpy((u8 *)&acc->value + p->offset, data, p->len);
	m->next++;
	return mmio_continue(vcpu);
}

static int complete_write(struct vcpu *vcpu)
{
	if (instruction_is_stale(vcpu, vcpu->arch.mmio))
		return 1;
	vcpu->arch.mmio->next++;
	return mmio_continue(vcpu);
}

/* Piece @p can't be done here. */
static int leave_for_piece(struct vcpu *vcpu, struct x86_mmio *m, const struct piece *p)
{
	const struct ginsn_access *acc = &m->x.acc[p->acc];
	const u8 *data = (const u8 *)&acc->value + p->offset;

	vcpu->arch.complete = m->writing ? complete_write : complete_read;
	if (acc->flags & GINSN_ACC_PORT) {
		memcpy(vcpu->pio_data, data, p->len);
		return exit_to_userspace_io(vcpu, p->gpa, p->len, !m->writing, 1);
	}
	return exit_to_userspace_mmio(vcpu, p->gpa, p->len, data, m->writing);
}

/* Do the pieces of the current phase from ->next on. 1 = all done, 0 = to userspace. */
static int do_pieces(struct vcpu *vcpu, struct x86_mmio *m)
{
	u8 wanted = m->writing ? GINSN_ACC_WRITE : GINSN_ACC_READ;

	for (; m->next < m->n; m->next++) {
		const struct piece *p = &m->piece[m->next];
		struct ginsn_access *acc = &m->x.acc[p->acc];
		u8 *data = (u8 *)&acc->value + p->offset;
		bool done;

		if (!(acc->flags & wanted))
			continue;
		done = m->writing ? write_piece(vcpu, acc, p, data)
				  : read_piece(vcpu, acc, p, data);
		if (!done)
			return leave_for_piece(vcpu, m, p);
	}
	return 1;
}

static int mmio_continue(struct vcpu *vcpu)
{
	struct x86_mmio *m = vcpu->arch.mmio;
	int r;

	r = do_pieces(vcpu, m);
	if (r != 1)
		return r;
	if (!m->writing) {
		ginsn_execute(&m->x);
		m->writing = true;
		m->next = 0;
		r = do_pieces(vcpu, m);
		if (r != 1)
			return r;
	}
	commit_state(vcpu, m);
	return 1;
}

/* The general way: all accesses of the instruction that is in @m, piece by piece. */
static int start_pieces(struct vcpu *vcpu, struct x86_mmio *m)
{
	unsigned int i;
	int r;

	m->n = 0;
	m->next = 0;
	m->writing = false;
	for (i = 0; i < m->x.nr_acc; i++) {
		m->x.acc[i].value = 0;
		r = add_pieces(vcpu, m, i);
		if (r)
			return r == 1 ? 1
				      : io_emulation_failed(vcpu, m->x.insn.bytes, m->x.insn.len);
	}
	return mmio_continue(vcpu);
}

/* --- moves --- */

static bool is_load(const struct ginsn *insn)
{
	return insn->form == GINSN_REG_MEM;
}

static u64 operand_address(struct vcpu *vcpu, const struct ginsn *insn)
{
	u64 ea;

	vcpu_reg(vcpu, REG_RSP); /* in regs[] from here on */
	ea = ginsn_effective_address(insn, vcpu->arch.regs, vcpu_reg(vcpu, REG_RIP));
	if (insn->mode != GINSN_MODE_64)
		return (u32)(ea + backend_segment_base(vcpu, insn->seg));
	return insn->seg < GINSN_FS ? ea : ea + backend_segment_base(vcpu, insn->seg);
}

/*
 * The instruction at RIP, if it is a known move and @a all that it accesses. The processor has then
 * checked segment and page tables for it. Otherwise another vCPU may just have rewritten the code.
 */
static const struct ginsn *known_move(struct vcpu *vcpu, const struct data_access *a)
{
	const struct ginsn *insn = fetch_again(vcpu);

	if (!insn || !ginsn_is_move(insn) || is_load(insn) == a->write ||
	    offset_in_page(a->la) + insn->mem_size > PAGE_SIZE ||
	    operand_address(vcpu, insn) != a->la)
		return NULL;
	return insn;
}

static void load(struct vcpu *vcpu, const struct ginsn *insn, u64 value)
{
	u64 rsp = vcpu_reg(vcpu, REG_RSP);

	ginsn_load(insn, vcpu->arch.regs, value);
	if (vcpu->arch.regs[REG_RSP] != rsp)
		vcpu->arch.regs_dirty |= BIT(REG_RSP);
}

static void end_move(struct vcpu *vcpu, const struct ginsn *insn)
{
	vcpu_set_reg(vcpu, REG_RIP, ginsn_next_rip(insn, vcpu_reg(vcpu, REG_RIP)));
	if (vcpu_reg(vcpu, REG_RFLAGS) & X86_EFLAGS_RF)
		vcpu_set_reg(vcpu, REG_RFLAGS, vcpu->arch.regs[REG_RFLAGS] & ~X86_EFLAGS_RF);
	backend_end_insn(vcpu);
}

/* False: no device here takes it, and nothing has been done. */
static bool move_here(struct vcpu *vcpu, const struct ginsn *insn, gpa_t gpa)
{
	u64 value = 0;

	if (is_load(insn)) {
		if (!device_read(vcpu, gpa, insn->mem_size, &value))
			return false;
		load(vcpu, insn, value);
	} else {
		value = ginsn_stored(insn, vcpu->arch.regs);
		if (!device_write(vcpu, gpa, insn->mem_size, &value))
			return false;
	}
	end_move(vcpu, insn);
	return true;
}

/* Userspace has done it. */
static int complete_move(struct vcpu *vcpu)
{
	const struct x86_mmio *m = vcpu->arch.mmio;
	const struct ginsn *insn = &m->x.insn;
	u64 value;

	if (instruction_is_stale(vcpu, m))
		return 1;
	if (is_load(insn)) {
		memcpy(&value, vcpu->run->mmio.data, sizeof(value));
		load(vcpu, insn, value);
	}
	end_move(vcpu, insn);
	return 1;
}

static int move_by_userspace(struct vcpu *vcpu, struct x86_mmio *m, const struct ginsn *insn,
			     gpa_t gpa)
{
	u64 value = is_load(insn) ? 0 : ginsn_stored(insn, vcpu->arch.regs);

	m->x.insn = *insn;
	m->before.rip = vcpu_reg(vcpu, REG_RIP);
	vcpu->arch.complete = complete_move;
	return exit_to_userspace_mmio(vcpu, gpa, insn->mem_size, &value, !is_load(insn));
}

/* Is there perhaps a device that can be asked with interrupts off, and no memory? */
static bool device_at(struct vcpu *vcpu, const struct data_access *a)
{
	if (in_lapic_page(vcpu, a->gpa)) {
		/* It may have to leave for userspace; or be mapped, and cause no more exits. */
		if (vcpu->arch.vapic.reporting || READ_ONCE(vcpu->vm->arch.apic_access_mapped))
			return false;
	} else if (!irqchip_owns_address(&vcpu->vm->chip, a->gpa)) {
		if (!a->write || !iobus_reaches(vcpu, IOBUS_MMIO, a->gpa))
			return false;
	}
	return !memslot_find(vm_slots(vcpu->vm), a->gpa >> PAGE_SHIFT);
}

bool io_mmio_at_once(struct vcpu *vcpu, const struct data_access *a)
{
	const struct ginsn *insn;
	bool done = false;
	int idx;

	idx = srcu_read_lock(&vcpu->vm->srcu);
	if (device_at(vcpu, a)) {
		insn = known_move(vcpu, a);
		done = insn && move_here(vcpu, insn, a->gpa);
	}
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return done;
}

/* --- both ways --- */

int io_mmio(struct vcpu *vcpu, const struct data_access *a)
{
	struct x86_mmio *m = instruction_slot(vcpu);
	const struct ginsn *insn;
	int r;

	if (!m)
		return -ENOMEM;
	insn = a ? known_move(vcpu, a) : NULL;
	if (insn) {
		bool here = move_here(vcpu, insn, a->gpa);

		fetch_remember(insn, here);
		return here ? 1 : move_by_userspace(vcpu, m, insn, a->gpa);
	}
	r = decode_at_rip(vcpu, m);
	if (r != 1)
		return r ? 1 : 0;
	/*
	 * INS and OUTS exit for their port before they touch memory, so the code has been rewritten
	 * meanwhile. Let the processor run it: only that checks who may use the port.
	 */
	if (m->x.insn.op == GINSN_INS || m->x.insn.op == GINSN_OUTS)
		return 1;
	return start_pieces(vcpu, m);
}

void io_vcpu_destroy(struct vcpu *vcpu)
{
	kfree(vcpu->arch.mmio);
	vcpu->arch.mmio = NULL;
}
