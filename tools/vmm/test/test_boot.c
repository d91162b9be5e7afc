/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The boot protocol: what a kernel finds in memory, from small made-up images; and the images
 * that must be refused.
 */
#define _GNU_SOURCE /* memfd_create */
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>
#include <asm/bootparam.h>

#include "fake_kvm.h"

#define IMAGE_SIZE  8192
#define SETUP_SIZE  1024 /* one boot sector and one setup sector */
#define LOAD_ADDR   0x1000000ULL
#define KERNEL_SIZE 0x200000

static struct options opt;
static struct vm vm;

/* A file of this content, by a name that open() takes. */
static const char *file_of(const void *data, size_t size)
{
	static char names[4][64];
	static unsigned int next;
	char *name = names[next++ % ARRAY_SIZE(names)];
	int fd = memfd_create("test", 0);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	snprintf(name, sizeof(names[0]), "/proc/self/fd/%d", fd);
	return name;
}

static struct setup_header *make_bzimage(uint8_t *image)
{
	struct setup_header *hdr = (void *)(image + 0x1f1);

	memset(image, 0, SETUP_SIZE);
	memset(image + SETUP_SIZE, 0x90, IMAGE_SIZE - SETUP_SIZE);
	hdr->setup_sects = 1;
	hdr->boot_flag = 0xaa55;
	hdr->jump = 0x66eb; /* the header ends at 0x202 + 0x66 */
	hdr->header = 0x53726448;
	hdr->version = 0x020f;
	hdr->xloadflags = XLF_KERNEL_64;
	hdr->pref_address = LOAD_ADDR;
	hdr->init_size = KERNEL_SIZE;
	hdr->initrd_addr_max = 0x7fffffff;
	hdr->cmdline_size = 2047;
	return hdr;
}

static uint64_t load(const void *image, size_t size, uint64_t mem)
{
	opt.kernel = file_of(image, size);
	fake_vm(&vm, &opt, 2, mem);
	return boot_load(&vm);
}

static struct boot_params *params(void)
{
	return vm_ram(&vm, BOOT_PARAMS, sizeof(struct boot_params));
}

static void bzimage(void **state)
{
	uint8_t image[IMAGE_SIZE];
	const struct boot_params *bp;

	(void)state;
	make_bzimage(image);
	opt.initrd = file_of("initrd", 6);
	opt.cmdline = "console=ttyS0";
	assert_int_equal(load(image, sizeof(image), 64 * MiB), LOAD_ADDR + 0x200);
	assert_memory_equal(vm_ram(&vm, LOAD_ADDR, 1), image + SETUP_SIZE, IMAGE_SIZE - SETUP_SIZE);
	bp = params();
	assert_int_equal(bp->hdr.version, 0x020f);
	assert_int_equal(bp->hdr.type_of_loader, 0xff);
	assert_int_equal(bp->hdr.ramdisk_size, 6);
	assert_int_equal(bp->hdr.ramdisk_image, 64 * MiB - 4096);
	assert_memory_equal(vm_ram(&vm, bp->hdr.ramdisk_image, 6), "initrd", 6);
	assert_string_equal(vm_ram(&vm, bp->hdr.cmd_line_ptr, 64), "console=ttyS0");
	assert_int_equal(bp->acpi_rsdp_addr, ACPI_BASE);
	assert_memory_equal(vm_ram(&vm, ACPI_BASE, 8), "RSD PTR ", 8);
}

/* RAM is what vm_ram() knows, nothing else is; ranges are sorted and apart. */
static void check_memory_map(uint64_t mem)
{
	uint8_t image[IMAGE_SIZE];
	uint64_t end = 0, ram = 0;
	const struct boot_params *bp;

	make_bzimage(image);
	load(image, sizeof(image), mem);
	bp = params();
	assert_true(bp->e820_entries <= E820_MAX_ENTRIES_ZEROPAGE);
	for (unsigned int i = 0; i < bp->e820_entries; i++) {
		const struct boot_e820_entry *e = &bp->e820_table[i];

		assert_true(e->addr >= end && e->size);
		end = e->addr + e->size;
		if (e->type != 1)
			continue;
		assert_non_null(vm_ram(&vm, e->addr, e->size));
		ram += e->size;
	}
	/* Only the hole below 1 MiB is missing. */
	assert_int_equal(ram, mem - (MiB - EBDA));
}

static void memory_map(void **state)
{
	(void)state;
	opt.initrd = NULL;
	check_memory_map(64 * MiB);
	assert_int_equal(kvm.n_slots, 1);
	check_memory_map(RAM_HOLE);
	assert_int_equal(kvm.n_slots, 1);
	check_memory_map(RAM_HOLE + 64 * MiB);
	assert_int_equal(kvm.n_slots, 2);
	assert_int_equal(kvm.slot[1].guest_phys_addr, 4 * GiB);
	assert_null(vm_ram(&vm, RAM_HOLE, 1));
	assert_null(vm_ram(&vm, RAM_HOLE - 1, 2));
	assert_non_null(vm_ram(&vm, 4 * GiB + 64 * MiB - 1, 1));
	assert_null(vm_ram(&vm, 4 * GiB + 64 * MiB - 1, 2));
	assert_null(vm_ram(&vm, ~0ULL, 1));
	assert_null(vm_ram(&vm, 0, ~0ULL));
}

/* What the processor would translate an address to, under the tables at BOOT_PML4. */
static uint64_t translate(uint64_t addr)
{
	uint64_t entry = BOOT_PML4;

	for (int shift = 39; shift >= 21; shift -= 9) {
		const uint64_t *tbl = vm_ram(&vm, entry & ~0xfffULL, 4096);

		assert_non_null(tbl);
		entry = tbl[addr >> shift & 511];
		assert_true(entry & 1);
	}
	assert_true(entry & 0x80); /* a 2 MiB page */
	return (entry & ~0x1fffffULL) | (addr & 0x1fffff);
}

static void page_tables(void **state)
{
	static const uint64_t addrs[] = { 0, BOOT_PARAMS, LOAD_ADDR, 0xfec00010, 0xffffffff };
	uint8_t image[IMAGE_SIZE];
	const uint64_t *gdt;

	(void)state;
	make_bzimage(image);
	load(image, sizeof(image), 64 * MiB);
	for (unsigned int i = 0; i < ARRAY_SIZE(addrs); i++)
		assert_int_equal(translate(addrs[i]), addrs[i]);
	gdt = vm_ram(&vm, BOOT_GDT, BOOT_GDT_SIZE);
	assert_true(gdt[2] >> 53 & 1);  /* 0x10: L, 64-bit */
	assert_true(gdt[2] >> 43 & 1);  /* code */
	assert_false(gdt[3] >> 43 & 1); /* 0x18: data */
}

struct elf_image {
	Elf64_Ehdr eh;
	Elf64_Phdr ph;
	uint8_t code[64];
};

static struct elf_image make_elf(void)
{
	return (struct elf_image){
		.eh = {
			.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64 },
			.e_machine = EM_X86_64,
			.e_entry = LOAD_ADDR + 8,
			.e_phoff = offsetof(struct elf_image, ph),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 1,
		},
		.ph = {
			.p_type = PT_LOAD,
			.p_offset = offsetof(struct elf_image, code),
			.p_paddr = LOAD_ADDR,
			.p_filesz = 64,
			.p_memsz = 4096,
		},
		.code = "kernel",
	};
}

static void elf(void **state)
{
	struct elf_image image = make_elf();

	(void)state;
	opt.initrd = file_of("initrd", 6);
	assert_int_equal(load(&image, sizeof(image), 64 * MiB), LOAD_ADDR + 8);
	assert_string_equal(vm_ram(&vm, LOAD_ADDR, 64), "kernel");
	assert_int_equal(params()->hdr.header, 0x53726448);
	assert_int_equal(params()->hdr.boot_flag, 0xaa55);
	assert_int_equal(params()->hdr.ramdisk_size, 6);
	opt.initrd = NULL;
}

/* A child loads an image that was changed by edit(). */
struct bad {
	const char *what;
	void (*edit)(uint8_t *image);
	size_t size;
};

#define HDR ((struct setup_header *)(image + 0x1f1))

static void no_magic(uint8_t *image)
{
	HDR->header = 0;
}

static void old_protocol(uint8_t *image)
{
	HDR->version = 0x020b;
}

static void no_64bit(uint8_t *image)
{
	HDR->xloadflags = 0;
}

static void small_init_size(uint8_t *image)
{
	HDR->init_size = 16;
}

static void huge_init_size(uint8_t *image)
{
	HDR->init_size = 0xffffffff;
}

static void wild_address(uint8_t *image)
{
	HDR->pref_address = ~0ULL - 4096;
}

static void long_setup(uint8_t *image)
{
	HDR->setup_sects = 255;
}

static void short_cmdline(uint8_t *image)
{
	HDR->cmdline_size = 3;
}

static void load_bad(void *arg)
{
	const struct bad *bad = arg;
	uint8_t image[IMAGE_SIZE];

	make_bzimage(image);
	if (bad->edit)
		bad->edit(image);
	opt.cmdline = "console";
	load(image, bad->size ? bad->size : sizeof(image), 64 * MiB);
}

static void bad_bzimages(void **state)
{
	static struct bad list[] = {
		{ "no magic", no_magic, 0 },
		{ "old protocol", old_protocol, 0 },
		{ "no 64-bit entry", no_64bit, 0 },
		{ "init_size below its size", small_init_size, 0 },
		{ "init_size above memory", huge_init_size, 0 },
		{ "wraps around", wild_address, 0 },
		{ "setup longer than the file", long_setup, 0 },
		{ "cut in the header", NULL, 0x210 },
		{ "one byte", NULL, 1 },
		{ "command line too long", short_cmdline, 0 },
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(list); i++)
		if (status_of(load_bad, &list[i]) != STATUS_ERROR)
			fail_msg("taken: %s", list[i].what);
}

static void load_elf_arg(void *arg)
{
	load(arg, sizeof(struct elf_image), 64 * MiB);
}

static void bad_elfs(void **state)
{
	struct elf_image image[8];

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(image); i++)
		image[i] = make_elf();
	image[0].eh.e_ident[EI_CLASS] = ELFCLASS32;
	image[1].eh.e_phoff = ~0ULL - 7;
	image[2].eh.e_phnum = 0xffff;
	image[3].ph.p_offset = ~0ULL;
	image[4].ph.p_filesz = 1 << 20;
	image[5].ph.p_memsz = 8;
	image[6].ph.p_paddr = 64 * MiB - 64;
	image[7].ph.p_type = PT_NOTE;
	for (unsigned int i = 0; i < ARRAY_SIZE(image); i++)
		if (status_of(load_elf_arg, &image[i]) != STATUS_ERROR)
			fail_msg("taken: bad ELF %u", i);
}

static void load_big_initrd(void *arg)
{
	uint8_t image[IMAGE_SIZE];

	make_bzimage(image);
	opt.initrd = arg;
	load(image, sizeof(image), 32 * MiB);
}

static void big_initrd(void **state)
{
	size_t size = 32 * MiB - LOAD_ADDR - KERNEL_SIZE;
	uint8_t *data = calloc(1, size + 1);

	(void)state;
	assert_int_equal(status_of(load_big_initrd, (void *)file_of(data, size)), 0);
	assert_int_equal(status_of(load_big_initrd, (void *)file_of(data, size + 1)), STATUS_ERROR);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bzimage),      cmocka_unit_test(memory_map),
		cmocka_unit_test(page_tables),  cmocka_unit_test(elf),
		cmocka_unit_test(bad_bzimages), cmocka_unit_test(bad_elfs),
		cmocka_unit_test(big_initrd),
	};

	return cmocka_run_group_tests_name("vmm_boot", tests, NULL, NULL);
}
