# Every target with a `##` comment is listed by `make help`.
# The toolchain is chosen by scripts/setup.sh; every call of cargo goes through scripts/cargo.sh.

CARGO := scripts/cargo.sh
TARGET := aarch64-unknown-none-softfloat
T := $(abspath $(or $(CARGO_TARGET_DIR),target))
BARE := $(T)/$(TARGET)/release
KERNEL := $(T)/$(TARGET)/kernel/boot
QUILL := $(T)/release/quill

# The launcher's build script builds this kernel into it.
export QUILL_ELF := $(T)/quill.elf

# What `make run`, `make gdb` start; `make run PROGRAM=./prog ARGS="a b"` runs another program.
PROGRAM ?= $(BARE)/demo
ARGS ?=
# What `make trace` records.
TRACE ?= raw_syscalls,vfs,ext4,writeback,block,virtio
# More options for `quill run`.
OPTIONS ?=

.DEFAULT_GOAL := help
.PHONY: help run trace test build image user test-host test-qemu test-big test-crash test-routes bench bench-direct bench-files bench-fsync gdb check fmt doc setup clean
.PHONY: setup-run setup-test setup-check

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: setup-run build user ## set up, build, boot the demo program and show its disk (PROGRAM=, ARGS=, OPTIONS=)
	$(QUILL) run --show $(OPTIONS) $(PROGRAM) $(ARGS)

build: setup ## the kernel, and the launcher with the kernel in it: target/release/quill
	$(CARGO) build --profile kernel -p boot --target $(TARGET)
	@cmp -s $(KERNEL) $(QUILL_ELF) || cp $(KERNEL) $(QUILL_ELF)
	$(CARGO) build --release -p quill

trace: setup-run build user ## one write and its fsync, step by step from svc to ring and back (TRACE=, PROGRAM=, ARGS=)
	$(QUILL) run --trace $(TRACE) $(OPTIONS) $(if $(filter $(BARE)/demo,$(PROGRAM)),$(BARE)/trace,$(PROGRAM)) $(ARGS)

image: build ## the kernel as a flat arm64 Image: target/Image (and target/quill.elf for gdb)
	$(QUILL) image $(T)/Image

user: setup ## the programs in user/, for EL0
	$(CARGO) build --release -p user --target $(TARGET)

test: setup-test ## everything below, and the sum: N passed, N failed
	@scripts/test.sh test-host test-qemu test-routes

test-host: setup-run ## the tests of every crate that runs on the host
	$(CARGO) test --no-fail-fast

test-qemu: setup-run image user ## the tests that boot the kernel
	QUILL=$(QUILL) QUILL_IMAGE=$(T)/Image QUILL_USER_DIR=$(BARE) QUILL_ARM64_ROOT=$(T)/cache/arm64 \
		$(CARGO) test --release --no-fail-fast -p qemu-tests

test-big: setup-test image user ## what takes minutes and gigabytes: files of 4 GiB, 2 GiB through 64 MiB of memory, a million operations of fsx
	QUILL=$(QUILL) QUILL_IMAGE=$(T)/Image QUILL_USER_DIR=$(BARE) QUILL_ARM64_ROOT=$(T)/cache/arm64 QUILL_BIG=1 \
		QUILL_FSX_OPS=1000000 sh -ec 'for test in large::a_file_of_4_gib pressure::2_gib fsx::; do \
		$(CARGO) test --release -p qemu-tests -- $$test; done'

test-crash: setup-test image user ## the power goes, tens of thousands of times (ARGS="--seed 7"; docs/crash-laboratory.md)
	$(CARGO) run --release -p sim --bin crash -- $(ARGS)
	QUILL=$(QUILL) QUILL_IMAGE=$(T)/Image QUILL_USER_DIR=$(BARE) QUILL_ARM64_ROOT=$(T)/cache/arm64 \
		QUILL_CRASH_IMAGES=400 QUILL_CRASH_KILLS=50 QUILL_CRASH_ERRORS=60 \
		$(CARGO) test --release --no-fail-fast -p qemu-tests -- crash:: --nocapture

test-routes: build user ## build and boot with the other toolchain route (rustup, Debian), where there is one
	@scripts/test-routes.sh

bench: setup-run build user ## hot paths in guest instructions
	$(QUILL) run --cpu cortex-a72 --qemu-arg -icount --qemu-arg shift=0,sleep=off $(OPTIONS) $(BARE)/bench

bench-direct: setup-run build user ## O_DIRECT and cold reads of a disk, beside Linux in the same QEMU
	scripts/bench-direct.sh $(ARGS)

bench-files: setup-run build user ## a file written and read, by the cache and by O_DIRECT, beside Linux in the same QEMU
	scripts/bench-files.sh $(ARGS)

bench-fsync: setup-run build user ## fsync and fdatasync: time and operations of the disk, beside Linux in the same QEMU
	scripts/bench-fsync.sh $(ARGS)

gdb: build user ## boot under gdb, stopped at the first instruction (PROGRAM=, ARGS=)
	scripts/gdb.sh $(PROGRAM) $(ARGS)

check: setup-check ## formatting and lints: rustfmt, clippy
	$(CARGO) fmt --all --check
	$(CARGO) clippy --all-targets -- -D warnings
	$(CARGO) clippy --all-targets -p qemu-tests -- -D warnings
	$(CARGO) clippy --target $(TARGET) -p machine -p boot -p user -- -D warnings

fmt: setup-check ## format the sources
	$(CARGO) fmt --all

doc: setup ## the documentation of every crate: target/doc
	$(CARGO) doc --no-deps --workspace --exclude machine --exclude boot --exclude user
	$(CARGO) doc --no-deps --target $(TARGET) -p machine -p boot -p user

setup: ## install what building needs and is missing (setup-run, setup-test: what running and testing need)
	@scripts/setup.sh build

setup-run setup-test setup-check: setup-%:
	@scripts/setup.sh $*

clean: ## remove everything that was built
	rm -rf $(T)
