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
# More than 1e-4 moves answers far from the tuned model and its loss leaps; two
# epochs of few pairs do better than one of twice as many.
DPO_EPOCHS        ?= 2
DPO_MAX_STEPS     ?= 100
DPO_LEARNING_RATE ?= 1e-4
DPO_WARMUP_RATIO  ?= 0.1
DPO_BATCH         ?= 8
DPO_ACCUMULATION  ?= 1
MAX_NEW_TOKENS ?= 512
GENERATE_BATCH ?= 128
EVAL_SAMPLES   ?= 3
PAIRS_PER_ROW      ?= 1
EVAL_PAIRS_PER_ROW ?= 1
SPOILT_PAIRS       ?= 240
OWN_ROWS       ?= 104
OWN_SAMPLES    ?= 4
