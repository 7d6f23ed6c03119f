# A short front for meson: `make`, `sudo make demo`, `sudo make test`. See CONTRIBUTING.md.
#
# Programs are built in build/meson and copied to build/, beside each other: that is where they look
# for one another. Everything else that is made here lies below build/ as well.

BUILD := build/meson
DATA ?= /var/lib/silica
LISTEN ?= 127.0.0.1:3000
DRIVER ?=
FUZZ_SECONDS ?= 20
PREFIX ?= /usr

PRODUCTS := silica silicad silica-priv silica-dns silica-envd silica-guest quickstart
CRASH_PROGRAMS := src/cli/silica src/daemon/silicad src/priv/silica-priv
# What must be there before meson can start; tools/deps knows the packages.
BUILD_NEEDS = command -v meson ninja gcc pkg-config >/dev/null && pkg-config --exists libuv jansson \
	sqlite3 libseccomp libmnl libnftables libcrypto libcurl inih cmocka

.DEFAULT_GOAL := all
.PHONY: all build-deps crash demo test test-kernel run lint asan ubsan fuzz bench install clean

all: build-deps
	@tools/configure $(BUILD)
	@ninja -C $(BUILD)
	@tools/collect $(BUILD) build $(PRODUCTS)

build-deps:
	@{ $(BUILD_NEEDS); } || tools/deps build

# Programs that tests/fault can end at named moments, in build/crash/bin. What guests run is the ordinary build's.
crash: all
	@tools/configure build/crash -Dcrash_points=true
	@ninja -C build/crash $(CRASH_PROGRAMS)
	@tools/collect build/crash/src build/crash/bin $(notdir $(CRASH_PROGRAMS))
	@for name in $(filter-out $(notdir $(CRASH_PROGRAMS)),$(PRODUCTS)); do \
		cmp -s build/$$name build/crash/bin/$$name || cp -p --remove-destination build/$$name build/crash/bin/ || exit 1; done

demo:
	@tools/deps run test
	@$(MAKE) --no-print-directory all
	@tools/demo

test:
	@tools/deps test
	@$(MAKE) --no-print-directory all crash
	@tests/run

# What cannot be installed is one skip of its own.
test-kernel:
	@tools/deps build run kernel || tools/deps build run
	@$(MAKE) --no-print-directory all
	@tests/kernel/run

run: all
	@test -e $(DATA)/templates/aliases/base || build/silica template build base --data $(DATA)
	@exec build/silica serve --data $(DATA) --listen $(LISTEN) $(if $(DRIVER),--driver $(DRIVER))

lint:
	@tools/deps build lint
	@tools/configure $(BUILD)
	@tools/lint $(BUILD)

asan: build-deps
	@tools/configure build/asan -Db_sanitize=address,undefined -Db_lundef=false
	@ninja -C build/asan
	@SILICA_MESON=build/asan tests/run unit fuzz

ubsan: build-deps
	@tools/configure build/ubsan -Db_sanitize=undefined -Db_lundef=false
	@ninja -C build/ubsan
	@SILICA_MESON=build/ubsan tests/run unit fuzz

fuzz:
	@tools/deps build lint
	@CC=clang tools/configure build/fuzz -Dfuzz=true -Db_sanitize=address,undefined \
		-Db_lundef=false -Dc_args=-fsanitize=fuzzer-no-link
	@tools/fuzz build/fuzz $(FUZZ_SECONDS)

bench: all
	@tools/collect $(BUILD) build security-abuser
	@bench/run
	@bench/neighbour -n 200
	@bench/microvm

install: all
	@meson configure $(BUILD) --prefix $(PREFIX)
	@meson install -C $(BUILD)

clean:
	@rm -rf build
