// SPDX-License-Identifier: GPL-2.0-only
/*
 * Port I/O and MMIO: from the exit to a device of the core, a device on a bus, or userspace.
 *
 * A port access is complete in itself. An access to memory that no slot backs needs its instruction:
 * it is fetched, decoded (insn.c), and its accesses are carried out piece by piece. A piece lies in
 * one page; RAM pieces are done at once, device pieces may leave to userspace in between, and the
 * instruction waits in vcpu->arch.mmio for KVM_RUN to come back. Registers change only at its end.
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
	return irqchip_mmio_read(chip, gpa, len, data) ||
	       !iobus_read(vcpu, IOBUS_MMIO, gpa, len, data);
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
	return irqchip_pio_read(&vcpu->vm->chip, port, len, data) ||
	       !iobus_read(vcpu, IOBUS_PIO, port, len, data);
}

static bool port_write(struct vcpu *vcpu, u16 port, u32 len, const void *data)
{
	return irqchip_pio_write(&vcpu->vm->chip, port, len, data) ||
	       !iobus_write(vcpu, IOBUS_PIO, port, len, data);
}

/* --- ports
 * ----------------------------------------------------------------------------------------------------
 */

/* IN leaves the upper half of RAX alone, except that 32-bit results clear it. */
static void set_rax(struct vcpu *vcpu, const void *data, u8 size)
{
	u64 *rax = &vcpu->arch.regs[REG_RAX];

	if (size == 4)
		*rax = *(const u32 *)data;
	else
		memcpy(rax, data, size);
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

bool io_port_at_once(struct vcpu *vcpu, u16 port, u8 size, bool in)
{
	struct irqchip *chip = &vcpu->vm->chip;
	u32 value;

	if (!in)
		return irqchip_pio_write(chip, port, size, &vcpu->arch.regs[REG_RAX]);
	if (!irqchip_pio_read(chip, port, size, &value))
		return false;
	set_rax(vcpu, &value, size);
	return true;
}

/* --- guest-linear memory --- */

static int walk_read(void *ctx, u64 gpa, void *buf, size_t n)
{
	struct vcpu *vcpu = ctx;

	return vm_read_guest(vcpu->vm, gpa, buf, n);
}

/* A and D bits are the processor's: it has walked the same tables before it exited. */
static const struct gwalk_ops walk_ops = { .read = walk_read };

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
		.gbpages = vcpu_has_cpuid(vcpu, 0x80000001, 0, 3, 26),
	};
}

/* 0, or 1 with a #PF queued; other errors (tables outside memory) count as emulation failures. */
static int translate(struct vcpu *vcpu, u64 la, u32 access, gpa_t *gpa)
{
	struct gwalk_result out;
	struct gwalk w;
	int r;

	walk_state(vcpu, &w);
	r = gwalk_translate(&w, &walk_ops, vcpu, la, access, &out);
	if (r == -EFAULT) {
		event_queue_page_fault(vcpu, la, out.error_code);
		return 1;
	}
	*gpa = out.gpa;
	return r;
}

/* --- instructions: fetch, state, failure --- */

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

/* Fetch up to the end of the page that holds byte @have, behind the @have bytes already there. */
static int fetch_more(struct vcpu *vcpu, u64 la, u8 *bytes, unsigned int *have)
{
	unsigned int n =
		min_t(unsigned int, GINSN_MAX_LEN - *have, PAGE_SIZE - offset_in_page(la + *have));
	gpa_t gpa;
	int r;

	r = translate(vcpu, la + *have, GWALK_FETCH, &gpa);
	if (!r)
		r = vm_read_guest(vcpu->vm, gpa, bytes + *have, n);
	if (!r)
		*have += n;
	return r;
}

static u32 segment_rights(const struct kvm_segment *s)
{
	return s->type | (s->db ? GINSN_AR_DB : 0) | (s->l ? BIT(13) : 0) |
	       (s->unusable ? GINSN_AR_UNUSABLE : 0);
}

static void instruction_state(struct vcpu *vcpu, struct ginsn_state *st)
{
	/* Both number ES, CS, SS, DS, FS, GS from 0 to 5. */
	static_assert(GINSN_ES == (int)SEG_ES && GINSN_GS == (int)SEG_GS);
	struct kvm_segment s;
	int i;

	vcpu_reg(vcpu, REG_RSP);
	memcpy(st->gpr, vcpu->arch.regs, sizeof(st->gpr));
	st->rip = vcpu_reg(vcpu, REG_RIP);
	st->rflags = vcpu_reg(vcpu, REG_RFLAGS);
	st->la_bits = gwalk_la_bits(vcpu_reg(vcpu, REG_CR4));
	for (i = 0; i < GINSN_NR_SEG; i++) {
		backend_get_segment(vcpu, &s, i);
		st->seg[i] = (struct ginsn_segment){ s.base, s.limit, segment_rights(&s) };
	}
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
	struct ginsn_state *st = &m->before;
	u8 bytes[GINSN_MAX_LEN] = {};
	enum ginsn_mode mode;
	struct ginsn insn;
	unsigned int have = 0;
	int r;
	u64 la;

	instruction_state(vcpu, st);
	mode = ginsn_mode(vcpu_reg(vcpu, REG_CR0) & X86_CR0_PE, st->rflags & X86_EFLAGS_VM,
			  vcpu->arch.efer & EFER_LMA, st->seg[GINSN_CS].ar);
	la = mode == GINSN_MODE_64 ? st->rip : (u32)(st->seg[GINSN_CS].base + st->rip);
	do {
		r = fetch_more(vcpu, la, bytes, &have);
		if (r == 1)
			return 2;
		if (r < 0)
			return io_emulation_failed(vcpu, bytes, have);
		r = ginsn_decode(&insn, bytes, have, mode);
	} while (r == -ENODATA && have < GINSN_MAX_LEN);
	if (r == -E2BIG)
		event_queue_exception_error(vcpu, X86_TRAP_GP, 0);
	else if (r == -EINVAL) /* another vCPU has rewritten the code since the exit */
		event_queue_exception(vcpu, X86_TRAP_UD);
	else if (r)
		return io_emulation_failed(vcpu, bytes, have);
	if (r)
		return 2;
	if (ginsn_plan(&m->x, &insn, st)) {
		event_queue_exception_error(vcpu, m->x.vector, 0);
		return 2;
	}
	return 1;
}

/* --- string I/O
 * -------------------------------------------------------------------------------------------------------
 */

/* INS and OUTS: m->x is the instruction, piece[0].gpa where its round's memory is. */
static int complete_string_in(struct vcpu *vcpu)
{
	struct x86_mmio *m = vcpu->arch.mmio;
	u32 count = vcpu->arch.pio.count;
	u8 size = vcpu->arch.pio.size;

	if (instruction_is_stale(vcpu, m))
		return 1;
	/* Userspace may have changed the count meanwhile: the instruction goes on with the new one.
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
	if (!done) {
		vcpu->arch.pio.size = size;
		vcpu->arch.pio.count = count;
		vcpu->arch.complete = complete_string_in;
		return exit_to_userspace_io(vcpu, port, size, true, count);
	}
	vcpu->arch.pio.size = size;
	vcpu->arch.pio.count = done;
	return complete_string_in(vcpu);
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
	r = translate(vcpu, mem->addr, in ? GWALK_WRITE : 0, &m->piece[0].gpa);
	if (r)
		return r == 1 ? 1 : io_emulation_failed(vcpu, m->x.insn.bytes, m->x.insn.len);
	if (!is_ram(vcpu, m->piece[0].gpa, in))
		return start_pieces(vcpu, m);
	count = min_t(u32, count, PAGE_SIZE / size);
	return in ? string_in(vcpu, port, size, count) : string_out(vcpu, m, port, size, count);
}

/* --- MMIO
 * -----------------------------------------------------------------------------------------------------------------
 */

/* Translate access @i of the plan into pieces. As translate(). */
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
		r = translate(vcpu, acc->addr + done,
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

static int exit_to_userspace_mmio(struct vcpu *vcpu, const struct piece *p, const void *data,
				  bool write)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = p->gpa;
	run->mmio.len = p->len;
	run->mmio.is_write = write;
	if (write)
		memcpy(run->mmio.data, data, p->len);
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
	return exit_to_userspace_mmio(vcpu, p, data, m->writing);
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

int io_mmio(struct vcpu *vcpu)
{
	struct x86_mmio *m = instruction_slot(vcpu);
	int r;

	if (!m)
		return -ENOMEM;
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
