# SPDX-License-Identifier: MIT
# What all pipelines share.  Every target is a file that appears when it is
# complete; for a directory that is its ft-manifest.json.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:
# A stage uses all processors by itself.
.NOTPARALLEL:

ROOT := $(abspath ..)

# FT_BIN: tools that are there already; nothing is built then.
ifeq ($(FT_BIN),)
TOOLS_HERE := $(ROOT)/build/bin
else
TOOLS_HERE := $(abspath $(FT_BIN))
endif
export PATH := $(TOOLS_HERE):$(PATH)
export LC_ALL := C.UTF-8

# What stands before a trainer: LAUNCH='mpirun -n 8'.
LAUNCH ?=
# Threads of each tool (0: all processors).
THREADS ?= 0
# A list of words, for options of all tools that compute.
COMPUTE = --threads $(THREADS) --dtype $(DTYPE) --seed $(SEED) \
	$(if $(filter-out 0,$(LOAD_IN_4BIT)),--load-in-4bit)

.PHONY: tools FORCE
FORCE:
tools:
ifeq ($(FT_BIN),)
	@cd $(ROOT) && { tests/lib/deps headers 2>/dev/null || $(MAKE) -s deps FOR=build; }
	@$(MAKE) -s $(if $(findstring -j,$(MAKEFLAGS)),,-j$$(nproc)) -C $(ROOT) all
endif

# A program of a pipeline's own: flutter/judge from flutter/judge.c, with the
# archive of the tools' build.
BUILD_DIR ?= build/release
define program
$(1): $(1).c $(ROOT)/libcommon/text/corrupt_rules.inc | tools
	@$$(MAKE) -s -C $(ROOT) MODE=release O=$(BUILD_DIR) $(BUILD_DIR)/libcore.a
	@cd $(ROOT) && gcc -std=c11 -D_GNU_SOURCE -I. -O2 -g pipelines/$(1).c \
		$(BUILD_DIR)/libcore.a -Wl,--as-needed -lzstd -ljq -lm -lpthread \
		-o pipelines/$(1).tmp
	@mv $(1).tmp $(1)
endef

# Settings are files: $(1)/settings/NAME holds the line SETTINGS_NAME and changes
# when it does, so that what was made with others is made again.
define settings
$(2:%=$(1)/settings/%): $(1)/settings/%: FORCE
	@mkdir -p $$(@D)
	@printf '%s\n' $$(call quote,$$(SETTINGS_$$*)) >$$@.new
	@if cmp -s $$@.new $$@; then rm $$@.new; else mv $$@.new $$@; fi
endef
quote = '$(subst ','\'',$(1))'

# One line on what is being done.
say = @printf '%-8s %s\n' '$(1)' '$(2)'
