# SPDX-License-Identifier: MIT
# Flutter: records to rows, SFT, pairs, DPO, evaluation, export, report.
# data.json is written by hand; see README of the data in checkdata.py.

FL := flutter
FLUTTER_OUT := $(abspath $(or $(OUT),$(ROOT)/out/flutter))
FLUTTER_BASE := $(CURDIR)/$(FL)/base/model

# Settings: of the toy run, of the embedded model, else the system's own.
ifneq ($(filter-out 0,$(SMOKE)),)
include $(FL)/smoke.mk
FLUTTER_MODEL := $(or $(MODEL),$(FLUTTER_OUT)/toy)
else ifeq ($(MODEL),)
include $(FL)/default.mk
FLUTTER_MODEL := $(FLUTTER_BASE)
else
FLUTTER_MODEL := $(abspath $(MODEL))
endif
include $(FL)/config.mk
MODEL_FILE := $(FLUTTER_MODEL)/config.json

SFT_DATA  := $(FLUTTER_OUT)/processed_data/sft_dataset
CHAT_DATA := $(FLUTTER_OUT)/processed_data/chat_dataset
DPO_DATA  := $(FLUTTER_OUT)/processed_data/dpo_dataset
OUTPUTS   := $(FLUTTER_OUT)/outputs
SAMPLES   := $(FLUTTER_OUT)/samples
EVAL      := $(FLUTTER_OUT)/eval
SETTINGS  := $(FLUTTER_OUT)/settings

#: flutter           all of it: data sft dpo eval infer export report
#: flutter-data      rows and token streams of data.json
#: flutter-sft       supervised fine-tuning, and the control without prompts
#: flutter-dpo       pairs, and DPO from the tuned model
#: flutter-eval      bits per byte, preference accuracy, win rates
#: flutter-infer     answer PROMPT="..."
#: flutter-export    the merged model and the adapter, in out/flutter/export
#: flutter-report    out/flutter/report.html
#: flutter-checkdata parse and compare the answers of data.json (PyPI)
#: base              train the embedded model: CORPUS="FILE..." (hours)
#: variables: MODEL=DIR SMOKE=1 OUT=DIR LAUNCH=..., and those of
#:            flutter/config.mk (flutter/default.mk for the embedded model)
.PHONY: flutter flutter-data flutter-sft flutter-dpo flutter-eval
.PHONY: flutter-infer flutter-export flutter-report flutter-checkdata base
flutter: flutter-data flutter-sft flutter-dpo flutter-eval flutter-infer \
	flutter-export flutter-report

$(eval $(call settings,$(FLUTTER_OUT)))
$(eval $(call program,$(FL)/judge))

# --- the model ---------------------------------------------------------------

$(FLUTTER_BASE)/config.json:
	@echo "no embedded model in $(FLUTTER_BASE): make -C pipelines base CORPUS='FILE...', or give MODEL=DIR" >&2; exit 4

$(FLUTTER_OUT)/toy/config.json: $(FL)/toy.json $(FL)/data.json | tools
	$(call say,init,a toy model)
	@mkdir -p $(FLUTTER_OUT)
	@ft-rows --json --map '.instructions[:5][].output.project_structure[] | {text: .}' \
		$(FL)/data.json -o $(FLUTTER_OUT)/toy.jsonl
	@ft-init -q --config $(FL)/toy.json --text $(FLUTTER_OUT)/toy.jsonl \
		--vocab-size 400 --seed $(SEED) -o $(FLUTTER_OUT)/toy

# --- data --------------------------------------------------------------------

PARTS := train eval
SETTINGS_rows := NEW_APP=$(NEW_APP) ROWS=$(ROWS)
SETTINGS_stream := MODEL=$(FLUTTER_MODEL) MAX_LENGTH=$(MAX_LENGTH) ON_LONG=$(ON_LONG)
jq = "$$(cat $(FL)/prompt.jq $(FL)/$(1).jq)"
tokenize = ft-tokenize -q -m $(FLUTTER_MODEL) --max-length $(MAX_LENGTH) \
	--on-long $(ON_LONG) --ledger $(@:.ft=.ledger.json)

$(SFT_DATA)/%.jsonl: $(FL)/data.json $(FL)/prompt.jq $(FL)/sft.jq $(SETTINGS)/rows | tools
	$(call say,rows,$*)
	@mkdir -p $(@D)
	@NEW_APP='$(NEW_APP)' ROWS='$(ROWS)' PART=$* \
		ft-rows --json --map $(call jq,sft) $(FL)/data.json -o $@

# A fourth of what is held out, to watch while training.
$(SFT_DATA)/watch.jsonl: $(SFT_DATA)/eval.jsonl
	@awk 'NR % 4 == 1' $< >$@.tmp && mv $@.tmp $@

# The control's: the same answers as plain text.
$(SFT_DATA)/control_%.jsonl: $(SFT_DATA)/%.jsonl
	@ft-rows --map '{id, app, part, text: .completion}' $< -o $@

$(CHAT_DATA)/%.jsonl: $(SFT_DATA)/%.jsonl
	@mkdir -p $(@D)
	@ft-rows --map '{id, app, part, messages: [{role: "user", content: .prompt}, {role: "assistant", content: .completion}]}' \
		$< -o $@

$(FLUTTER_OUT)/processed_data/%.ft: $(FLUTTER_OUT)/processed_data/%.jsonl $(MODEL_FILE) $(SETTINGS)/stream
	$(call say,tokens,$*)
	@$(tokenize) $< -o $@

# Spoilt code: PAIRS_PER_ROW pairs of each training row, all kinds of each
# held-out row.
SETTINGS_pairs := PAIRS_PER_ROW=$(PAIRS_PER_ROW) OWN_SAMPLES=$(OWN_SAMPLES) \
	FAILED_REWARD=$(FAILED_REWARD) SEED=$(SEED)
$(DPO_DATA)/spoilt_train.jsonl: $(SFT_DATA)/train.jsonl $(SETTINGS)/pairs
	$(call say,pairs,spoilt code of training rows)
	@mkdir -p $(@D)
	@ft-pairgen -q --num-pairs-per-row $(PAIRS_PER_ROW) --seed $(SEED) $< -o $@
$(DPO_DATA)/spoilt_eval.jsonl: $(SFT_DATA)/eval.jsonl $(SETTINGS)/pairs
	$(call say,pairs,spoilt code of held-out rows)
	@mkdir -p $(@D)
	@ft-pairgen -q --num-pairs-per-row 6 --seed $(SEED) $< -o $@

flutter-data: $(PARTS:%=$(SFT_DATA)/%.ft) $(PARTS:%=$(SFT_DATA)/control_%.ft) \
	$(PARTS:%=$(CHAT_DATA)/%.jsonl) \
	$(DPO_DATA)/spoilt_train.jsonl $(DPO_DATA)/spoilt_eval.jsonl

# --- training ----------------------------------------------------------------

lora = --lora-r $(LORA_R) --lora-alpha $(LORA_ALPHA) --lora-dropout $(LORA_DROPOUT) \
	--lora-target-modules $(LORA_TARGET_MODULES)
schedule = --warmup-ratio $(WARMUP_RATIO) --lr-scheduler-type $(LR_SCHEDULER_TYPE) \
	--weight-decay $(WEIGHT_DECAY) --max-steps $(MAX_STEPS)
saving = --logging-steps $(LOGGING_STEPS) --eval-steps $(EVAL_STEPS) \
	--save-steps $(SAVE_STEPS) --save-total-limit $(SAVE_TOTAL_LIMIT)
sft = --num-train-epochs $(EPOCHS) --learning-rate $(LEARNING_RATE) \
	--per-device-train-batch-size $(BATCH) --gradient-accumulation-steps $(ACCUMULATION)
dpo = --num-train-epochs $(DPO_EPOCHS) --learning-rate $(DPO_LEARNING_RATE) \
	--per-device-train-batch-size $(DPO_BATCH) \
	--gradient-accumulation-steps $(DPO_ACCUMULATION) \
	--beta $(BETA) --loss-type $(LOSS_TYPE) --label-smoothing $(LABEL_SMOOTHING)

SETTINGS_sft := MODEL=$(FLUTTER_MODEL) SEED=$(SEED) DTYPE=$(DTYPE) \
	LOAD_IN_4BIT=$(LOAD_IN_4BIT) $(lora) $(schedule) $(sft)
SETTINGS_dpo := $(schedule) $(dpo) SEED=$(SEED) DTYPE=$(DTYPE)

$(OUTPUTS)/sft_model/ft-manifest.json: $(SFT_DATA)/train.ft $(SFT_DATA)/watch.ft $(SETTINGS)/sft
	$(call say,sft,$(EPOCHS) epochs at $(LEARNING_RATE))
	@mkdir -p $(OUTPUTS)
	@./resume $(SETTINGS)/sft.key $(SFT_DATA)/train.ft $(SETTINGS)/sft -- \
		$(LAUNCH) ft-sft -m $(FLUTTER_MODEL) $(lora) $(schedule) $(sft) $(saving) \
		$(COMPUTE) --eval-file $(SFT_DATA)/watch.ft -o $(@D) $<

# The control: as many steps on the same answers, which it sees without prompts.
$(OUTPUTS)/control_model/ft-manifest.json: $(SFT_DATA)/control_train.ft $(SFT_DATA)/control_watch.ft $(SETTINGS)/sft
	$(call say,sft,control: the same answers without prompts)
	@mkdir -p $(OUTPUTS)
	@./resume $(SETTINGS)/control.key $(SFT_DATA)/control_train.ft $(SETTINGS)/sft -- \
		$(LAUNCH) ft-sft -m $(FLUTTER_MODEL) $(lora) $(schedule) $(sft) $(saving) \
		$(COMPUTE) --eval-file $(SFT_DATA)/control_watch.ft -o $(@D) $<

flutter-sft: $(OUTPUTS)/sft_model/ft-manifest.json $(OUTPUTS)/control_model/ft-manifest.json

# What the tuned model answers to the prompts that it was trained on: answers
# that the judge finds wanting are the rejected side of pairs.
SETTINGS_generate := MAX_NEW_TOKENS=$(MAX_NEW_TOKENS)
$(SAMPLES)/train_sft.jsonl: $(SFT_DATA)/train.jsonl $(OUTPUTS)/sft_model/ft-manifest.json \
		$(SETTINGS)/generate $(SETTINGS)/pairs
	$(call say,generate,own samples of the tuned model)
	@mkdir -p $(@D)
	@ft-generate -m $(OUTPUTS)/sft_model --num-samples $(OWN_SAMPLES) \
		--temperature $(TEMPERATURE) --top-p $(TOP_P) \
		--max-new-tokens $(MAX_NEW_TOKENS) $(COMPUTE) $< -o $@

$(SAMPLES)/%.scored.jsonl: $(SAMPLES)/%.jsonl $(FL)/judge
	@$(FL)/judge $< -o $@

$(DPO_DATA)/own_train.jsonl: $(SFT_DATA)/train.jsonl $(SAMPLES)/train_sft.scored.jsonl $(SETTINGS)/pairs
	$(call say,pairs,own samples of training prompts)
	@ft-pairgen -q --rejected-from $(SAMPLES)/train_sft.scored.jsonl \
		--max-reward $(FAILED_REWARD) --num-pairs-per-row $(OWN_SAMPLES) $< -o $@
$(DPO_DATA)/own_eval.jsonl: $(SFT_DATA)/eval.jsonl $(SAMPLES)/sft.scored.jsonl $(SETTINGS)/pairs
	$(call say,pairs,own samples of held-out prompts)
	@ft-pairgen -q --rejected-from $(SAMPLES)/sft.scored.jsonl \
		--max-reward $(FAILED_REWARD) $< -o $@
$(DPO_DATA)/%.jsonl: $(DPO_DATA)/spoilt_%.jsonl $(DPO_DATA)/own_%.jsonl
	@ft-rows $^ -o $@
$(DPO_DATA)/watch.jsonl: $(DPO_DATA)/eval.jsonl
	@awk 'NR % 10 == 1' $< >$@.tmp && mv $@.tmp $@

$(OUTPUTS)/dpo_model/ft-manifest.json: $(DPO_DATA)/train.ft $(DPO_DATA)/watch.ft \
		$(OUTPUTS)/sft_model/ft-manifest.json $(SETTINGS)/dpo
	$(call say,dpo,$(DPO_EPOCHS) epochs at $(DPO_LEARNING_RATE); beta $(BETA); $(LOSS_TYPE))
	@./resume $(SETTINGS)/dpo.key $(DPO_DATA)/train.ft \
		$(OUTPUTS)/sft_model/ft-manifest.json $(SETTINGS)/dpo -- \
		$(LAUNCH) ft-dpo -m $(OUTPUTS)/sft_model $(schedule) $(dpo) $(saving) \
		$(COMPUTE) --eval-file $(DPO_DATA)/watch.ft -o $(@D) $<

flutter-dpo: $(OUTPUTS)/dpo_model/ft-manifest.json

# --- evaluation --------------------------------------------------------------

# Answers to the held-out prompts; rows keep the right one as `reference`.
SETTINGS_answer := MAX_NEW_TOKENS=$(MAX_NEW_TOKENS)
answer = ft-generate --temperature 0 --max-new-tokens $(MAX_NEW_TOKENS) $(COMPUTE)
$(SAMPLES)/base.jsonl: $(SFT_DATA)/eval.jsonl $(MODEL_FILE) $(SETTINGS)/answer
	$(call say,generate,held-out prompts: base)
	@mkdir -p $(@D)
	@$(answer) -m $(FLUTTER_MODEL) $< -o $@
$(SAMPLES)/sft.jsonl $(SAMPLES)/dpo.jsonl: $(SAMPLES)/%.jsonl: $(SFT_DATA)/eval.jsonl \
		$(OUTPUTS)/%_model/ft-manifest.json $(SETTINGS)/answer
	$(call say,generate,held-out prompts: $*)
	@mkdir -p $(@D)
	@$(answer) -m $(OUTPUTS)/$*_model $< -o $@

# Log-probabilities of the held-out answers after their prompts, and by the
# control also without.
$(EVAL)/base.jsonl: $(SFT_DATA)/eval.ft $(MODEL_FILE)
	$(call say,logprob,base)
	@mkdir -p $(@D)
	@ft-logprob -m $(FLUTTER_MODEL) $(COMPUTE) --rows $(<:.ft=.jsonl) $< -o $@
$(EVAL)/control_alone.jsonl: $(SFT_DATA)/control_eval.ft $(OUTPUTS)/control_model/ft-manifest.json
	$(call say,logprob,control without prompts)
	@mkdir -p $(@D)
	@ft-logprob -m $(OUTPUTS)/control_model $(COMPUTE) --rows $(<:.ft=.jsonl) $< -o $@
$(EVAL)/sft.jsonl $(EVAL)/dpo.jsonl $(EVAL)/control.jsonl: $(EVAL)/%.jsonl: \
		$(SFT_DATA)/eval.ft $(OUTPUTS)/%_model/ft-manifest.json
	$(call say,logprob,$*)
	@mkdir -p $(@D)
	@ft-logprob -m $(OUTPUTS)/$*_model $(COMPUTE) --rows $(<:.ft=.jsonl) $< -o $@
$(EVAL)/%.bpb.json: $(EVAL)/%.jsonl
	@ft-eval -q --metric bpb --by part $< --summary $@ -o $@.rows && rm $@.rows

# SFT less another one, in bits per byte, instruction by instruction.
$(EVAL)/sft_less_%.bpb.json: $(EVAL)/%.jsonl $(EVAL)/sft.jsonl
	@ft-rows --join other=$< $(EVAL)/sft.jsonl --map \
		'{id, part, bytes, tokens, sum_logps: (.sum_logps - .other.sum_logps)}' | \
		ft-eval -q --metric bpb --by part --summary $@ -o $@.rows && rm $@.rows

# Pairs by the base, whose log-probabilities stay in the rows, by the reference
# (the SFT model) and by the DPO model.
PAIR := $(DPO_DATA)/eval
$(EVAL)/pairs_base.jsonl: $(PAIR).ft $(MODEL_FILE)
	$(call say,logprob,pairs: base)
	@mkdir -p $(@D)
	@ft-logprob -m $(FLUTTER_MODEL) $(COMPUTE) --rows $(PAIR).jsonl \
		--map '{id, pair_kind, part, prompt, chosen, rejected}' $< | \
		ft-rows --map '. + {base_chosen: .chosen_sum_logps, base_rejected: .rejected_sum_logps} | del(.chosen_logps, .rejected_logps)' -o $@
$(EVAL)/pairs_sft.jsonl $(EVAL)/pairs_dpo.jsonl: $(EVAL)/pairs_%.jsonl: $(PAIR).ft \
		$(EVAL)/pairs_base.jsonl $(OUTPUTS)/%_model/ft-manifest.json
	$(call say,logprob,pairs: $*)
	@ft-logprob -m $(OUTPUTS)/$*_model $(COMPUTE) $< | \
		ft-rows --join of=$(EVAL)/pairs_base.jsonl \
		--map '.of + {chosen_sum_logps, rejected_sum_logps}' -o $@
