/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Puts a kernel into guest memory the way a boot loader does under the 64-bit boot protocol:
 * kernel, initrd, command line, boot_params with the memory map, ACPI tables, a GDT and page
 * tables that map the first 4 GiB one to one. Takes a bzImage, or an ELF vmlinux, which has
 * the same entry conditions and needs no unpacking in the guest.
 *
 * Source: the kernel's Documentation/arch/x86/boot.rst and zero-page.rst.
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <asm/bootparam.h>

#include "vmm.h"

#define BOOT_FLAG          0xaa55
#define HEADER_MAGIC       0x53726448 /* "HdrS" */
#define HEADER_OFFSET      0x1f1
#define HEADER_END_OFFSET  0x201 /* holds the header's end, counted from 0x202 */
#define MIN_PROTOCOL       0x020c
#define ENTRY_64_OFFSET    0x200 /* of the 64-bit entry, from the protected-mode code */
#define LOADER_UNDEFINED   0xff
#define DEFAULT_INITRD_MAX 0x37ffffff

#define E820_RAM           1
#define E820_RESERVED      2

#define PTE_PRESENT_RW     0x3ULL
#define PTE_LARGE          0x80ULL
#define LARGE_PAGE         (2 * MiB)

/* A place in guest RAM that must exist, because main.c checked the minimum memory size. */
static void *low_ram(struct vm *vm, uint64_t gpa, uint64_t len, const char *what)
{
	void *p = gpa < vm->low_size ? vm_ram(vm, gpa, len) : NULL;

	if (!p)
		die("%s does not fit into guest memory: give more with --mem", what);
	return p;
}

static void write_gdt(struct vm *vm)
{
	static const uint64_t gdt[BOOT_GDT_SIZE / 8] = {
		0, 0, 0x00af9b000000ffff, /* 0x10: 64-bit code */
		0x00cf93000000ffff,       /* 0x18: flat data */
	};

	memcpy(low_ram(vm, BOOT_GDT, sizeof(gdt), "GDT"), gdt, sizeof(gdt));
}

/* One PML4 page, one PDPT page and four directories of 2 MiB pages. */
static void write_page_tables(struct vm *vm)
{
	uint64_t *pml4 = low_ram(vm, BOOT_PML4, 6 * 4096, "page tables");
	uint64_t *pdpt = pml4 + 512, *pd = pdpt + 512;

	memset(pml4, 0, 6 * 4096);
	pml4[0] = (BOOT_PML4 + 4096) | PTE_PRESENT_RW;
	for (uint64_t i = 0; i < 4; i++)
		pdpt[i] = (BOOT_PML4 + (2 + i) * 4096) | PTE_PRESENT_RW;
	for (uint64_t i = 0; i < 4 * 512; i++)
		pd[i] = i * LARGE_PAGE | PTE_PRESENT_RW | PTE_LARGE;
}

static void add_e820(struct boot_params *bp, uint64_t start, uint64_t end, uint32_t type)
{
	if (start < end)
		bp->e820_table[bp->e820_entries++] = (struct boot_e820_entry){ .addr = start,
									       .size = end - start,
									       .type = type };
}

static void write_memory_map(struct vm *vm, struct boot_params *bp)
{
	add_e820(bp, 0, EBDA, E820_RAM);
	add_e820(bp, EBDA, 0xa0000, E820_RESERVED);
	add_e820(bp, ACPI_BASE, MiB, E820_RESERVED);
	add_e820(bp, MiB, vm->low_size, E820_RAM);
	add_e820(bp, KVM_PRIVATE, KVM_PRIVATE + 0x4000, E820_RESERVED);
	add_e820(bp, ABOVE_4G, ABOVE_4G + vm->high_size, E820_RAM);
}

/* Returns where the image ends in guest memory, with what it needs after it to unpack. */
static uint64_t load_bzimage(struct vm *vm, const uint8_t *image, size_t size,
			     struct boot_params *bp, uint64_t *entry)
{
	struct setup_header *hdr = &bp->hdr;
	size_t hdr_len = 0x202 + image[HEADER_END_OFFSET] - HEADER_OFFSET;
	const char *file = vm->opt->kernel;
	size_t setup_size, code_size;

	if (hdr_len > sizeof(*hdr))
		hdr_len = sizeof(*hdr); /* a newer protocol: we don't use what it added */
	memcpy(hdr, image + HEADER_OFFSET, hdr_len);
	if (hdr->version < MIN_PROTOCOL || !(hdr->xloadflags & XLF_KERNEL_64))
		die("%s has no 64-bit entry point (boot protocol %x.%02x)", file, hdr->version >> 8,
		    hdr->version & 0xff);
	/* The real-mode part, which the 64-bit protocol leaves out; 0 sectors mean 4. */
	setup_size = ((hdr->setup_sects ? hdr->setup_sects : 4) + 1) * 512;
	if (setup_size >= size)
		die("%s is cut short", file);
	code_size = size - setup_size;
	if (hdr->init_size < code_size)
		die("%s claims to need less memory than its own size", file);
	memcpy(low_ram(vm, hdr->pref_address, hdr->init_size, file), image + setup_size, code_size);
	*entry = hdr->pref_address + ENTRY_64_OFFSET;
	return hdr->pref_address + hdr->init_size;
}

static uint64_t load_elf(struct vm *vm, const uint8_t *image, size_t size, struct boot_params *bp,
			 uint64_t *entry)
{
	const Elf64_Ehdr *eh = (const void *)image;
	const char *file = vm->opt->kernel;
	uint64_t end = 0;

	if (size < sizeof(*eh) || eh->e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh->e_machine != EM_X86_64 || eh->e_phentsize != sizeof(Elf64_Phdr) ||
	    eh->e_phoff % 8 || eh->e_phoff > size ||
	    eh->e_phnum > (size - eh->e_phoff) / sizeof(Elf64_Phdr))
		die("%s is not an x86-64 ELF kernel", file);
	for (unsigned int i = 0; i < eh->e_phnum; i++) {
		const Elf64_Phdr *ph = (const void *)(image + eh->e_phoff + i * sizeof(*ph));

		if (ph->p_type != PT_LOAD)
			continue;
		if (ph->p_offset > size || ph->p_filesz > size - ph->p_offset ||
		    ph->p_filesz > ph->p_memsz || ph->p_paddr < MiB)
			die("%s has a bad program header", file);
		memcpy(low_ram(vm, ph->p_paddr, ph->p_memsz, file), image + ph->p_offset,
		       ph->p_filesz);
		if (end < ph->p_paddr + ph->p_memsz)
			end = ph->p_paddr + ph->p_memsz;
	}
	if (!end)
		die("%s has nothing to load", file);
	/* A vmlinux has no setup header; the kernel needs these parts of one. */
	bp->hdr.boot_flag = BOOT_FLAG;
	bp->hdr.header = HEADER_MAGIC;
	bp->hdr.version = MIN_PROTOCOL;
	bp->hdr.loadflags = LOADED_HIGH;
	bp->hdr.initrd_addr_max = DEFAULT_INITRD_MAX;
	bp->hdr.cmdline_size = BOOT_CMDLINE_SIZE - 1;
	*entry = eh->e_entry;
	return end;
}

static uint64_t load_kernel(struct vm *vm, struct boot_params *bp, uint64_t *entry)
{
	uint32_t magic = 0;
	uint16_t flag = 0;
	uint64_t end;
	size_t size;
	uint8_t *image = read_file(vm->opt->kernel, &size);

	if (size >= HEADER_OFFSET + sizeof(struct setup_header)) {
		memcpy(&flag, image + 0x1fe, sizeof(flag));
		memcpy(&magic, image + 0x202, sizeof(magic));
	}
	if (size >= SELFMAG && !memcmp(image, ELFMAG, SELFMAG))
		end = load_elf(vm, image, size, bp, entry);
	else if (flag == BOOT_FLAG && magic == HEADER_MAGIC)
		end = load_bzimage(vm, image, size, bp, entry);
	else
		die("%s is neither a bzImage nor an ELF kernel", vm->opt->kernel);
	free(image);
	return end;
}

/* As high as the kernel allows, so that it is out of the way of whatever unpacks below. */
static void load_initrd(struct vm *vm, struct boot_params *bp, uint64_t kernel_end)
{
	uint64_t top = vm->low_size, addr;
	size_t size;
	uint8_t *image;

	if (!vm->opt->initrd)
		return;
	image = read_file(vm->opt->initrd, &size);
	if (top > bp->hdr.initrd_addr_max + 1ULL)
		top = bp->hdr.initrd_addr_max + 1ULL;
	if (size > top || ((top - size) & ~0xfffULL) < kernel_end)
		die("%s does not fit above the kernel: give more memory with --mem",
		    vm->opt->initrd);
	addr = (top - size) & ~0xfffULL;
	memcpy(low_ram(vm, addr, size, vm->opt->initrd), image, size);
	bp->hdr.ramdisk_image = addr;
	bp->hdr.ramdisk_size = size;
	free(image);
}

static void write_cmdline(struct vm *vm, struct boot_params *bp)
{
	size_t len = strlen(vm->opt->cmdline) + 1;

	if (len > BOOT_CMDLINE_SIZE || len > bp->hdr.cmdline_size + 1ULL)
		die("the command line is longer than the %u bytes that the kernel takes",
		    bp->hdr.cmdline_size);
	memcpy(low_ram(vm, BOOT_CMDLINE, len, "command line"), vm->opt->cmdline, len);
	bp->hdr.cmd_line_ptr = BOOT_CMDLINE;
}

uint64_t boot_load(struct vm *vm)
{
	struct boot_params *bp = low_ram(vm, BOOT_PARAMS, sizeof(*bp), "boot_params");
	uint64_t entry, kernel_end;

	memset(bp, 0, sizeof(*bp));
	kernel_end = load_kernel(vm, bp, &entry);
	load_initrd(vm, bp, kernel_end);
	write_cmdline(vm, bp);
	bp->hdr.type_of_loader = LOADER_UNDEFINED;
	write_memory_map(vm, bp);
	acpi_build(low_ram(vm, ACPI_BASE, ACPI_SIZE, "ACPI"), ACPI_SIZE, ACPI_BASE, vm->ncpus);
	bp->acpi_rsdp_addr = ACPI_BASE;
	write_gdt(vm);
	write_page_tables(vm);
	return entry;
}
