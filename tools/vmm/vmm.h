/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The reference VMM: what its files offer each other. One process runs one virtual machine on
 * a node that speaks the KVM ABI (/dev/apicvisor or /dev/kvm).
 *
 * Threads: the main thread owns the terminal; each vCPU has a thread; each virtio device has
 * one. Functions are safe to call from any of them unless their comment says "set-up", which
 * means: before vcpus_start(), from the main thread, and an error ends the program by die().
 */
#ifndef VMM_H
#define VMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <linux/kvm.h>

#define KiB           (1ULL << 10)
#define MiB           (1ULL << 20)
#define GiB           (1ULL << 30)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(n)        (1U << (n))

/*
 * Guest-physical memory map. RAM fills [0, RAM_HOLE) first and goes on at 4 GiB; everything
 * that is not RAM lies in the hole.
 */
#define RAM_HOLE      0xc0000000ULL /* first address after low RAM, at most */
#define PCI_MMIO_BASE RAM_HOLE      /* window of the PCI host bridge ... */
#define PCI_MMIO_END  0xfec00000ULL /* ... which ends where the IOAPIC's page begins */
#define IOAPIC_BASE   0xfec00000U
#define LAPIC_BASE    0xfee00000U
#define KVM_PRIVATE   0xfffbc000ULL /* 4 pages KVM may use on hosts without unrestricted guest */
#define ABOVE_4G      0x100000000ULL

/* The command line that main.c parsed. */
enum irqchip { IRQCHIP_KERNEL };

struct options {
	const char *dev, *kernel, *initrd, *cmdline, *disk;
	unsigned int cpus;
	uint64_t mem; /* bytes */
	enum irqchip irqchip;
	bool virtio_console;
	int reset_status; /* exit status when the guest resets */
	bool verbose, stats, trace_exits;
};

/* Exit statuses, also in Documentation/vmm.rst. */
enum {
	STATUS_OK = 0,           /* the guest powered itself off (or reset, by default) */
	STATUS_ERROR = 1,        /* bad file, missing device or capability, failed ioctl */
	STATUS_USAGE = 2,        /* bad option */
	STATUS_TRIPLE_FAULT = 3, /* KVM_EXIT_SHUTDOWN */
	STATUS_VCPU = 4,         /* an exit this VMM can't serve; registers were printed */
	STATUS_USER = 130,       /* stopped by a signal or by Ctrl-A x */
};

/* util.c */
void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
void msg(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void *xcalloc(size_t n, size_t size);
/* Reads a whole file into memory the caller frees. Set-up. */
void *read_file(const char *path, size_t *size);

/* bus.c: who answers at which port or guest-physical address */
typedef void (*bus_fn)(void *dev, uint64_t offset, void *data, unsigned int len, bool write);

struct bus {
	struct bus_range {
		uint64_t start, len;
		const char *name;
		bus_fn fn;
		void *dev;
		uint64_t accesses; /* atomic; for --stats */
	} range[16];
	unsigned int n;
	uint64_t unclaimed; /* accesses to no device; atomic */
};

/* Set-up. Ranges must not overlap. */
void bus_add(struct bus *bus, const char *name, uint64_t start, uint64_t len, bus_fn fn, void *dev);
/* Nobody there: a read gives all ones, a write is dropped, as on a PC. Returns false then. */
bool bus_access(struct bus *bus, uint64_t addr, void *data, unsigned int len, bool write);

/* vm.c: the VM file descriptor */
#define MAX_GSI_ROUTES 128

struct vcpu;

struct vm {
	const struct options *opt;
	int kvm_fd, fd;
	uint8_t *mem; /* host address of guest RAM: low part, then the part above 4 GiB */
	uint64_t low_size, high_size;
	struct bus pio, mmio;
	struct vcpu *vcpus;
	unsigned int ncpus;

	pthread_mutex_t route_lock; /* ->routes; held across KVM_SET_GSI_ROUTING */
	struct kvm_irq_routing *routes;
	unsigned int next_gsi;

	pthread_mutex_t end_lock; /* ->status */
	int status;               /* of the process; -1 while the guest runs */
	int end_fd;               /* eventfd: readable once ->status is set */
};

/* Set-up: opens the node, checks it, creates the VM with its memory and irqchip. */
void vm_create(struct vm *vm, const struct options *opt);
/* KVM_CHECK_EXTENSION on the VM. */
int vm_cap(struct vm *vm, unsigned int cap);
/* Host address of guest RAM [gpa, gpa + len), or NULL if any byte of it is not RAM. */
void *vm_ram(struct vm *vm, uint64_t gpa, uint64_t len);
/* Drives an interrupt line of the PIC and IOAPIC (GSI 0-23). */
void vm_irq_line(struct vm *vm, unsigned int gsi, bool level);
/* Reserves a GSI for an MSI and an eventfd that raises it. Set-up. */
int vm_msi_alloc(struct vm *vm, unsigned int *gsi);
/* Points that GSI to an MSI address and data; address 0 takes it out of the table. */
void vm_msi_route(struct vm *vm, unsigned int gsi, uint64_t addr, uint32_t data);
/* A 16-bit guest write at a guest-physical address signals fd. Returns false if refused. */
bool vm_ioeventfd(struct vm *vm, uint64_t addr, int fd, bool assign);
/* Ends the guest: the first caller's status counts. Returns at once. */
void vm_end(struct vm *vm, int status);

/* vcpu.c, cpuid.c, report.c: the vCPU file descriptors and their threads */
#define EXIT_REASONS 48

struct vcpu {
	struct vm *vm;
	unsigned int id; /* also its APIC ID */
	int fd;
	struct kvm_run *run;
	size_t run_size;
	pthread_t thread;
	bool started;
	bool dump;                    /* atomic: print the registers at the next chance */
	uint64_t exits[EXIT_REASONS]; /* by KVM_EXIT_*; written by its thread alone */
};

void vcpus_create(struct vm *vm);                          /* set-up */
void vcpu_set_boot_state(struct vcpu *vcpu, uint64_t rip); /* set-up; see boot.c */
void vcpus_start(struct vm *vm);
/* Makes each vCPU leave KVM_RUN soon. */
void vcpus_kick(struct vm *vm);
/* Makes each vCPU print its registers and go on. */
void vcpus_dump(struct vm *vm);
void vcpus_join(struct vm *vm);
void cpuid_set(struct vcpu *vcpu); /* set-up: KVM_SET_CPUID2 */
const char *exit_name(uint32_t reason);
/* Prints why this vCPU can't go on, with its registers. Its thread only. */
void report_exit(struct vcpu *vcpu, const char *why);
void report_stats(struct vm *vm);

/* boot.c: puts kernel, initrd and command line into guest RAM; returns the entry RIP. Set-up. */
#define BOOT_GDT          0x500ULL /* where boot.c puts what vcpu_set_boot_state() points to */
#define BOOT_GDT_SIZE     32
#define BOOT_PARAMS       0x7000ULL
#define BOOT_PML4         0x9000ULL
#define BOOT_CMDLINE      0x20000ULL
#define BOOT_CMDLINE_SIZE 0x8000ULL
#define EBDA              0x9fc00ULL /* end of conventional memory */
#define ACPI_BASE         0xe0000ULL /* where a kernel would also scan for the RSDP */
#define ACPI_SIZE         0x10000ULL
uint64_t boot_load(struct vm *vm);

/* acpi.c: writes the tables to ram[0, size), which the guest sees at base. Returns their size. */
size_t acpi_build(uint8_t *ram, size_t size, uint64_t base, unsigned int ncpus);

/* Ports and interrupts that acpi.c describes and platform.c or serial.c serve. */
#define PM1_EVENT_PORT   0x600
#define PM1_CONTROL_PORT 0x604
#define RESET_PORT       0xcf9
#define RESET_VALUE      0x06
#define S5_SLEEP_TYPE    5
#define SCI_GSI          9
#define RTC_CENTURY      0x32 /* register of the RTC */
#define COM1_PORT        0x3f8
#define COM1_GSI         4

void rtc_create(struct vm *vm);      /* set-up: rtc.c, the date */
void platform_create(struct vm *vm); /* set-up: power, reset and delay ports */

/* A byte access to RESET_PORT, which pci.c receives because its own ports surround it. */
void platform_reset_port(struct vm *vm, uint8_t *val, bool write);

/* console.c: the terminal */
void console_setup(void); /* set-up: raw mode if stdin is a terminal, restored at exit */
void console_write(const void *buf, size_t len);
/* Feeds stdin to the guest until it has ended or a signal asks to stop. Main thread. */
void console_loop(struct vm *vm);
/* Who takes the input: space() says how many bytes fit; input() gives that many at most. */
struct console_sink {
	size_t (*space)(void *dev);
	void (*input)(void *dev, const uint8_t *buf, size_t len);
	void *dev;
};
void console_attach(const struct console_sink *sink); /* set-up; the last one wins */
/* A sink calls this when space() has grown from 0. */
void console_wake(void);

void serial_create(struct vm *vm); /* set-up */
void serial_flush(void);           /* writes out a line that has no end yet */

#endif
