// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prints the state after a step, as "name=value" of each field that has changed since the step
 * before: a diff of two runs then shows the step where they part. A field is a number with a name;
 * the ABI's structures are flattened into a table of them here and nowhere else.
 */
#include "diff.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FIELDS 1024

static struct {
	char name[24];
	uint64_t value;
	bool shown;
} field[MAX_FIELDS];
static unsigned int nr_fields;

/* Fields come in the same order each time, so a field's place identifies it. */
__attribute__((format(printf, 2, 3))) static void put(uint64_t value, const char *name, ...)
{
	unsigned int i = nr_fields++;
	va_list ap;

	if (i >= MAX_FIELDS)
		abort();
	if (field[i].shown && field[i].value == value)
		return;
	if (!field[i].shown) {
		va_start(ap, name);
		vsnprintf(field[i].name, sizeof(field[i].name), name, ap);
		va_end(ap);
	}
	printf(" %s=%llx", field[i].name, (unsigned long long)value);
	field[i].value = value;
	field[i].shown = true;
}

static uint32_t lapic_word(const struct kvm_lapic_state *lapic, unsigned int offset)
{
	uint32_t word;

	memcpy(&word, lapic->regs + offset, sizeof(word));
	return word;
}

static void put_lapic(unsigned int cpu, const struct kvm_lapic_state *lapic)
{
	unsigned int offset;

	for (offset = 0; offset < KVM_APIC_REG_SIZE; offset += 0x10) {
		uint32_t word = lapic_word(lapic, offset);

		put(offset == 0x390 ? word != 0 : word, "cpu%u.%03x", cpu, offset);
	}
}

static void put_cpu(const struct diff_state *s, unsigned int i)
{
	const struct kvm_vcpu_events *e = &s->cpu[i].events;

	put(s->cpu[i].mp_state, "cpu%u.mp_state", i);
	put(s->cpu[i].where, "cpu%u.where", i);
	put(s->cpu[i].sipi_page, "cpu%u.sipi_page", i);
	put(s->cpu[i].apic_base, "cpu%u.apic_base", i);
	put(s->cpu[i].tsc_deadline, "cpu%u.tsc_deadline", i);
	put(e->nmi.pending, "cpu%u.nmi_pending", i);
	put(e->nmi.injected, "cpu%u.nmi_injected", i);
	put(e->nmi.masked, "cpu%u.nmi_masked", i);
	put(e->interrupt.injected, "cpu%u.irq_injected", i);
	put(e->interrupt.shadow, "cpu%u.shadow", i);
	put(e->exception.injected, "cpu%u.exc_injected", i);
	put_lapic(i, &s->cpu[i].lapic);
}

static void put_pic(unsigned int i, const struct kvm_pic_state *p)
{
	put(p->last_irr, "pic%u.last_irr", i);
	put(p->irr, "pic%u.irr", i);
	put(p->imr, "pic%u.imr", i);
	put(p->isr, "pic%u.isr", i);
	put(p->priority_add, "pic%u.priority_add", i);
	put(p->irq_base, "pic%u.irq_base", i);
	put(p->read_reg_select, "pic%u.read_reg_select", i);
	put(p->poll, "pic%u.poll", i);
	put(p->special_mask, "pic%u.special_mask", i);
	put(p->init_state, "pic%u.init_state", i);
	put(p->auto_eoi, "pic%u.auto_eoi", i);
	put(p->rotate_on_auto_eoi, "pic%u.rotate_on_auto_eoi", i);
	put(p->special_fully_nested_mode, "pic%u.sfnm", i);
	put(p->init4, "pic%u.init4", i);
	put(p->elcr, "pic%u.elcr", i);
	put(p->elcr_mask, "pic%u.elcr_mask", i);
}

static void put_ioapic(const struct kvm_ioapic_state *a)
{
	unsigned int pin;

	put(a->base_address, "ioapic.base");
	put(a->ioregsel, "ioapic.ioregsel");
	put(a->id, "ioapic.id");
	put(a->irr, "ioapic.irr");
	for (pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
		put(a->redirtbl[pin].bits, "ioapic.rte%u", pin);
}

/* Not the load time, nor the count that a latch has caught: both are moments. */
static void put_pit(unsigned int i, const struct kvm_pit_channel_state *c)
{
	put(c->count, "pit%u.count", i);
	put(c->count_latched, "pit%u.count_latched", i);
	put(c->status_latched, "pit%u.status_latched", i);
	/* OUT follows the clock. */
	put(c->status_latched ? c->status & 0x7f : 0, "pit%u.status", i);
	put(c->read_state, "pit%u.read_state", i);
	put(c->write_state, "pit%u.write_state", i);
	put(c->write_latch, "pit%u.write_latch", i);
	put(c->rw_mode, "pit%u.rw_mode", i);
	put(c->mode, "pit%u.mode", i);
	put(c->bcd, "pit%u.bcd", i);
	put(c->gate, "pit%u.gate", i);
}

static void put_state(const struct diff_stream *s, const struct diff_state *state)
{
	unsigned int i;

	nr_fields = 0;
	for (i = 0; i < s->nr_cpus; i++)
		put_cpu(state, i);
	put_pic(0, &state->chip[KVM_IRQCHIP_PIC_MASTER].chip.pic);
	put_pic(1, &state->chip[KVM_IRQCHIP_PIC_SLAVE].chip.pic);
	put_ioapic(&state->chip[KVM_IRQCHIP_IOAPIC].chip.ioapic);
	for (i = 0; i < 3; i++)
		put_pit(i, &state->pit.channels[i]);
	put(state->pit.flags, "pit.flags");
}

void print_start(const struct diff_stream *s)
{
	memset(field, 0, sizeof(field));
	printf("stream %s\n", s->name);
}

void print_step(const struct diff_stream *s, size_t step, const struct diff_result *result,
		const struct diff_state *state)
{
	uint32_t i;

	printf("%zu: %s | ret=%lld value=%llx fault=%d taken=", step,
	       step ? s->ops[step - 1].text : "(start)", (long long)result->ret,
	       (unsigned long long)result->value, result->fault);
	for (i = 0; i < result->nr_taken; i++)
		printf("%s%02x", i ? "," : "", result->taken[i]);
	printf(" |");
	put_state(s, state);
	printf("\n");
}
