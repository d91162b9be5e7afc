/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The differential test: one stream of operations, run on several implementations of the interrupt
 * controllers, with all visible state printed after each step. This is what the two runners share:
 * the language of the streams (ops.c) and the state (state.c). diff_core.c runs a stream on the
 * portable core, diff_node.c on a device node that speaks the KVM ABI; compare.py reads both.
 *
 * Time is left out: streams arm only timers that can't expire, and what counts is not how far a
 * counter got but whether it runs.
 */
#ifndef DIFF_H
#define DIFF_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define DIFF_MAX_CPUS           4
#define DIFF_MAX_TAKEN          8 /* interrupts that one `take` handles at most */
#define DIFF_MAX_GSI            64

/* clang-format off */
/* X(verb, arguments, the first is a vCPU). All numbers are hexadecimal. Who writes streams: `generate`. */
#define DIFF_OPS(X)                                                             \
	X(mr, 3, 1)       /* guest: read memory: cpu, address, bytes */         \
	X(mw, 4, 1)       /* guest: write memory: cpu, address, bytes, value */ \
	X(rdmsr, 2, 1)    /* guest: cpu, msr */                                 \
	X(wrmsr, 3, 1)    /* guest: cpu, msr, value */                          \
	X(in, 3, 1)       /* guest: cpu, port, bytes */                         \
	X(out, 4, 1)      /* guest: cpu, port, bytes, value */                  \
	X(rdcr8, 1, 1)    /* guest: cpu */                                      \
	X(cr8, 2, 1)      /* guest: cpu, value */                               \
	X(take, 1, 1)     /* guest: cpu: open the window, record the vectors */ \
	X(line, 2, 0)     /* KVM_IRQ_LINE_STATUS: gsi, level */                 \
	X(msi, 3, 0)      /* KVM_SIGNAL_MSI: address, its high half, data */    \
	X(route, 3, 0)    /* add a row: gsi, chip, pin */                       \
	X(msiroute, 4, 0) /* add a row: gsi, address, its high half, data */    \
	X(unroute, 1, 0)  /* remove the rows of a gsi */                        \
	X(setroutes, 0, 0) /* KVM_SET_GSI_ROUTING */                            \
	X(nmi, 1, 1)      /* KVM_NMI */                                         \
	X(lapic, 1, 1)    /* KVM_GET_LAPIC, then KVM_SET_LAPIC of the same */   \
	X(pokelapic, 3, 1) /* with one word changed: cpu, offset, value */      \
	X(chip, 1, 0)     /* KVM_GET_IRQCHIP, then KVM_SET_IRQCHIP: chip */     \
	X(pokechip, 3, 0) /* with one byte changed: chip, offset, value */      \
	X(pit, 0, 0)      /* KVM_GET_PIT2, then KVM_SET_PIT2 */                 \
	X(mp, 2, 1)       /* KVM_SET_MP_STATE: cpu, state */                    \
	X(setmsr, 3, 1)   /* KVM_SET_MSRS: cpu, msr, value */
/* clang-format on */

#define DIFF_VERB(name, n, cpu) OP_##name,
enum diff_verb { DIFF_OPS(DIFF_VERB) OP_NR };
#undef DIFF_VERB

struct diff_op {
	enum diff_verb verb;
	uint64_t arg[4];
	char text[256]; /* as in the stream */
};

struct diff_stream {
	char name[64];
	uint32_t nr_cpus;    /* `vcpus N`, the first line */
	uint64_t x2apic_api; /* `x2apic_api FLAGS`: KVM_CAP_X2APIC_API */
	struct diff_op *ops;
	size_t nr_ops;
};

/* Read a stream; on an error says which line and exits. */
void stream_load(struct diff_stream *s, const char *path);
void stream_free(struct diff_stream *s);

/* The routing table as `route`, `msiroute` and `unroute` edit it; both runners start from KVM's. */
struct diff_routes {
	uint32_t nr;
	struct kvm_irq_routing_entry row[3 * DIFF_MAX_GSI];
};

void routes_default(struct diff_routes *r);
void routes_edit(struct diff_routes *r, const struct diff_op *op);

/* What an operation gave back. */
struct diff_result {
	int64_t ret;    /* of the ioctl, or its status; -errno */
	uint64_t value; /* what the guest read */
	int fault;      /* exception vector, or -1 */
	uint32_t nr_taken;
	uint8_t taken[DIFF_MAX_TAKEN]; /* vectors in the order in which they came, NMI is 2 */
};

/* Where a vCPU is: at the end of its last operation, or where an INIT or SIPI has put it. */
enum diff_where { WHERE_PARKED, WHERE_RESET, WHERE_SIPI };

/* All that is visible, in the ABI's own formats. */
struct diff_state {
	struct {
		uint32_t mp_state;
		uint32_t where, sipi_page;
		uint64_t apic_base, tsc_deadline;
		struct kvm_lapic_state lapic;
		struct kvm_vcpu_events events;
	} cpu[DIFF_MAX_CPUS];
	struct kvm_irqchip chip[3];
	struct kvm_pit_state2 pit;
};

/* Prints to stdout; of the state, the fields that have changed since the step before. */
void print_start(const struct diff_stream *s);
void print_step(const struct diff_stream *s, size_t step, const struct diff_result *result,
		const struct diff_state *state);

#endif
