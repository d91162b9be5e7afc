# SPDX-License-Identifier: GPL-2.0-only
# apicvisor: `make help` lists what can be done. Everything built lies in build/.

LAB	:= tools/lab/lab
KERNELS	:= 6.1 6.12

# A kernel to build for: KDIR=/path/to/headers, or KERNEL=6.1|6.12|debug for one of the lab's; else the
# running kernel's.
ifeq ($(origin KDIR),undefined)
KDIR	:= $(if $(KERNEL),$(shell $(LAB) kdir --kernel $(KERNEL)),/lib/modules/$(shell uname -r)/build)
endif
# The lab's debug kernel checks the module's arithmetic and array indices, too.
SANITIZE = $(if $(filter debug,$(KERNEL)),UBSAN_SANITIZE=y)
RELEASE	:= $(shell sed -n "s/.*UTS_RELEASE \"\(.*\)\"/\1/p" $(KDIR)/include/generated/utsrelease.h 2>/dev/null)
MODDIR	= $(CURDIR)/build/$(RELEASE)

# Without any kernel's headers the best that plain `make` can do is to explain itself.
.DEFAULT_GOAL := $(if $(RELEASE),all,help)

help:
	@sed -n 's/^## //p' $(firstword $(MAKEFILE_LIST))

## make                build everything for the running kernel (KDIR=DIR or KERNEL=6.1 for another)
all: module tools selftests

# Objects stay out of the source: modules are built in a tree of links, one per kernel. Of several
# that build there at a time, one does.
LOCKED	= exec 9>$(MODDIR)/.lock && flock 9
BUILD	= $(MAKE) -C $(KDIR) $(if $(W),W=$(W)) $(if $(C),C=$(C)) $(SANITIZE) modules 9>&-

## make module         the module alone: build/<kernel release>/apicvisor.ko
module:
	@test -n "$(RELEASE)" || { echo "make: no kernel headers at $(KDIR); give KDIR=DIR, or KERNEL=6.1 for the lab's" >&2; exit 1; }
	@mkdir -p $(MODDIR)/tools
	+@$(LOCKED) && cp -asf $(addprefix $(CURDIR)/,Kbuild include arch virt) $(MODDIR)/ && \
	cp -asf $(CURDIR)/tools/kbuild $(MODDIR)/tools/ && $(BUILD) M=$(MODDIR)

## make test-modules   what tests load beside it: build/<kernel release>/selftests/
test-modules: module
	@mkdir -p $(MODDIR)/selftests
	+@$(LOCKED) && cp -asf $(CURDIR)/selftests/iommu $(MODDIR)/selftests/ && \
	$(BUILD) M=$(MODDIR)/selftests/iommu

## make tools          the reference VMM and the demo's initrd (build/bin, build/demo)
tools:
	$(MAKE) -C tools/vmm
	@mkdir -p build/demo
	tools/demo/mkinitrd build/demo/initrd.img

## make selftests      the programs that test the module in the lab (build/selftests)
selftests:
	$(MAKE) -C selftests

## make setup          fetch and build what the lab needs (Bochs, kernels); once, 5 minutes
setup:
	$(LAB) setup

## make demo           a Debian kernel boots as a guest on the module, in the best machine there is
demo:
	@tools/demo/demo $(DEMO)

## make check          all tests: unit tests here, kselftests in the lab on 6.1 and 6.12 (TAP)
##                     TEST=SUITE[:NAME] runs one, e.g. TEST=test_vlapic or TEST=guest_irq:*timer*
check:
	@tools/check/check $(TEST)

## make check-long     what takes too long for every change: fuzzing for minutes, planted bugs, coverage,
##                     check-debug; FUZZ_SECONDS=300 for each fuzzer
check-long:
	@tools/check/long

## make coverage       lines and branches of the portable core that its tests run
coverage:
	@tools/check/coverage

## make check-debug    the in-lab tests and a guest on a kernel with lockdep, KASAN and kmemleak; it
##                     is built first: 5 minutes; TEST=SUITE[:NAME] as above
check-debug:
	@tools/check/debug $(TEST)

## make check-matrix   the interrupt controllers' tests under each set of APIC virtualization features:
##                     three CPU models, every single feature off; ends with a table
check-matrix:
	@tools/check/matrix $(POINTS)

## make check-stress   a million interrupts among vCPUs that move, halt and are preempted, each accounted
##                     for; CPU models and the emulator's SMP quantum are swept; ends with a table
check-stress:
	@tools/check/stress $(POINTS)

## make check-clients  QEMU 7.2 and 10.0, unmodified, in the lab: machines, irqchips, what a running guest
##                     is put through; CASES='10.0-*' for some
check-clients:
	@tools/check/clients $(CASES)

## make check-upstream the kernel's own KVM selftests in the lab, on the module and on in-tree KVM,
##                     compared with Documentation/upstream.rst; TEST=NAME runs one
check-upstream:
	@tools/check/upstream $(TEST)

## make bench          the module beside in-tree KVM, in ticks of the emulated CPU: exits, interrupts, memory,
##                     guests; a table, and JSON, CSV and SVG in build/bench; BENCH=NAME for some
bench:
	@tools/bench/bench $(BENCH)

## make lint           clang-format, W=1, sparse, clang build and analyzer, shellcheck, Python
lint:
	@tools/check/lint

## make fuzz           fuzz the portable core and the decoder; SECONDS=60 each
SECONDS	?= 60
fuzz:
	$(MAKE) -C selftests/fuzz run SECONDS=$(SECONDS)

## make lab-shell      a shell in the lab with the module loaded
lab-shell:
	$(LAB) shell

## make install        install the module for the running kernel (as root)
install: module
	$(MAKE) -C $(KDIR) M=$(MODDIR) modules_install

## make clean          remove build/ (the lab's cache stays: see Documentation/lab.rst)
clean:
	rm -rf build

.PHONY: help all module test-modules tools selftests setup demo check check-long coverage check-debug check-matrix check-stress check-clients check-upstream bench lint fuzz lab-shell install clean
