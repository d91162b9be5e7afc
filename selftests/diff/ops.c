// SPDX-License-Identifier: GPL-2.0-only
/*
 * The language of the streams: one operation per line, "verb number...", numbers in hexadecimal,
 * '#' starts a comment. What the operations mean is diff.h's table.
 */
#include "diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	int nr_args;
	bool on_cpu;
} verbs[OP_NR] = {
#define DIFF_VERB(name, n, cpu) { #name, n, cpu },
	DIFF_OPS(DIFF_VERB)
#undef DIFF_VERB
};

static void bad_line(const char *path, unsigned int line, const char *why)
{
	fprintf(stderr, "%s:%u: %s\n", path, line, why);
	exit(2);
}

/* Bounds that the runners rely on. */
static const char *check_op(const struct diff_stream *s, const struct diff_op *op)
{
	const uint64_t *a = op->arg;

	if (verbs[op->verb].on_cpu && a[0] >= s->nr_cpus)
		return "no such vCPU";
	switch (op->verb) {
	case OP_mr:
	case OP_mw:
		return a[2] == 1 || a[2] == 2 || a[2] == 4 || a[2] == 8 ? NULL : "bad width";
	case OP_in:
	case OP_out:
		return a[2] == 1 || a[2] == 2 || a[2] == 4 ? NULL : "bad width";
	case OP_chip:
		return a[0] < 3 ? NULL : "no such chip";
	case OP_pokechip:
		return a[0] < 3 && a[1] < sizeof(((struct kvm_irqchip *)0)->chip) ? NULL
										  : "bad chip";
	case OP_pokelapic:
		return a[1] < KVM_APIC_REG_SIZE && a[1] % 4 == 0 ? NULL : "bad offset";
	case OP_route:
	case OP_msiroute:
	case OP_unroute:
		return a[0] < DIFF_MAX_GSI ? NULL : "bad gsi";
	default:
		return NULL;
	}
}

static const char *parse_op(const struct diff_stream *s, struct diff_op *op, char *line)
{
	char *save, *word = strtok_r(line, " \t\n", &save);
	int n = 0;

	for (op->verb = 0; op->verb < OP_NR && strcmp(word, verbs[op->verb].name); op->verb++)
		;
	if (op->verb == OP_NR)
		return "unknown verb";
	for (word = strtok_r(NULL, " \t\n", &save); word; word = strtok_r(NULL, " \t\n", &save)) {
		char *end;

		if (n == verbs[op->verb].nr_args)
			return "too many numbers";
		op->arg[n++] = strtoull(word, &end, 16);
		if (*end)
			return "not a hexadecimal number";
	}
	return n == verbs[op->verb].nr_args ? check_op(s, op) : "too few numbers";
}

static bool is_header(struct diff_stream *s, const char *line)
{
	unsigned int cpus;
	unsigned long long flags;

	if (sscanf(line, "vcpus %x", &cpus) == 1 && cpus >= 1 && cpus <= DIFF_MAX_CPUS) {
		s->nr_cpus = cpus;
		return true;
	}
	if (sscanf(line, "x2apic_api %llx", &flags) == 1) {
		s->x2apic_api = flags;
		return true;
	}
	return false;
}

static struct diff_op *new_op(struct diff_stream *s, const char *line)
{
	struct diff_op *op;

	s->ops = realloc(s->ops, (s->nr_ops + 1) * sizeof(*s->ops));
	if (!s->ops) {
		perror("realloc");
		exit(2);
	}
	op = &s->ops[s->nr_ops++];
	memset(op, 0, sizeof(*op));
	snprintf(op->text, sizeof(op->text), "%s", line);
	op->text[strcspn(op->text, "\n")] = 0;
	return op;
}

void stream_load(struct diff_stream *s, const char *path)
{
	const char *base = strrchr(path, '/');
	FILE *f = fopen(path, "re");
	char line[256];
	unsigned int nr = 0;

	if (!f) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(2);
	}
	memset(s, 0, sizeof(*s));
	snprintf(s->name, sizeof(s->name), "%s", base ? base + 1 : path);
	while (fgets(line, sizeof(line), f)) {
		const char *why;

		nr++;
		line[strcspn(line, "#")] = 0;
		if (!line[strspn(line, " \t\n")] || (!s->nr_ops && is_header(s, line)))
			continue;
		if (!s->nr_cpus)
			bad_line(path, nr, "the first line must be: vcpus N");
		why = parse_op(s, new_op(s, line), line);
		if (why)
			bad_line(path, nr, why);
	}
	fclose(f);
}

void stream_free(struct diff_stream *s)
{
	free(s->ops);
	s->ops = NULL;
}

/* --- routing tables --- */

static void add_pin(struct diff_routes *r, uint32_t gsi, uint32_t chip, uint32_t pin)
{
	if (r->nr == sizeof(r->row) / sizeof(r->row[0]))
		return; /* the same on every runner */
	r->row[r->nr++] = (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

/* What KVM_CREATE_IRQCHIP leaves: KVM API, "KVM_SET_GSI_ROUTING". */
void routes_default(struct diff_routes *r)
{
	uint32_t gsi;

	r->nr = 0;
	for (gsi = 0; gsi < KVM_IOAPIC_NUM_PINS; gsi++) {
		add_pin(r, gsi, KVM_IRQCHIP_IOAPIC, gsi);
		if (gsi < 16)
			add_pin(r, gsi, gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE,
				gsi % 8);
	}
}

static void remove_gsi(struct diff_routes *r, uint32_t gsi)
{
	uint32_t i, n = 0;

	for (i = 0; i < r->nr; i++) {
		if (r->row[i].gsi != gsi)
			r->row[n++] = r->row[i];
	}
	r->nr = n;
}

void routes_edit(struct diff_routes *r, const struct diff_op *op)
{
	uint32_t gsi = (uint32_t)op->arg[0];

	if (op->verb == OP_unroute) {
		remove_gsi(r, gsi);
	} else if (op->verb == OP_route) {
		add_pin(r, gsi, (uint32_t)op->arg[1], (uint32_t)op->arg[2]);
	} else if (r->nr < sizeof(r->row) / sizeof(r->row[0])) {
		r->row[r->nr++] = (struct kvm_irq_routing_entry){
			.gsi = gsi,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi = { .address_lo = (uint32_t)op->arg[1],
				   .address_hi = (uint32_t)op->arg[2],
				   .data = (uint32_t)op->arg[3] },
		};
	}
}
