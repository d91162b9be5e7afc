/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * apicvisor-vmm: options, the order of set-up, and the exit status. Documentation/vmm.rst
 * describes the program to its users.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pci.h"
#include "virtio.h"
#include "vmm.h"

#define MIN_MEM_MIB 32
#define MAX_MEM_MIB (1024 * 1024)
#define MAX_CPUS    254 /* APIC IDs of 8 bits, of which 255 is the broadcast */

static const char usage_text[] =
	"usage: apicvisor-vmm --kernel FILE [OPTION...]\n"
	"\n"
	"Boots a Linux kernel as a guest on a node that speaks the KVM ABI.\n"
	"\n"
	"  --dev PATH            the node (default /dev/apicvisor)\n"
	"  --kernel FILE         bzImage, or ELF vmlinux\n"
	"  --initrd FILE         initial RAM disk\n"
	"  --cmdline TEXT        kernel command line (default \"console=ttyS0\")\n"
	"  --cpus N              vCPUs, 1 to 254 (default 1)\n"
	"  --mem MIB             memory (default 256)\n"
	"  --disk FILE           a raw disk image, as virtio-blk\n"
	"  --virtio-console      a second console, hvc0, which then gets the input\n"
	"  --irqchip kernel      who emulates the interrupt controllers (default kernel)\n"
	"  --reset-status N      exit status when the guest resets (default 0)\n"
	"  --stats               print exits by reason at the end\n"
	"  --trace-exits         print each exit\n"
	"  --verbose             say what is being done\n"
	"  --help                this text\n"
	"\n"
	"Ctrl-A x stops the guest, Ctrl-A r prints the registers. Exit status: 0 power-off, 1 "
	"error, 2 usage,\n"
	"3 triple fault, 4 an exit that can't be served, 130 stopped by the user.\n";

static void usage(const char *what, const char *arg)
{
	fprintf(stderr, "apicvisor-vmm: %s%s; see --help\n", what, arg);
	exit(STATUS_USAGE);
}

static unsigned long number(const char *name, const char *arg, unsigned long min, unsigned long max)
{
	char *end;
	unsigned long val;

	errno = 0;
	val = strtoul(arg, &end, 0);
	if (errno || end == arg || *end || arg[0] == '-' || val < min || val > max) {
		fprintf(stderr, "apicvisor-vmm: --%s takes a number from %lu to %lu, not %s\n",
			name, min, max, arg);
		exit(STATUS_USAGE);
	}
	return val;
}

static void parse(struct options *opt, int argc, char **argv)
{
	static const struct option options[] = {
		{ "dev", required_argument, NULL, 'd' },
		{ "kernel", required_argument, NULL, 'k' },
		{ "initrd", required_argument, NULL, 'i' },
		{ "cmdline", required_argument, NULL, 'c' },
		{ "cpus", required_argument, NULL, 'n' },
		{ "mem", required_argument, NULL, 'm' },
		{ "disk", required_argument, NULL, 'b' },
		{ "virtio-console", no_argument, NULL, 'o' },
		{ "irqchip", required_argument, NULL, 'q' },
		{ "reset-status", required_argument, NULL, 'r' },
		{ "stats", no_argument, NULL, 's' },
		{ "trace-exits", no_argument, NULL, 't' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'd':
			opt->dev = optarg;
			break;
		case 'k':
			opt->kernel = optarg;
			break;
		case 'i':
			opt->initrd = optarg;
			break;
		case 'c':
			opt->cmdline = optarg;
			break;
		case 'n':
			opt->cpus = number("cpus", optarg, 1, MAX_CPUS);
			break;
		case 'm':
			opt->mem = number("mem", optarg, MIN_MEM_MIB, MAX_MEM_MIB) * MiB;
			break;
		case 'b':
			opt->disk = optarg;
			break;
		case 'o':
			opt->virtio_console = true;
			break;
		case 'q':
			if (strcmp(optarg, "kernel"))
				usage("--irqchip can only be kernel, not ", optarg);
			opt->irqchip = IRQCHIP_KERNEL;
			break;
		case 'r':
			opt->reset_status = number("reset-status", optarg, 0, 255);
			break;
		case 's':
			opt->stats = true;
			break;
		case 't':
			opt->trace_exits = true;
			break;
		case 'v':
			opt->verbose = true;
			break;
		case 'h':
			fputs(usage_text, stdout);
			exit(STATUS_OK);
		default: /* getopt has said what is wrong */
			exit(STATUS_USAGE);
		}
	}
	if (optind < argc)
		usage("unexpected argument ", argv[optind]);
	if (!opt->kernel)
		usage("--kernel is missing", "");
}

int main(int argc, char **argv)
{
	struct options opt = {
		.dev = "/dev/apicvisor",
		.cmdline = "console=ttyS0",
		.cpus = 1,
		.mem = 256 * MiB,
	};
	struct vm vm;
	uint64_t entry;

	parse(&opt, argc, argv);
	vm_create(&vm, &opt);
	entry = boot_load(&vm);
	console_setup();
	platform_create(&vm);
	rtc_create(&vm);
	serial_create(&vm);
	pci_create(&vm);
	if (opt.disk)
		virtio_blk_create(&vm, opt.disk);
	if (opt.virtio_console)
		virtio_console_create(&vm);
	vcpus_create(&vm);
	vcpu_set_boot_state(&vm.vcpus[0], entry);
	if (opt.verbose)
		msg("%s, %u vCPUs, %llu MiB, entry at %#lx", opt.dev, opt.cpus, opt.mem / MiB,
		    (unsigned long)entry);
	vcpus_start(&vm);
	console_loop(&vm);
	vcpus_kick(&vm);
	vcpus_join(&vm);
	serial_flush();
	if (opt.stats)
		report_stats(&vm);
	return vm.status;
}
