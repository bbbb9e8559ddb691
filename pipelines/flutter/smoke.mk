# SPDX-License-Identifier: MIT
# The same path at toy size, for tests: a model of a few thousand parameters,
# made on the spot from the data, and some rows.

ROWS           ?= 5
CHAT_TEMPLATE  ?= $(FLUTTER_BASE)/chat_template.jinja
MAX_LENGTH     ?= 2048
MAX_STEPS      ?= 6
DPO_MAX_STEPS  ?= 6
EVAL_PAIRS_PER_ROW ?= 3
BATCH          ?= 2
ACCUMULATION   ?= 1
DPO_BATCH      ?= 2
DPO_ACCUMULATION ?= 1
EVAL_STEPS     ?= 3
SAVE_STEPS     ?= 2
LORA_R         ?= 4
LEARNING_RATE  ?= 1e-2
DPO_LEARNING_RATE ?= 1e-3
PAIRS_PER_ROW  ?= 1
MAX_NEW_TOKENS ?= 24
