# SPDX-License-Identifier: Apache-2.0
# One room is one archive, and a test links its own room and those below it: so the walls that
# `make layers` checks hold in the linker too. Settings: SAN=address|thread CC=clang V=1
SHELL := /bin/bash
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

ifeq ($(origin CC),default)
CC := gcc
endif
SAN ?=
PREFIX ?= /usr/local
DESTDIR ?=

V ?= 0
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-7s %s\n' $(1) $(2);)

# Debian 12 packages: what the program needs, what its tests and checks need besides.
DEPS_RUN := build-essential pkg-config libuv1-dev liblua5.4-dev lua5.4 libssl-dev \
            libmicrohttpd-dev libcurl4-openssl-dev libelf-dev libyajl-dev zlib1g-dev liblmdb-dev
DEPS_TEST := lua-busted lua-check lua-luv lua-cjson libcmocka-dev clang clang-tidy \
             clang-format libclang-rt-14-dev llvm mosquitto-clients \
             python3-paho-mqtt node-mqtt node-mqtt-packet openssl binutils
DEPS_BENCH := mosquitto valgrind linux-perf

PKGS := libuv lua5.4 openssl libmicrohttpd libcurl libelf yajl zlib

B := build/$(or $(SAN),release)$(if $(filter clang%,$(CC)),-clang)

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes \
        -Wpointer-arith -Wformat=2 -Wundef -Wwrite-strings -Werror $(if $(filter clang%,$(CC)),,-Wno-format-truncation)
HARDEN := -fstack-protector-strong -D_FORTIFY_SOURCE=2
OPT := -O2 $(HARDEN)
ifneq ($(SAN),)
OPT := -O1 -fno-omit-frame-pointer -DTG_SANITIZED
SANFLAGS_address := -fsanitize=address,undefined -fno-sanitize-recover=undefined
SANFLAGS_thread := -fsanitize=thread
SANFLAGS_fuzzer := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined \
                   -fprofile-instr-generate -fcoverage-mapping
SANFLAGS := $(SANFLAGS_$(SAN))
endif
CFLAGS ?=
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -g $(OPT) $(SANFLAGS) $(WARN) -fPIC -fvisibility=hidden \
             -pthread -Icore/include -Icore $(PKG_CFLAGS) $(CFLAGS) -MMD -MP
LDFLAGS_EXE = -pie -Wl,-z,relro,-z,now -pthread $(SANFLAGS)
LDFLAGS_SO = -shared -Wl,-z,relro,-z,now -Wl,--no-undefined -pthread $(SANFLAGS)
PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS) 2>/dev/null | sed 's/-I/-isystem /g')
# Lua as an archive: calls into it are direct, which is a tenth of a frame's time in a script.
PKG_LIBS = $(shell pkg-config --libs $(PKGS) 2>/dev/null | sed 's/-llua5.4/-l:liblua5.4.a/') -lm -ldl

# Rooms, lowest first; below_<room> is what a test of it links.
ROOMS := base net hub codec plugin lua admin load host
below_base := base
below_net := net base
below_hub := hub base
below_codec := codec base
below_plugin := plugin net hub codec base
below_lua := lua plugin net hub codec base
below_admin := admin plugin lua net hub codec base
below_load := load base
below_host := host load admin plugin lua net hub codec base
archives = $(patsubst %,$(B)/core/%.a,$(1))

objects = $(patsubst %.c,$(B)/%.o,$(1))
$(foreach r,$(ROOMS),$(eval SRC_$(r) := $(filter-out core/host/main.c,$(wildcard core/$(r)/*.c))))
PLUGIN_DIRS := $(patsubst %/,%,$(dir $(wildcard protocols/*/plugin.c plugins/*/plugin.c)))
PLUGIN_SOS := $(foreach d,$(PLUGIN_DIRS),$(B)/plugins/$(notdir $(d)).so)
LUA_PLUGINS := $(foreach d,$(wildcard protocols/*/init.lua),$(B)/plugins/$(notdir $(patsubst %/init.lua,%,$(d))))
TEST_SRC := $(wildcard spec/core/*/*_test.c spec/protocols/*/*_test.c spec/plugins/*/*_test.c)
TEST_BIN := $(patsubst %.c,$(B)/%,$(TEST_SRC))
TEST_SOS := $(patsubst spec/plugins/%.c,$(B)/spec/plugins/%.so,$(wildcard spec/plugins/*.c))
BENCH_BIN := $(patsubst %.c,$(B)/%,$(wildcard bench/*.c))

all: $(B)/tidegate $(PLUGIN_SOS) $(LUA_PLUGINS) ## build the host and the plugins

$(B)/%.o: %.c
	$(call say,CC,$<)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -c $< -o $@

# Files that are built in, with the sources that take them.
$(B)/core/host/scaffold.o: $(wildcard etc/templates/adapter/*)
$(B)/core/lua/kit.o: $(wildcard core/lua/kit/*.lua)

define room_rule
$(B)/core/$(1).a: $(call objects,$(SRC_$(1)))
	$$(call say,AR,$$@)mkdir -p $$(@D) && rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach r,$(ROOMS),$(eval $(call room_rule,$(r))))

$(B)/tidegate: $(B)/core/host/main.o $(call archives,$(below_host))
	$(call say,LD,$@)$(CC) $(LDFLAGS_EXE) $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(PKG_LIBS) -o $@

# A plugin links nothing of the core; a LIBS file in its folder names pkg-config packages.
define plugin_rule
$(B)/plugins/$(notdir $(1)).so: $(call objects,$(wildcard $(1)/*.c))
	$$(call say,LD,$$@)mkdir -p $$(@D) && $$(CC) $$(LDFLAGS_SO) $$^ $$(shell cat $(1)/LIBS 2>/dev/null | xargs -r pkg-config --libs) -lm -o $$@
endef
$(foreach d,$(PLUGIN_DIRS),$(eval $(call plugin_rule,$(d))))

$(B)/plugins/%: protocols/%/init.lua
	$(Q)mkdir -p $(@D) && ln -sfn ../../../protocols/$* $@ && touch -h $@

# C tests: spec/core/<room>/x_test.c, and spec/protocols/<name>/x_test.c, spec/plugins/<name>/
# x_test.c, which link what is beside the plugin's own plugin.c.
room_of = $(word 3,$(subst /, ,$(1)))
folder_of = $(patsubst spec/%/,%,$(dir $(1)))
define test_rule
$(B)/$(1:.c=): $(B)/$(1:.c=.o) $(if $(filter spec/core/%,$(1)),$(call archives,$(below_$(call room_of,$(1)))),$(call objects,$(filter-out %/plugin.c,$(wildcard $(call folder_of,$(1))/*.c))))
	$$(call say,LD,$$@)$$(CC) $$(LDFLAGS_EXE) $$< -Wl,--start-group $$(filter-out $$<,$$^) -Wl,--end-group $$(PKG_LIBS) $$(shell cat $(call folder_of,$(1))/LIBS 2>/dev/null | xargs -r pkg-config --libs) $$(shell pkg-config --libs cmocka) -o $$@
endef
$(foreach t,$(TEST_SRC),$(eval $(call test_rule,$(t))))

$(B)/spec/plugins/%.so: spec/plugins/%.c
	$(call say,LD,$@)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) $(LDFLAGS_SO) $< -o $@

$(B)/bench/%: $(B)/bench/%.o $(call archives,$(below_host))
	$(call say,LD,$@)$(CC) $(LDFLAGS_EXE) $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(PKG_LIBS) -o $@

.PHONY: all deps deps-run deps-bench run test tests asan tsan fuzz bench lint format layers abi conformance fields docs install clean help

# In a fresh checkout a header is missing long before a compiler says why.
have = $(shell pkg-config --exists $(PKGS) 2>/dev/null && echo yes)
as_root := $(if $(filter 0,$(shell id -u)),,sudo)
apt = $(as_root) env DEBIAN_FRONTEND=noninteractive apt-get

# Says what it installs; says nothing when all is there.
install_missing = missing=$$(for p in $(1); do \
	dpkg-query -W -f='$${db:Status-Abbrev}' $$p 2>/dev/null | grep -q '^ii' || echo $$p; done); \
	[ -z "$$missing" ] || { echo "installing from Debian:" $$missing; \
	$(apt) update -qq && $(apt) install -y -qq --no-install-recommends $$missing; }

deps-run:
	@$(call install_missing,$(DEPS_RUN))

deps: ## install the Debian 12 packages that building, testing and checking need
	@$(call install_missing,$(DEPS_RUN) $(DEPS_TEST))

run: deps-run ## build the host and start it with etc/tidegate.lua
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@exec $(B)/tidegate run --config etc/tidegate.lua

tests: all $(TEST_BIN) $(TEST_SOS)

# ONLY=spec/core/base builds that room alone, unless there are specs that need the whole host.
only_bins = $(patsubst %.c,$(B)/%,$(filter $(ONLY)%,$(TEST_SRC))) $(if $(filter spec/core/plugin%,$(ONLY)),$(TEST_SOS) $(B)/plugins/ask.so)
only_specs = $(shell find $(ONLY) -name '*_spec.lua' 2>/dev/null)

test: deps ## everything: lint, specs, sanitized core tests; ONLY=path for one
	@$(MAKE) --no-print-directory .test
.test:
ifdef ONLY
	@$(MAKE) --no-print-directory -j$$(nproc) $(if $(only_specs),tests) $(only_bins)
	@lua5.4 spec/run.lua $(B) $(ONLY)
else ifneq ($(SAN),)
	@$(MAKE) --no-print-directory -j$$(nproc) tests
	@lua5.4 spec/run.lua $(B)
else
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory -j$$(nproc) tests $(BENCH_BIN)
	@$(MAKE) --no-print-directory -j$$(nproc) SAN=address tests
	@$(MAKE) --no-print-directory -j$$(nproc) SAN=thread tests
	@lua5.4 spec/run.lua $(B) build/address:spec/core build/thread:spec/core
endif

# Whatever a sanitizer finds in any process fails its test. `make test` has the C tests of the
# core under both; with all specs it takes ten minutes and half an hour on two busy cores.
asan: ## `make asan test`: the tests under AddressSanitizer and UBSan
	@:
tsan: ## `make tsan test`: the tests under ThreadSanitizer
	@:
ifneq ($(filter asan,$(MAKECMDGOALS)),)
SAN := address
endif
ifneq ($(filter tsan,$(MAKECMDGOALS)),)
SAN := thread
endif
export SAN CC

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort | awk -F'\t' '{printf "  %-11s %s\n", $$1, $$2}'

# Sources that are checked: also those that are not committed yet.
C_FILES = $(shell git ls-files -co --exclude-standard '*.c' '*.h' | xargs -r ls 2>/dev/null)
HEADERS := $(wildcard core/*/*.h core/include/tidegate/*.h protocols/*/*.h)
TIDY_SRC := $(wildcard core/*/*.c protocols/*/*.c plugins/*/*.c)

lint: layers abi conformance ## format check, clang-tidy, luacheck, layers, abi, conformance
	$(Q)clang-format --dry-run -Werror $(C_FILES)
	$(Q)luacheck -q --codes .
	@$(MAKE) --no-print-directory -j$$(nproc) $(patsubst %.c,build/lint/%.tidy,$(TIDY_SRC))

build/lint/%.tidy: %.c $(HEADERS) .clang-tidy
	$(call say,TIDY,$<)mkdir -p $(@D) && clang-tidy --quiet $< -- -std=c11 -D_GNU_SOURCE -Icore/include -Icore $(PKG_CFLAGS) 2>/dev/null && touch $@

format: ## format the C sources
	$(Q)clang-format -i $(C_FILES)

layers: ## check who includes and requires whom
	$(Q)lua5.4 .ci/layers.lua

abi: ## compare the C ABI with the reviewed list
	$(Q)lua5.4 .ci/abi.lua

conformance: ## hold docs/mqtt-conformance.md against the specs' names
	$(Q)lua5.4 .ci/conformance.lua

# Fuzzing: `make fuzz` runs every target from its kept corpus, SECS each, prints what of its
# decoder was covered, and then lets each find a bug that is planted behind a good decode.
T ?=
SECS ?= 180
FUZZ_SRC := $(if $(T),fuzz/$(T)_fuzz.c,$(wildcard fuzz/*_fuzz.c))
FUZZERS := $(patsubst fuzz/%_fuzz.c,%,$(FUZZ_SRC))

fuzz: ## fuzz the decoders of untrusted bytes; T=name SECS=180 for one
	@$(MAKE) --no-print-directory -j$$(nproc) SAN=fuzzer CC=clang .fuzzers
	@printf '%s\n' $(FUZZERS) | xargs -P$$(nproc) -n1 lua5.4 fuzz/run.lua build/fuzzer-clang/fuzz $(SECS)

.fuzzers: $(foreach f,$(FUZZERS),$(B)/fuzz/$(f) $(B)/fuzz/$(f)-planted)

# An archive: who does not fuzz MQTT links nothing of it.
$(B)/fuzz/mqtt.a: $(patsubst %.c,$(B)/%.o,$(filter-out %/plugin.c,$(wildcard protocols/mqtt/*.c)))
	$(call say,AR,$@)mkdir -p $(@D) && rm -f $@ && ar rcs $@ $^
FUZZ_LINK = $(B)/fuzz/mqtt.a $(call archives,$(below_lua))
$(B)/fuzz/%: fuzz/%_fuzz.c fuzz/planted.h fuzz/adapter.h $(FUZZ_LINK)
	$(call say,LD,$@)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -fsanitize=fuzzer $< -Wl,--start-group $(FUZZ_LINK) -Wl,--end-group $(PKG_LIBS) -o $@
$(B)/fuzz/%-planted: fuzz/%_fuzz.c fuzz/planted.h fuzz/adapter.h $(FUZZ_LINK)
	$(call say,LD,$@)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -DTG_PLANTED -fsanitize=fuzzer $< -Wl,--start-group $(FUZZ_LINK) -Wl,--end-group $(PKG_LIBS) -o $@

# Debian starts a server that it installs; this one is for us to start, on ports of our own.
deps-bench: deps
	@dpkg-query -W -f='$${db:Status-Abbrev}' mosquitto 2>/dev/null | grep -q '^ii' || { \
	$(call install_missing,mosquitto); \
	[ ! -d /run/systemd/system ] || $(as_root) systemctl disable --now mosquitto; }
	@$(call install_missing,$(DEPS_BENCH))

bench: deps-bench ## measure what we promise, and the table against Mosquitto
	@$(MAKE) --no-print-directory -j$$(nproc) all $(BENCH_BIN)
	@lua5.4 bench/run.lua $(B)

# Protocols whose layouts have a field reference in docs/protocols.
REFERENCES := gbt32960 gt06 jt808
fields: $(B)/spec/core/lua/door_test ## write the field references from the layouts
	$(Q)lua5.4 .ci/fields.lua $(B) $(REFERENCES)

docs: $(B)/spec/core/lua/door_test ## check the typed stubs and the field references
	@$(MAKE) --no-print-directory .test ONLY=spec/core/lua/stubs_test.c
	$(Q)lua5.4 .ci/fields.lua $(B) --check $(REFERENCES)

LIB := $(DESTDIR)$(PREFIX)/lib/tidegate
install: all ## install below PREFIX (/usr/local), honouring DESTDIR
	install -d $(DESTDIR)$(PREFIX)/bin $(LIB)/plugins $(DESTDIR)$(PREFIX)/include/tidegate $(DESTDIR)/etc/tidegate
	install -m 755 $(B)/tidegate $(DESTDIR)$(PREFIX)/bin/
	install -m 644 $(PLUGIN_SOS) $(LIB)/plugins/
	for p in $(notdir $(LUA_PLUGINS)); do cp -rL protocols/$$p $(LIB)/plugins/; done
	install -m 644 core/include/tidegate.h $(DESTDIR)$(PREFIX)/include/
	install -m 644 core/include/tidegate/*.h $(DESTDIR)$(PREFIX)/include/tidegate/
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system etc/tidegate.service
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/tidegate README.md LICENSE docs/*.md
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/tidegate/img docs/img/*.svg
	test -e $(DESTDIR)/etc/tidegate/tidegate.lua || install -m 644 etc/tidegate.lua $(DESTDIR)/etc/tidegate/

clean: ## remove what was built
	$(Q)rm -rf build

-include $(shell find $(B) -name '*.d' 2>/dev/null)
