// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs streams on the portable core: diff_core STREAM... prints what diff_node prints of a device
 * node. It stands in for what lies around the core in the module and in the machine: which access
 * reaches which device, the guest's interrupt window, NMIs, INIT and SIPI. A difference to the
 * module is therefore a bug of that part of the module, or of this file.
 */
#include "../unit/harness.h"
#include "diff.h"

struct runner {
	const struct diff_stream *stream;
	struct machine *m;
	struct diff_routes routes;
	u32 mp_state[DIFF_MAX_CPUS], where[DIFF_MAX_CPUS], sipi_page[DIFF_MAX_CPUS];
	struct diff_result *result;
};

/* --- guest operations --- */

static void take_vector(struct runner *r, u8 vector)
{
	if (r->result->nr_taken < DIFF_MAX_TAKEN)
		r->result->taken[r->result->nr_taken++] = vector;
}

/* NMIs need no window: they come before the guest's next instruction. Two at most are latched. */
static void take_nmis(struct runner *r, u32 cpu)
{
	u32 n = min(r->m->nmis[cpu], 2u);

	r->m->nmis[cpu] = 0;
	while (n--)
		take_vector(r, 2);
}

static void take_interrupts(struct runner *r, u32 cpu)
{
	while (r->result->nr_taken < DIFF_MAX_TAKEN) {
		int vector;

		if (irqchip_peek(&r->m->chip, cpu) < 0)
			return;
		vector = irqchip_ack(&r->m->chip, cpu);
		if (vector >= 0)
			take_vector(r, (u8)vector);
	}
}

static bool in_lapic_page(struct runner *r, u32 cpu, u64 gpa)
{
	const struct vlapic *apic = &r->m->apic[cpu];

	return vlapic_hw_enabled(apic) && !vlapic_x2apic(apic) &&
	       (gpa & ~0xfffULL) == vlapic_base_gpa(apic);
}

/* What no device answers goes to userspace, which in diff_node gives all ones. */
static void mem_read(struct runner *r, u32 cpu, u64 gpa, u32 len)
{
	r->result->value = ~0ULL;
	if (in_lapic_page(r, cpu, gpa))
		irqchip_lapic_read(&r->m->chip, cpu, gpa & 0xfff, len, &r->result->value);
	else
		irqchip_mmio_read(&r->m->chip, gpa, len, &r->result->value);
	if (len < 8)
		r->result->value &= (1ULL << 8 * len) - 1;
}

static void mem_write(struct runner *r, u32 cpu, u64 gpa, u32 len, u64 value)
{
	if (in_lapic_page(r, cpu, gpa))
		irqchip_lapic_write(&r->m->chip, cpu, gpa & 0xfff, len, &value);
	else
		irqchip_mmio_write(&r->m->chip, gpa, len, &value);
}

static void port_read(struct runner *r, u16 port, u32 len)
{
	u32 value = ~0u;

	irqchip_pio_read(&r->m->chip, port, len, &value);
	r->result->value = len < 4 ? value & ((1u << 8 * len) - 1) : value;
}

static void guest_op(struct runner *r, const struct diff_op *op)
{
	struct irqchip *chip = &r->m->chip;
	const u64 *a = op->arg;
	u32 cpu = (u32)a[0];

	/* Whoever was reset is started again where it left off. */
	r->mp_state[cpu] = KVM_MP_STATE_RUNNABLE;
	r->where[cpu] = WHERE_PARKED;
	take_nmis(r, cpu);
	switch (op->verb) {
	case OP_mr:
		mem_read(r, cpu, a[1], (u32)a[2]);
		break;
	case OP_mw:
		mem_write(r, cpu, a[1], (u32)a[2], a[3]);
		break;
	case OP_rdmsr:
		if (irqchip_msr_read(chip, cpu, (u32)a[1], &r->result->value))
			r->result->fault = 13;
		break;
	case OP_wrmsr:
		if (irqchip_msr_write(chip, cpu, (u32)a[1], a[2], false))
			r->result->fault = 13;
		break;
	case OP_in:
		port_read(r, (u16)a[1], (u32)a[2]);
		break;
	case OP_out:
		irqchip_pio_write(chip, (u16)a[1], (u32)a[2], &a[3]);
		break;
	case OP_rdcr8:
		r->result->value = irqchip_get_cr8(chip, cpu);
		break;
	case OP_cr8:
		if (a[1] > 15)
			r->result->fault = 13;
		else
			irqchip_set_cr8(chip, cpu, a[1]);
		break;
	default: /* OP_take */
		take_interrupts(r, cpu);
	}
	take_nmis(r, cpu); /* one that it sent to itself */
	if (r->result->fault >= 0)
		r->result->value = 0;
}

/* --- operations of userspace --- */

static int set_routes(struct runner *r)
{
	u32 flags = r->m->chip.x2apic_format ? ROUTE_X2APIC_FORMAT : 0;
	size_t size = route_size(r->routes.nr);
	struct irq_routing *new = calloc(1, size);
	int ret;

	assert_non_null(new);
	ret = route_build(new, size, r->routes.row, r->routes.nr, flags);
	if (ret) {
		free(new);
		return ret;
	}
	irqchip_set_routing(&r->m->chip, new);
	free(r->m->routing);
	r->m->routing = new;
	return 0;
}

static int reload_lapic(struct runner *r, const struct diff_op *op)
{
	u32 cpu = (u32)op->arg[0], word = (u32)op->arg[2];
	struct kvm_lapic_state image;
	int ret = irqchip_get_lapic(&r->m->chip, cpu, &image);

	if (ret)
		return ret;
	if (op->verb == OP_pokelapic)
		memcpy(image.regs + op->arg[1], &word, sizeof(word));
	return irqchip_set_lapic(&r->m->chip, cpu, &image);
}

static int reload_chip(struct runner *r, const struct diff_op *op)
{
	struct kvm_irqchip image = { .chip_id = (u32)op->arg[0] };
	int ret = irqchip_get_state(&r->m->chip, &image);

	if (ret)
		return ret;
	if (op->verb == OP_pokechip)
		((u8 *)&image.chip)[op->arg[1]] = (u8)op->arg[2];
	return irqchip_set_state(&r->m->chip, &image);
}

static int reload_pit(struct runner *r)
{
	struct kvm_pit_state2 image;
	int ret = irqchip_get_pit(&r->m->chip, &image);

	return ret ? ret : irqchip_set_pit(&r->m->chip, &image);
}

static int userspace_op(struct runner *r, const struct diff_op *op)
{
	struct irqchip *chip = &r->m->chip;
	const u64 *a = op->arg;

	switch (op->verb) {
	case OP_line:
		return irqchip_set_gsi(chip, (u32)a[0], IRQ_SOURCE_USER, a[1]);
	case OP_msi:
		return irqchip_msi(chip, a[1] << 32 | (u32)a[0], (u32)a[2]);
	case OP_route:
	case OP_msiroute:
	case OP_unroute:
		routes_edit(&r->routes, op);
		return 0;
	case OP_setroutes:
		return set_routes(r);
	case OP_nmi:
		r->m->nmis[a[0]]++;
		return 0;
	case OP_lapic:
	case OP_pokelapic:
		return reload_lapic(r, op);
	case OP_chip:
	case OP_pokechip:
		return reload_chip(r, op);
	case OP_pit:
		return reload_pit(r);
	case OP_mp:
		r->mp_state[a[0]] = (u32)a[1];
		return 0;
	default: /* OP_setmsr; KVM_SET_MSRS returns how many it has set */
		return irqchip_msr_write(chip, (u32)a[0], (u32)a[1], a[2], true) ? 0 : 1;
	}
}

/* --- state --- */

/* SDM "MP Initialization Protocol", as the module's vCPUs do it when they are looked at. */
static void take_init_sipi(struct runner *r, u32 cpu)
{
	struct vlapic *apic = &r->m->apic[cpu];
	u8 page;

	if (vlapic_take_init(apic)) {
		vlapic_reset(apic, true);
		r->m->nmis[cpu] = 0;
		r->where[cpu] = WHERE_RESET;
		r->mp_state[cpu] = apic->base_msr & LAPIC_BASE_BSP ? KVM_MP_STATE_RUNNABLE
								   : KVM_MP_STATE_INIT_RECEIVED;
	}
	if (vlapic_take_sipi(apic, &page) && r->mp_state[cpu] == KVM_MP_STATE_INIT_RECEIVED) {
		r->mp_state[cpu] = KVM_MP_STATE_RUNNABLE;
		r->where[cpu] = WHERE_SIPI;
		r->sipi_page[cpu] = page;
	}
}

static void get_state(struct runner *r, struct diff_state *s)
{
	struct irqchip *chip = &r->m->chip;
	u32 i;

	memset(s, 0, sizeof(*s));
	for (i = 0; i < r->m->nr_cpus; i++) {
		take_init_sipi(r, i);
		s->cpu[i].mp_state = r->mp_state[i];
		s->cpu[i].where = r->where[i];
		s->cpu[i].sipi_page = r->where[i] == WHERE_SIPI ? r->sipi_page[i] : 0;
		s->cpu[i].events.nmi.pending = min(r->m->nmis[i], 2u);
		irqchip_msr_read(chip, i, MSR_LAPIC_BASE, &s->cpu[i].apic_base);
		irqchip_msr_read(chip, i, MSR_LAPIC_TSC_DEADLINE, &s->cpu[i].tsc_deadline);
	}
	for (i = 0; i < r->m->nr_cpus; i++)
		assert_int_equal(irqchip_get_lapic(chip, i, &s->cpu[i].lapic), 0);
	for (i = 0; i < 3; i++) {
		s->chip[i].chip_id = i;
		assert_int_equal(irqchip_get_state(chip, &s->chip[i]), 0);
	}
	assert_int_equal(irqchip_get_pit(chip, &s->pit), 0);
}

/* --- one stream --- */

static void run_op(struct runner *r, const struct diff_op *op, struct diff_result *result)
{
	*result = (struct diff_result){ .fault = -1 };
	r->result = result;
	if (op->verb <= OP_take)
		guest_op(r, op);
	else
		result->ret = userspace_op(r, op);
}

static void run_stream(const char *path)
{
	struct diff_result result = { .fault = -1 };
	struct diff_stream stream;
	struct diff_state state;
	struct runner r = { .stream = &stream };
	size_t i;

	stream_load(&stream, path);
	r.m = machine_new(stream.nr_cpus);
	r.m->chip.x2apic_format = stream.x2apic_api & KVM_X2APIC_API_USE_32BIT_IDS;
	r.m->chip.no_x2apic_bcast = stream.x2apic_api & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK;
	r.m->chip.vector_hashing = true; /* the module's default, and the peer's */
	machine_add_devices(r.m);
	routes_default(&r.routes);
	for (i = 0; i < stream.nr_cpus; i++)
		r.m->apic[i].maxphyaddr = 40;
	print_start(&stream);
	for (i = 0; i <= stream.nr_ops; i++) {
		if (i)
			run_op(&r, &stream.ops[i - 1], &result);
		get_state(&r, &state);
		print_step(&stream, i, &result, &state);
	}
	machine_free(r.m);
	stream_free(&stream);
}

int main(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		run_stream(argv[i]);
	return 0;
}
