# SPDX-License-Identifier: MIT
# Settings for the embedded model, 5 million parameters: it learns at other
# rates than a model of 7 billion.  What is not here is as in config.mk.

LORA_R       ?= 32
LORA_ALPHA   ?= 64
LORA_DROPOUT ?= 0
EPOCHS        ?= 2
LEARNING_RATE ?= 2e-3
LR_SCHEDULER_TYPE ?= cosine
BATCH         ?= 8
ACCUMULATION  ?= 1
MAX_LENGTH    ?= 1024
# So small a model forgets what it was tuned for when it is only pushed away from
# bad answers: the chosen answers' likelihood counts beside.
DPO_EPOCHS        ?= 2
DPO_MAX_STEPS     ?= 100
DPO_LEARNING_RATE ?= 2e-4
BETA              ?= 0.2
RPO_ALPHA         ?= 4
DPO_WARMUP_RATIO  ?= 0.1
DPO_BATCH         ?= 8
DPO_ACCUMULATION  ?= 1
MAX_NEW_TOKENS ?= 512
GENERATE_BATCH ?= 128
EVAL_SAMPLES   ?= 6
PAIRS_PER_ROW      ?= 1
EVAL_PAIRS_PER_ROW ?= 1
SPOILT_PAIRS       ?= 350
OWN_ROWS       ?= 104
OWN_SAMPLES    ?= 4
