# Calls Meson, which does the build, and tools/. `make` alone lists the goals.
SHELL := /bin/bash
.DEFAULT_GOAL := help
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
NINJA = ninja -j$(JOBS)
# What the four builds add to the options in meson.build.
release_options =
debug_options = -Dbuildtype=debug
# Lines for the stacks of findings, no more; and no relocations: UBSan has 420,000, at each start.
asan_options = -Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Db_staticpic=false \
	-Dc_args='-g1 -fno-pie' -Dc_link_args=-no-pie
tsan_options = -Dbuildtype=debugoptimized -Db_sanitize=thread -Dc_args=-g1
arm64_options = --cross-file "$$(tools/setup path arm64)/cross.ini"
fuzz_options = -Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false -Dfuzz=true

.PHONY: help up down setup build debug asan tsan start install dist test quick interop arm64 soak fuzz bench fmt lint tidy \
	docs fresh clean

help: ## this list
	@echo 'smelt: raw JSON logs -> validated bronze, silver and gold Delta tables'
	@echo
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ---- use ------------------------------------------------------------------------------------

start: ## install what is missing, build, make sample logs, run the shipped pipeline
	@tools/start

up: ## start MinIO and ClickHouse, with buckets and a month of sample logs
	@tools/up

down: ## stop them; their data stays
	@tools/down

setup: ## install what building needs (tools/setup test|interop|bench: more)
	@tools/setup build

# Not quiet: it takes a while, so it shows its progress. Tests are built by the goals that run them.
build: build/build.ninja ## build/smelt, the program (release)
	@$(NINJA) -C build smelt

# Only what is installed is built: the program and what its help says, no tests. The systemd unit names the
# program, so another prefix configures the build again.
PREFIX = /usr/local
install: build ## install the program, manual, completions, a systemd unit (PREFIX, DESTDIR)
	@grep -qsxF 'prefix = $(PREFIX)' build/meson-private/cmd_line.txt || \
	  meson configure build -Dprefix=$(PREFIX) >/dev/null
	@$(NINJA) -C build --quiet smelt manual >build/install.log || { cat build/install.log; exit 1; }
	@meson install -C build --no-rebuild --quiet

dist: build ## a .deb, an archive of the program and one of the source, in build/dist
	@tools/setup dist
	@tools/dist

# ---- test -----------------------------------------------------------------------------------

quick: ## under a minute: format, rooms, build, unit tests
	@tools/lint format rooms
	@tools/test quick

test: ## all tests that need no JVM: lint, all suites, sanitizers, peers
	@tools/setup test
	@tools/test all

interop: ## the tests that need a JVM (Spark), Airflow, or an image
	@tools/setup interop
	@tools/test interop

arm64: ## the unit and conformance tests built for aarch64, in an emulator
	@tools/setup arm64
	@tools/test arm64

soak: ## long random tests: kills, faults, many writers (SOAK_MINUTES=10)
	@tools/setup test
	@tools/test soak

fuzz: build-fuzz/build.ninja ## each fuzz target under libFuzzer (FUZZ_SECONDS=60, TARGET=name)
	@$(NINJA) -C build-fuzz --quiet
	@tools/fuzz $(TARGET)

bench: build ## race the peers on the same files (ROW=direct, ROUNDS=5, SCALE=10)
	@tools/setup bench $(ROW)
	@$(NINJA) -C build --quiet bench_parse bench_fetch
	@bench/run

fresh: ## start and test in a new minimal Debian 12 (needs root; log: build/fresh.log)
	@tools/fresh

# ---- write ----------------------------------------------------------------------------------

fmt: ## format all C
	@find src tests include -name '*.[ch]' 2>/dev/null | xargs -r clang-format-14 -i

lint: ## format, rooms, sizes, names, docs; clang-tidy on changed files
	@tools/lint
	@tools/tidy

tidy: ## clang-tidy on all files (slow)
	@tools/tidy --all

docs: ## write the pages that are made from tables in the source
	@tools/errors > docs/errors.md.new && mv docs/errors.md.new docs/errors.md
	@tools/functions > docs/sql.md.new && mv docs/sql.md.new docs/sql.md
	@tools/rules > docs/contracts.md.new && mv docs/contracts.md.new docs/contracts.md

debug: build-debug/build.ninja ## build-debug/smelt, without optimisation
	@$(NINJA) -C build-debug --quiet

asan: build-asan/build.ninja ## build-asan/smelt, AddressSanitizer and UBSan
	@$(NINJA) -C build-asan --quiet

tsan: build-tsan/build.ninja ## build-tsan/smelt, ThreadSanitizer
	@$(NINJA) -C build-tsan --quiet

clean: ## remove the builds
	@rm -rf build build-debug build-asan build-tsan build-fuzz build-arm64

# If the set-up fails, its log is shown: most often a library is missing.
define meson_setup
@[ -e $(1)/build.ninja ] || meson setup $(1) $(2) >$(1).log 2>&1 || { cat $(1).log; rm -f $(1).log; \
  echo 'If something is missing: make setup' >&2; exit 1; }
@rm -f $(1).log
endef

build/build.ninja: ; $(call meson_setup,build,$(release_options))
build-debug/build.ninja: ; $(call meson_setup,build-debug,$(debug_options))
build-asan/build.ninja: ; $(call meson_setup,build-asan,$(asan_options))
build-tsan/build.ninja: ; $(call meson_setup,build-tsan,$(tsan_options))
# Set up again if its libraries are not those that it was set up for.
build-arm64/build.ninja: FORCE
	@tools/setup arm64
	@grep -qsF "$$(tools/setup path arm64)/" build-arm64/meson-private/cmd_line.txt || rm -rf build-arm64
	$(call meson_setup,build-arm64,$(arm64_options))
FORCE:
build-fuzz/build.ninja:
	@tools/setup fuzz
	@CC=clang meson setup build-fuzz $(fuzz_options)
