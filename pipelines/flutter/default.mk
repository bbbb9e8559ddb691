# SPDX-License-Identifier: MIT
# Settings for the embedded model, 5 million parameters: it learns at other
# rates than a model of 7 billion.  What is not here is as in config.mk.

LORA_R       ?= 32
LORA_ALPHA   ?= 64
LORA_DROPOUT ?= 0
EPOCHS        ?= 3
LEARNING_RATE ?= 2e-3
LR_SCHEDULER_TYPE ?= cosine
BATCH         ?= 8
ACCUMULATION  ?= 1
MAX_LENGTH    ?= 1024
DPO_EPOCHS        ?= 1
DPO_LEARNING_RATE ?= 2e-4
DPO_BATCH         ?= 8
DPO_ACCUMULATION  ?= 1
MAX_NEW_TOKENS ?= 512
PAIRS_PER_ROW      ?= 1
EVAL_PAIRS_PER_ROW ?= 2
OWN_ROWS       ?= 128
OWN_SAMPLES    ?= 2
