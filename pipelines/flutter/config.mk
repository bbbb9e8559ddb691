# SPDX-License-Identifier: MIT
# Settings for any model given as MODEL=DIR: those of the Flutter system that
# this pipeline follows.  Each can be set on the command line.

# The adapter.
LORA_R       ?= 16
LORA_ALPHA   ?= 32
LORA_DROPOUT ?= 0.05
LORA_TARGET_MODULES ?= all-linear
LOAD_IN_4BIT ?= 0

# What the SFT model is trained on: prompt and completion, or chat: the same as
# messages, through the model's chat template, or the one in CHAT_TEMPLATE.
FORMAT        ?= prompt
CHAT_TEMPLATE ?=

# Supervised fine-tuning.
EPOCHS        ?= 3
LEARNING_RATE ?= 2e-4
WARMUP_RATIO  ?= 0.03
LR_SCHEDULER_TYPE ?= linear
BATCH         ?= 4
ACCUMULATION  ?= 4
MAX_LENGTH    ?= 2048
WEIGHT_DECAY  ?= 0

# Preferences.
DPO_EPOCHS        ?= 1
DPO_LEARNING_RATE ?= 5e-6
DPO_WARMUP_RATIO  ?= $(WARMUP_RATIO)
DPO_BATCH         ?= 4
DPO_ACCUMULATION  ?= 4
BETA              ?= 0.1
LOSS_TYPE         ?= sigmoid
LABEL_SMOOTHING   ?= 0
RPO_ALPHA         ?= 0
# Pairs made by spoiling a row's code, for training and for evaluation.
PAIRS_PER_ROW      ?= 3
EVAL_PAIRS_PER_ROW ?= 6
# Of those for training so many at most.
SPOILT_PAIRS       ?= 1000000
# Own samples: of so many training prompts, so many each; the highest reward of
# one that counts as failed, so many of those at most to each held-out prompt (no
# more than EVAL_SAMPLES), the least distance between the best and the worst.
OWN_ROWS      ?= 1000000
OWN_SAMPLES   ?= 2
FAILED_REWARD ?= 0.9
EVAL_OWN_PAIRS ?= 2
MIN_GAP       ?= 0.1

# Answers.
TEMPERATURE    ?= 0.7
TOP_P          ?= 0.95
MAX_NEW_TOKENS ?= 512
GENERATE_BATCH ?= 32
# Answers to each held-out prompt, by which the models are compared.
EVAL_SAMPLES   ?= 1
PROMPT         ?= Create a simple counter app with state management
INPUT          ?=
FRAMEWORK      ?= Flutter
ARCHITECTURE   ?= MVVM with Provider

# Runs.
SEED             ?= 42
DTYPE            ?= bfloat16
LOGGING_STEPS    ?= 1
EVAL_STEPS       ?= 20
SAVE_STEPS       ?= 20
SAVE_TOTAL_LIMIT ?= 2
MAX_STEPS        ?= -1
DPO_MAX_STEPS    ?= -1
# What to do with a row over MAX_LENGTH: error, drop or truncate.
ON_LONG          ?= drop

# Data: one app is held out whole, a fifth of each other.
NEW_APP ?= ledgerly
ROWS    ?= 1000000
