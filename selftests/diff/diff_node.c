// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs streams on a device node that speaks the KVM ABI ($APV_DEV): diff_node STREAM... prints what
 * diff_core prints of the portable core. Each vCPU's guest is an interpreter: it does the one
 * operation that lies in its mailbox, with interrupts off, and reports. A vCPU that an INIT or SIPI
 * has carried off is put back before its next operation.
 */
#include <sys/wait.h>
#include "kvmtest.h"
#include "diff.h"

#define CPUID1_ECX_X2APIC       (1u << 21)
#define CPUID1_ECX_TSC_DEADLINE (1u << 24)

/* --- the guest --- */

static struct mailbox {
	uint64_t verb, arg[4];
	uint64_t value;
	int64_t fault;
	uint32_t nr_taken;
	uint8_t taken[DIFF_MAX_TAKEN];
} mailbox[DIFF_MAX_CPUS];

static struct mailbox *current; /* of the vCPU that runs; one runs at a time */

/* Interrupts and NMIs end here. Without an EOI: that is an operation of its own. */
static void record(struct guest_frame *f)
{
	if (current->nr_taken < DIFF_MAX_TAKEN)
		current->taken[current->nr_taken++] = (uint8_t)f->vector;
	if (current->nr_taken == DIFF_MAX_TAKEN)
		f->rflags &= ~0x200UL; /* enough: close the window */
}

static uint64_t mem_read(uint64_t gpa, uint64_t len)
{
	uint64_t v = 0;

	switch (len) {
	case 1:
		asm volatile("movb %1, %b0" : "=q"(v) : "m"(*(volatile uint8_t *)gpa));
		return (uint8_t)v;
	case 2:
		asm volatile("movw %1, %w0" : "=r"(v) : "m"(*(volatile uint16_t *)gpa));
		return (uint16_t)v;
	case 4:
		return mmio_read32(gpa);
	default:
		asm volatile("movq %1, %0" : "=r"(v) : "m"(*(volatile uint64_t *)gpa));
		return v;
	}
}

static void mem_write(uint64_t gpa, uint64_t len, uint64_t v)
{
	switch (len) {
	case 1:
		asm volatile("movb %b1, %0" : "=m"(*(volatile uint8_t *)gpa) : "q"(v));
		break;
	case 2:
		asm volatile("movw %w1, %0" : "=m"(*(volatile uint16_t *)gpa) : "r"(v));
		break;
	case 4:
		mmio_write32(gpa, (uint32_t)v);
		break;
	default:
		asm volatile("movq %1, %0" : "=m"(*(volatile uint64_t *)gpa) : "r"(v));
	}
}

static uint64_t port_read(uint16_t port, uint64_t len)
{
	return len == 1 ? inb(port) : len == 2 ? inw(port) : inl(port);
}

static void port_write(uint16_t port, uint64_t len, uint64_t v)
{
	if (len == 1)
		outb(port, (uint8_t)v);
	else if (len == 2)
		outw(port, (uint16_t)v);
	else
		outl(port, (uint32_t)v);
}

static void perform(void)
{
	struct mailbox *b = current;

	switch (b->verb) {
	case OP_mr:
		b->value = mem_read(b->arg[1], b->arg[2]);
		break;
	case OP_mw:
		mem_write(b->arg[1], b->arg[2], b->arg[3]);
		break;
	case OP_rdmsr:
		b->value = rdmsr((uint32_t)b->arg[1]);
		break;
	case OP_wrmsr:
		wrmsr((uint32_t)b->arg[1], b->arg[2]);
		break;
	case OP_in:
		b->value = port_read((uint16_t)b->arg[1], b->arg[2]);
		break;
	case OP_out:
		port_write((uint16_t)b->arg[1], b->arg[2], b->arg[3]);
		break;
	case OP_rdcr8:
		b->value = read_cr(8);
		break;
	case OP_cr8:
		write_cr(8, b->arg[1]);
		break;
	default: /* the window opens after the instruction behind STI */
		asm volatile("sti; nop; nop; cli" : : : "memory");
	}
}

static void interpreter(uint64_t cpu)
{
	unsigned int vector;

	for (vector = 0; vector < 256; vector++) {
		if (vector >= 32 || vector == 2)
			guest_handler[vector] = record;
	}
	for (;;) {
		uint32_t error;

		guest_sync(cpu);
		/* An interrupt in the window is no exception of the operation. */
		if (current->verb == OP_take)
			perform();
		else
			current->fault = guest_catch(perform, &error);
	}
}

/* --- running it --- */

struct runner {
	const struct diff_stream *stream;
	struct vm *vm;
	struct diff_routes routes;
	struct diff_result *result;
};

/* Accesses that no device answers: all ones. */
static void answer_exit(struct kvm_run *run)
{
	if (run->exit_reason == KVM_EXIT_MMIO && !run->mmio.is_write)
		memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
	if (run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_IN)
		memset((uint8_t *)run + run->io.data_offset, 0xff, run->io.size * run->io.count);
}

static bool is_unanswered(const struct kvm_run *run)
{
	return run->exit_reason == KVM_EXIT_MMIO ||
	       (run->exit_reason == KVM_EXIT_IO && run->io.port != REPORT_PORT);
}

/* Run until the report, and let the OUT that made it complete. */
static void run_to_report(struct vcpu *v)
{
	while (vcpu_run(v), is_unanswered(v->run))
		answer_exit(v->run);
	if (v->run->exit_reason != KVM_EXIT_IO || v->report->kind != REPORT_SYNC)
		fail_msg("vCPU %u: exit %s, report %lu: vector %lu at %#lx; rip %#llx", v->id,
			 exit_name(v->run->exit_reason), (unsigned long)v->report->kind,
			 (unsigned long)v->report->value[0], (unsigned long)v->report->value[2],
			 vcpu_regs(v).rip);
	v->run->immediate_exit = 1;
	assert_int_equal(vcpu_run_raw(v), -EINTR);
	v->run->immediate_exit = 0;
}

static enum diff_where where_is(struct vcpu *v, uint32_t *sipi_page)
{
	struct kvm_sregs sregs;
	uint64_t rip = vcpu_regs(v).rip;

	*sipi_page = 0;
	if (rip >= GUEST_STACKS && rip < GUEST_FREE)
		return WHERE_PARKED;
	must(ioctl(v->fd, KVM_GET_SREGS, &sregs));
	if (rip == 0xfff0 && sregs.cs.base == 0xffff0000)
		return WHERE_RESET;
	if (rip == 0 && sregs.cs.base == (uint64_t)sregs.cs.selector << 4) {
		*sipi_page = sregs.cs.selector >> 8;
		return WHERE_SIPI;
	}
	fail_msg("vCPU %u got lost: rip %#lx, cs %#llx", v->id, rip, sregs.cs.base);
	return WHERE_RESET;
}

static void guest_op(struct runner *r, const struct diff_op *op)
{
	struct vcpu *v = r->vm->vcpu[op->arg[0]];
	struct mailbox *b = &in_guest(r->vm, mailbox[op->arg[0]]);
	struct kvm_mp_state mp;
	uint32_t page;

	must(ioctl(v->fd, KVM_GET_MP_STATE, &mp));
	memset(b, 0, sizeof(*b));
	b->fault = -1;
	in_guest(r->vm, current) = &mailbox[op->arg[0]];
	if (mp.mp_state != KVM_MP_STATE_RUNNABLE || where_is(v, &page) != WHERE_PARKED) {
		vcpu_long_mode(v, interpreter, v->id);
		run_to_report(v);
	}
	b->verb = op->verb;
	memcpy(b->arg, op->arg, sizeof(b->arg));
	run_to_report(v);
	r->result->value = b->value;
	r->result->fault = (int)b->fault;
	r->result->nr_taken = b->nr_taken;
	memcpy(r->result->taken, b->taken, sizeof(b->taken));
}

/* --- operations of userspace: 0 or a positive result, or -errno --- */

static int vm_call(struct runner *r, unsigned long cmd, void *arg)
{
	int ret = ioctl(r->vm->fd, cmd, arg);

	return ret < 0 ? -errno : ret;
}

static int cpu_call(struct runner *r, uint64_t cpu, unsigned long cmd, void *arg)
{
	int ret = ioctl(r->vm->vcpu[cpu]->fd, cmd, arg);

	return ret < 0 ? -errno : ret;
}

static int set_line(struct runner *r, uint64_t gsi, uint64_t level)
{
	struct kvm_irq_level line = { .irq = (uint32_t)gsi, .level = (uint32_t)level };
	int ret = vm_call(r, KVM_IRQ_LINE_STATUS, &line);

	return ret ? ret : (int)line.status;
}

static int signal_msi(struct runner *r, const uint64_t *a)
{
	struct kvm_msi msi = { .address_lo = (uint32_t)a[0],
			       .address_hi = (uint32_t)a[1],
			       .data = (uint32_t)a[2] };

	return vm_call(r, KVM_SIGNAL_MSI, &msi);
}

static int set_routes(struct runner *r)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry row[ARRAY_SIZE(r->routes.row)];
	} table = { .head.nr = r->routes.nr };

	memcpy(table.row, r->routes.row, r->routes.nr * sizeof(table.row[0]));
	return vm_call(r, KVM_SET_GSI_ROUTING, &table);
}

static int reload_lapic(struct runner *r, const struct diff_op *op)
{
	struct kvm_lapic_state image;
	uint32_t word = (uint32_t)op->arg[2];
	int ret = cpu_call(r, op->arg[0], KVM_GET_LAPIC, &image);

	if (ret)
		return ret;
	if (op->verb == OP_pokelapic)
		memcpy(image.regs + op->arg[1], &word, sizeof(word));
	return cpu_call(r, op->arg[0], KVM_SET_LAPIC, &image);
}

static int reload_chip(struct runner *r, const struct diff_op *op)
{
	struct kvm_irqchip image = { .chip_id = (uint32_t)op->arg[0] };
	int ret = vm_call(r, KVM_GET_IRQCHIP, &image);

	if (ret)
		return ret;
	if (op->verb == OP_pokechip)
		((uint8_t *)&image.chip)[op->arg[1]] = (uint8_t)op->arg[2];
	return vm_call(r, KVM_SET_IRQCHIP, &image);
}

static int reload_pit(struct runner *r)
{
	struct kvm_pit_state2 image;
	int ret = vm_call(r, KVM_GET_PIT2, &image);

	return ret ? ret : vm_call(r, KVM_SET_PIT2, &image);
}

static int userspace_op(struct runner *r, const struct diff_op *op)
{
	const uint64_t *a = op->arg;
	struct kvm_mp_state mp = { .mp_state = (uint32_t)a[1] };

	switch (op->verb) {
	case OP_line:
		return set_line(r, a[0], a[1]);
	case OP_msi:
		return signal_msi(r, a);
	case OP_route:
	case OP_msiroute:
	case OP_unroute:
		routes_edit(&r->routes, op);
		return 0;
	case OP_setroutes:
		return set_routes(r);
	case OP_nmi:
		return cpu_call(r, a[0], KVM_NMI, NULL);
	case OP_lapic:
	case OP_pokelapic:
		return reload_lapic(r, op);
	case OP_chip:
	case OP_pokechip:
		return reload_chip(r, op);
	case OP_pit:
		return reload_pit(r);
	case OP_mp:
		return cpu_call(r, a[0], KVM_SET_MP_STATE, &mp);
	default: /* OP_setmsr */
		return vcpu_set_msr(r->vm->vcpu[a[0]], (uint32_t)a[1], a[2]);
	}
}

/* --- state --- */

static void get_state(struct runner *r, struct diff_state *s)
{
	struct vm *vm = r->vm;

	memset(s, 0, sizeof(*s));
	for (int i = 0; i < vm->nr_vcpus; i++) {
		struct vcpu *v = vm->vcpu[i];
		struct kvm_mp_state mp;

		/* First, since it makes a latched INIT or SIPI take effect. */
		must(ioctl(v->fd, KVM_GET_MP_STATE, &mp));
		s->cpu[i].mp_state = mp.mp_state;
		s->cpu[i].where = where_is(v, &s->cpu[i].sipi_page);
		must(ioctl(v->fd, KVM_GET_VCPU_EVENTS, &s->cpu[i].events));
		s->cpu[i].apic_base = vcpu_get_msr(v, MSR_APIC_BASE);
		s->cpu[i].tsc_deadline = vcpu_get_msr(v, MSR_TSC_DEADLINE);
	}
	for (int i = 0; i < vm->nr_vcpus; i++)
		must(ioctl(vm->vcpu[i]->fd, KVM_GET_LAPIC, &s->cpu[i].lapic));
	for (uint32_t i = 0; i < 3; i++) {
		s->chip[i].chip_id = i;
		must(ioctl(vm->fd, KVM_GET_IRQCHIP, &s->chip[i]));
	}
	must(ioctl(vm->fd, KVM_GET_PIT2, &s->pit));
}

/* --- one stream --- */

/* What the device supports, plus what the core always has. */
static void set_cpuid(struct vcpu *v)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 100 * sizeof(cpuid->entries[0]));
	int dev = dev_open();

	assert_non_null(cpuid);
	cpuid->nent = 100;
	must(ioctl(dev, KVM_GET_SUPPORTED_CPUID, cpuid));
	close(dev);
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		if (cpuid->entries[i].function == 1)
			cpuid->entries[i].ecx |= CPUID1_ECX_X2APIC | CPUID1_ECX_TSC_DEADLINE;
	}
	must(ioctl(v->fd, KVM_SET_CPUID2, cpuid));
	free(cpuid);
}

static void set_up(struct runner *r)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X2APIC_API,
				      .args = { r->stream->x2apic_api } };
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

	r->vm = vm_create_irqchip();
	if (r->stream->x2apic_api)
		must(ioctl(r->vm->fd, KVM_ENABLE_CAP, &cap));
	must(ioctl(r->vm->fd, KVM_CREATE_PIT2, &pit));
	routes_default(&r->routes);
	for (uint32_t i = 0; i < r->stream->nr_cpus; i++) {
		struct vcpu *v = vcpu_create_bare(r->vm, i);

		set_cpuid(v);
		vcpu_long_mode(v, interpreter, i);
		run_to_report(v);
	}
}

static void run_stream(const char *path)
{
	struct diff_stream stream;
	struct runner r = { .stream = &stream };
	struct diff_state state;

	stream_load(&stream, path);
	set_up(&r);
	print_start(&stream);
	for (size_t i = 0; i <= stream.nr_ops; i++) {
		struct diff_result result = { .fault = -1 };
		const struct diff_op *op = &stream.ops[i - 1];

		r.result = &result;
		if (i && op->verb <= OP_take)
			guest_op(&r, op);
		else if (i)
			result.ret = userspace_op(&r, op);
		get_state(&r, &state);
		print_step(&stream, i, &result, &state);
	}
	vm_free(r.vm);
	stream_free(&stream);
}

/* Each in a process of its own: one that goes wrong says so and does not end the others. */
int main(int argc, char **argv)
{
	int bad = 0;

	for (int i = 1; i < argc; i++) {
		pid_t pid;
		int status;

		fflush(stdout);
		pid = fork();
		if (pid == 0) {
			test_setup_alarm();
			run_stream(argv[i]);
			return 0;
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
			fprintf(stderr, "%s: not run to its end\n", argv[i]);
			bad = 1;
		}
	}
	return bad;
}
