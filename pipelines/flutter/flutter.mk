# SPDX-License-Identifier: MIT
# Flutter: records to rows, SFT, pairs, DPO, evaluation, export, report.
# data.json is written by hand; checkdata.py says what is asked of it.

FL := flutter
FLUTTER_DATA ?= $(FL)/data.json
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

$(eval $(call settings,$(FLUTTER_OUT),rows stream pairs own sft dpo score answer infer))
$(eval $(call program,$(FL)/judge))

# --- the model ---------------------------------------------------------------

$(FLUTTER_BASE)/config.json:
	@echo "no embedded model in $(FLUTTER_BASE): make -C pipelines base CORPUS='FILE...', or give MODEL=DIR" >&2; exit 4

$(FLUTTER_OUT)/toy/config.json: $(FL)/toy.json $(FLUTTER_DATA) | tools
	$(call say,init,a toy model)
	@mkdir -p $(FLUTTER_OUT)
	@ft-rows --json --map '.instructions[:5][].output.project_structure[] | {text: .}' \
		$(FLUTTER_DATA) -o $(FLUTTER_OUT)/toy.jsonl
	@ft-init -q --config $(FL)/toy.json --text $(FLUTTER_OUT)/toy.jsonl \
		--vocab-size 400 --seed $(SEED) -o $(FLUTTER_OUT)/toy

# --- data --------------------------------------------------------------------

PARTS := train eval
SETTINGS_rows := NEW_APP=$(NEW_APP) ROWS=$(ROWS)
SETTINGS_stream := MODEL=$(FLUTTER_MODEL) $(if $(filter chat,$(FORMAT)),FORMAT=chat $(CHAT_TEMPLATE)) MAX_LENGTH=$(MAX_LENGTH) ON_LONG=$(ON_LONG)
jq = "$$(cat $(FL)/prompt.jq $(FL)/$(1).jq)"
tokenize = ft-tokenize -q -m $(FLUTTER_MODEL) --max-length $(MAX_LENGTH) \
	--on-long $(ON_LONG) --ledger $(@:.ft=.ledger.json)

$(PARTS:%=$(SFT_DATA)/%.jsonl): $(SFT_DATA)/%.jsonl: $(FLUTTER_DATA) $(FL)/prompt.jq $(FL)/sft.jq $(SETTINGS)/rows | tools
	$(call say,rows,$*)
	@mkdir -p $(@D)
	@NEW_APP='$(NEW_APP)' ROWS='$(ROWS)' PART=$* \
		ft-rows --json --map $(call jq,sft) $(FLUTTER_DATA) -o $@

# A fourth of what is held out, to watch while training.
$(SFT_DATA)/watch.jsonl: $(SFT_DATA)/eval.jsonl
	@awk 'NR % 4 == 1' $< >$@.tmp && mv $@.tmp $@

# The control's: the same answers as plain text.
$(patsubst %,$(SFT_DATA)/control_%.jsonl,$(PARTS) watch): $(SFT_DATA)/control_%.jsonl: $(SFT_DATA)/%.jsonl
	@ft-rows --map '{id, app, part, text: .completion}' $< -o $@

$(PARTS:%=$(CHAT_DATA)/%.jsonl): $(CHAT_DATA)/%.jsonl: $(SFT_DATA)/%.jsonl
	@mkdir -p $(@D)
	@ft-rows --map '{id, app, part, messages: [{role: "user", content: .prompt}, {role: "assistant", content: .completion}]}' \
		$< -o $@

# Which of the two the SFT model sees.
ifeq ($(filter prompt chat,$(FORMAT)),)
$(error FORMAT=$(FORMAT) is neither prompt nor chat)
endif
TUNE_DATA := $(if $(filter chat,$(FORMAT)),$(CHAT_DATA),$(SFT_DATA))
$(CHAT_DATA)/watch.jsonl: $(CHAT_DATA)/eval.jsonl
	@awk 'NR % 4 == 1' $< >$@.tmp && mv $@.tmp $@
$(CHAT_DATA)/train.ft $(CHAT_DATA)/watch.ft: %.ft: %.jsonl $(MODEL_FILE) $(SETTINGS)/stream
	$(call say,tokens,$(patsubst $(FLUTTER_OUT)/processed_data/%,%,$*))
	@$(tokenize) --chat --assistant-only-loss \
		$(if $(CHAT_TEMPLATE),--chat-template $(CHAT_TEMPLATE)) $< -o $@

STREAMS := $(patsubst %,$(SFT_DATA)/%.ft,$(PARTS) watch) \
	$(patsubst %,$(SFT_DATA)/control_%.ft,$(PARTS) watch) \
	$(patsubst %,$(DPO_DATA)/%.ft,$(PARTS) watch)
$(STREAMS): %.ft: %.jsonl $(MODEL_FILE) $(SETTINGS)/stream
	$(call say,tokens,$(patsubst $(FLUTTER_OUT)/processed_data/%,%,$*))
	@$(tokenize) $< -o $@

# Spoilt code: so many pairs of each row, one more of an API or a rebuild gone
# stale where the row has any, as such code reads well, and one of wrong length.
SETTINGS_pairs := PAIRS_PER_ROW=$(PAIRS_PER_ROW) SPOILT_PAIRS=$(SPOILT_PAIRS) \
	EVAL_PAIRS_PER_ROW=$(EVAL_PAIRS_PER_ROW) SEED=$(SEED)
pairs_each_train := $(PAIRS_PER_ROW)
pairs_each_eval := $(EVAL_PAIRS_PER_ROW)
pairs_most_train := $(SPOILT_PAIRS)
pairs_most_eval := 1000000
$(PARTS:%=$(DPO_DATA)/spoilt_%.jsonl): $(DPO_DATA)/spoilt_%.jsonl: $(SFT_DATA)/%.jsonl $(FL)/spoil.jq $(SETTINGS)/pairs
	$(call say,pairs,spoilt code: $*)
	@mkdir -p $(@D)
	@ft-pairgen -q --num-pairs-per-row $(pairs_each_$*) --seed $(SEED) $< -o $@.any
	@ft-pairgen -q --kind-of-pair deprecated-api,stale-state --seed $(SEED) $< -o $@.stale
	@ft-rows --map "$$(cat $(FL)/spoil.jq)" $< -o $@.length
	@cat $@.any $@.stale $@.length | awk '!seen[$$0]++' | \
		$(call some,$(pairs_most_$*)) | ft-rows -o $@
	@rm $@.any $@.stale $@.length

flutter-data: $(PARTS:%=$(SFT_DATA)/%.ft) $(PARTS:%=$(SFT_DATA)/control_%.ft) \
	$(PARTS:%=$(CHAT_DATA)/%.jsonl) \
	$(DPO_DATA)/spoilt_train.jsonl $(DPO_DATA)/spoilt_eval.jsonl

# --- training ----------------------------------------------------------------

lora = --lora-r $(LORA_R) --lora-alpha $(LORA_ALPHA) --lora-dropout $(LORA_DROPOUT) \
	--lora-target-modules $(LORA_TARGET_MODULES)
schedule = --lr-scheduler-type $(LR_SCHEDULER_TYPE) \
	--weight-decay $(WEIGHT_DECAY)
saving = --logging-steps $(LOGGING_STEPS) --eval-steps $(EVAL_STEPS) \
	--save-steps $(SAVE_STEPS) --save-total-limit $(SAVE_TOTAL_LIMIT)
sft = --warmup-ratio $(WARMUP_RATIO) --max-steps $(MAX_STEPS) --num-train-epochs $(EPOCHS) --learning-rate $(LEARNING_RATE) \
	--per-device-train-batch-size $(BATCH) --gradient-accumulation-steps $(ACCUMULATION)
dpo = --warmup-ratio $(DPO_WARMUP_RATIO) --max-steps $(DPO_MAX_STEPS) --num-train-epochs $(DPO_EPOCHS) --learning-rate $(DPO_LEARNING_RATE) \
	--per-device-train-batch-size $(DPO_BATCH) \
	--gradient-accumulation-steps $(DPO_ACCUMULATION) \
	--beta $(BETA) --loss-type $(LOSS_TYPE) --label-smoothing $(LABEL_SMOOTHING) \
	--rpo-alpha $(RPO_ALPHA)

SETTINGS_sft := MODEL=$(FLUTTER_MODEL) $(if $(filter chat,$(FORMAT)),FORMAT=chat) SEED=$(SEED) DTYPE=$(DTYPE) \
	LOAD_IN_4BIT=$(LOAD_IN_4BIT) $(lora) $(schedule) $(sft)
SETTINGS_dpo := $(schedule) $(dpo) SEED=$(SEED) DTYPE=$(DTYPE)

$(OUTPUTS)/sft_model/ft-manifest.json: $(TUNE_DATA)/train.ft $(TUNE_DATA)/watch.ft $(SETTINGS)/sft
	$(call say,sft,$(EPOCHS) epochs at $(LEARNING_RATE))
	@mkdir -p $(OUTPUTS)
	@./resume $(SETTINGS)/sft.key $(TUNE_DATA)/train.ft $(SETTINGS)/sft -- \
		$(LAUNCH) ft-sft -m $(FLUTTER_MODEL) $(lora) $(schedule) $(sft) $(saving) \
		$(COMPUTE) --eval-file $(TUNE_DATA)/watch.ft -o $(@D) $<

# The control: as many steps on the same answers, which it sees without prompts.
$(OUTPUTS)/control_model/ft-manifest.json: $(SFT_DATA)/control_train.ft $(SFT_DATA)/control_watch.ft $(SETTINGS)/sft
	$(call say,sft,control: the same answers without prompts)
	@mkdir -p $(OUTPUTS)
	@./resume $(SETTINGS)/control.key $(SFT_DATA)/control_train.ft $(SETTINGS)/sft -- \
		$(LAUNCH) ft-sft -m $(FLUTTER_MODEL) $(lora) $(schedule) $(sft) $(saving) \
		$(COMPUTE) --eval-file $(SFT_DATA)/control_watch.ft -o $(@D) $<

flutter-sft: $(OUTPUTS)/sft_model/ft-manifest.json $(OUTPUTS)/control_model/ft-manifest.json

generate = ft-generate --batch-size $(GENERATE_BATCH) --temperature $(TEMPERATURE) \
	--top-p $(TOP_P) --max-new-tokens $(MAX_NEW_TOKENS) $(COMPUTE)

# So many lines at most, evenly spaced.
some = awk -v want=$(1) '{ line[NR] = $$0 } END { for (i = 1; i <= NR; i++) \
	if (want >= NR || int(i * want / NR) > int((i - 1) * want / NR)) print line[i] }'

# What the tuned model answers to prompts that it was trained on, graded by the
# judge.  An answer that is found wanting is the rejected side against the one by
# hand; of several answers the best stands against the worst.
SETTINGS_own := OWN_ROWS=$(OWN_ROWS) OWN_SAMPLES=$(OWN_SAMPLES) \
	EVAL_OWN_PAIRS=$(EVAL_OWN_PAIRS) \
	TEMPERATURE=$(TEMPERATURE) TOP_P=$(TOP_P) MAX_NEW_TOKENS=$(MAX_NEW_TOKENS) \
	FAILED_REWARD=$(FAILED_REWARD) MIN_GAP=$(MIN_GAP) SEED=$(SEED) \
	GENERATE_BATCH=$(GENERATE_BATCH) DTYPE=$(DTYPE)
$(SAMPLES)/train_sft.jsonl: $(SFT_DATA)/train.jsonl $(OUTPUTS)/sft_model/ft-manifest.json $(SETTINGS)/own
	$(call say,generate,$(OWN_SAMPLES) own samples of each of $(OWN_ROWS) training prompts)
	@mkdir -p $(@D)
	@$(call some,$(OWN_ROWS)) $< | \
		$(generate) -m $(OUTPUTS)/sft_model --num-samples $(OWN_SAMPLES) -o $@

ANSWERED := base sft dpo
$(patsubst %,$(SAMPLES)/%.scored.jsonl,$(ANSWERED) train_sft): %.scored.jsonl: %.jsonl $(FL)/judge
	@$(FL)/judge $< -o $@

$(DPO_DATA)/own_train.jsonl: $(SFT_DATA)/train.jsonl $(SAMPLES)/train_sft.scored.jsonl $(SETTINGS)/own
	$(call say,pairs,own samples of training prompts)
	@ft-pairgen -q --rejected-from $(SAMPLES)/train_sft.scored.jsonl \
		--max-reward $(FAILED_REWARD) $< -o $@.own
	@ft-pairgen -q --kind-of-pair scored --min-gap $(MIN_GAP) \
		$(SAMPLES)/train_sft.scored.jsonl -o $@.best
	@ft-rows --map '{id, app, part, prompt, chosen, rejected, pair_kind}' $@.own $@.best -o $@
	@rm $@.own $@.best
$(DPO_DATA)/own_eval.jsonl: $(SFT_DATA)/eval.jsonl $(SAMPLES)/sft.scored.jsonl $(SETTINGS)/own
	$(call say,pairs,own samples of held-out prompts)
	@ft-pairgen -q --rejected-from $(SAMPLES)/sft.scored.jsonl \
		--num-pairs-per-row $(EVAL_OWN_PAIRS) --max-reward $(FAILED_REWARD) $< -o $@
$(PARTS:%=$(DPO_DATA)/%.jsonl): $(DPO_DATA)/%.jsonl: $(DPO_DATA)/spoilt_%.jsonl $(DPO_DATA)/own_%.jsonl
	@ft-rows $^ -o $@
$(DPO_DATA)/watch.jsonl: $(DPO_DATA)/eval.jsonl
	@awk 'NR % 10 == 1' $< >$@.tmp && mv $@.tmp $@

# The reference is the tuned model: its log-probabilities go into the streams.
$(DPO_DATA)/train.ref.ft $(DPO_DATA)/watch.ref.ft: %.ref.ft: %.ft $(OUTPUTS)/sft_model/ft-manifest.json $(SETTINGS)/score
	$(call say,logprob,reference: $(*F) pairs)
	@ft-logprob -m $(OUTPUTS)/sft_model $(COMPUTE) --columns $< -o $@

$(OUTPUTS)/dpo_model/ft-manifest.json: $(DPO_DATA)/train.ref.ft $(DPO_DATA)/watch.ref.ft \
		$(OUTPUTS)/sft_model/ft-manifest.json $(SETTINGS)/dpo
	$(call say,dpo,$(DPO_EPOCHS) epochs at $(DPO_LEARNING_RATE); beta $(BETA); $(LOSS_TYPE))
	@./resume $(SETTINGS)/dpo.key $(DPO_DATA)/train.ref.ft \
		$(OUTPUTS)/sft_model/ft-manifest.json $(SETTINGS)/dpo -- \
		$(LAUNCH) ft-dpo -m $(OUTPUTS)/sft_model $(schedule) $(dpo) $(saving) \
		$(COMPUTE) --ref cached --eval-file $(DPO_DATA)/watch.ref.ft -o $(@D) $<

flutter-dpo: $(OUTPUTS)/dpo_model/ft-manifest.json

# --- evaluation --------------------------------------------------------------

# Answers to the held-out prompts; rows keep the right one as `reference`.
SETTINGS_answer := TEMPERATURE=$(TEMPERATURE) TOP_P=$(TOP_P) \
	MAX_NEW_TOKENS=$(MAX_NEW_TOKENS) SEED=$(SEED) GENERATE_BATCH=$(GENERATE_BATCH) \
	EVAL_SAMPLES=$(EVAL_SAMPLES) DTYPE=$(DTYPE)
answer = $(generate) --num-samples $(EVAL_SAMPLES)
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
SETTINGS_score := DTYPE=$(DTYPE) LOAD_IN_4BIT=$(LOAD_IN_4BIT)
$(EVAL)/base.jsonl: $(SFT_DATA)/eval.ft $(MODEL_FILE) $(SETTINGS)/score
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
SCORED := base control control_alone sft dpo
$(SCORED:%=$(EVAL)/%.bpb.json): %.bpb.json: %.jsonl
	@ft-eval -q --metric bpb --by part $< --summary $@ -o $@.rows && rm $@.rows

# SFT less another one, in bits per byte, instruction by instruction.
LESS := base control control_alone
$(LESS:%=$(EVAL)/sft_less_%.bpb.json): $(EVAL)/sft_less_%.bpb.json: $(EVAL)/%.jsonl $(EVAL)/sft.jsonl
	@ft-rows --join other=$< $(EVAL)/sft.jsonl --map \
		'{id, part, bytes, tokens, sum_logps: (.sum_logps - .other.sum_logps)}' | \
		ft-eval -q --metric bpb --by part --summary $@ -o $@.rows && rm $@.rows

# Pairs by the base, whose log-probabilities stay in the rows, by the reference
# (the SFT model) and by the DPO model.
PAIRS := $(DPO_DATA)/eval
$(EVAL)/pairs_base.jsonl: $(PAIRS).ft $(MODEL_FILE) $(SETTINGS)/score
	$(call say,logprob,pairs: base)
	@mkdir -p $(@D)
	@ft-logprob -m $(FLUTTER_MODEL) $(COMPUTE) --rows $(PAIRS).jsonl $< | \
		ft-rows --map '{id: .row, item: .id, row, part, pair_kind, chosen_sum_logps, rejected_sum_logps, chosen_bytes, rejected_bytes}' -o $@
$(EVAL)/pairs_sft.jsonl $(EVAL)/pairs_dpo.jsonl: $(EVAL)/pairs_%.jsonl: $(PAIRS).ft \
		$(EVAL)/pairs_base.jsonl $(OUTPUTS)/%_model/ft-manifest.json
	$(call say,logprob,pairs: $*)
	@ft-logprob -m $(OUTPUTS)/$*_model $(COMPUTE) $< | \
		ft-rows --map '{id: .row, c: .chosen_sum_logps, r: .rejected_sum_logps}' | \
		ft-rows --join base=$(EVAL)/pairs_base.jsonl --map '.base + {chosen_sum_logps: .c, rejected_sum_logps: .r, base_chosen: .base.chosen_sum_logps, base_rejected: .base.rejected_sum_logps}' -o $@
# Those that the base's own log-probabilities get wrong.
$(EVAL)/wrong_sft.jsonl $(EVAL)/wrong_dpo.jsonl: $(EVAL)/wrong_%.jsonl: $(EVAL)/pairs_%.jsonl
	@ft-rows --map 'select(.base_chosen <= .base_rejected)' $< -o $@

preference = ft-eval -q --metric preference --by pair_kind --group-by item \
	--interval bootstrap --summary $@ -o $@.rows
$(EVAL)/preference_base.json: $(EVAL)/pairs_base.jsonl
	@$(preference) $< && rm $@.rows
$(EVAL)/preference_pairs.json $(EVAL)/preference_wrong.json: $(EVAL)/preference_%.json: \
		$(EVAL)/%_dpo.jsonl $(EVAL)/%_sft.jsonl
	@$(preference) --reference-rows $(EVAL)/$*_sft.jsonl --beta $(BETA) $< && rm $@.rows

# Who answers better, by the judge.
OTHERS := base sft
$(OTHERS:%=$(EVAL)/dpo_over_%.json): $(EVAL)/dpo_over_%.json: $(SAMPLES)/dpo.jsonl $(SAMPLES)/%.jsonl $(FL)/judge
	$(call say,judge,DPO against $*)
	@mkdir -p $(@D)
	@ft-eval -q --metric winrate --by part --interval bootstrap --seed $(SEED) \
		--judge $(FL)/judge --against $(SAMPLES)/$*.jsonl --summary $@ \
		-o $(EVAL)/dpo_over_$*.jsonl $<
$(ANSWERED:%=$(EVAL)/%.reward.json): $(EVAL)/%.reward.json: $(SAMPLES)/%.scored.jsonl
	@mkdir -p $(@D)
	@ft-eval -q --metric accuracy --map '{id, part, hits: .reward, tokens: 1}' \
		--by part --summary $@ -o $@.rows $< && rm $@.rows

SUMMARIES := $(SCORED:%=$(EVAL)/%.bpb.json) $(LESS:%=$(EVAL)/sft_less_%.bpb.json) \
	$(patsubst %,$(EVAL)/preference_%.json,base pairs wrong) \
	$(OTHERS:%=$(EVAL)/dpo_over_%.json) $(ANSWERED:%=$(EVAL)/%.reward.json)

# One document of all summaries, from which the tables are made.
$(EVAL)/summary.json: $(SUMMARIES) $(OUTPUTS)/dpo_model/ft-manifest.json
	@{ printf '{'; \
	for f in $(SUMMARIES); do name=$${f##*/}; printf '"%s":%s,' "$${name%.json}" "$$(<$$f)"; done; \
	printf '"dpo_loss":[%s]}' "$$(ft-rows --map 'select(.loss) | {step, loss: (.dpo_loss // .loss)}' \
		$(OUTPUTS)/dpo_model/train.metrics.jsonl | paste -sd,)"; } | \
		ft-rows --json -o $@

TABLES := bpb less preference winrate reward goals
$(TABLES:%=$(EVAL)/table_%.jsonl): $(EVAL)/table_%.jsonl: $(EVAL)/summary.json $(FL)/tables.jq
	@TABLE=$* ft-rows --json --map "$$(cat $(FL)/tables.jq)" $< -o $@

flutter-eval: $(TABLES:%=$(EVAL)/table_%.jsonl)
	@ft-rows --map '"\(if .met then "met   " else "not met" end) \(.goal): \(.measured)" | {text: .}' \
		--raw text $(EVAL)/table_goals.jsonl

# --- answers -----------------------------------------------------------------

# Not expanded: a dollar in a prompt is a dollar.
SETTINGS_infer := $(value PROMPT) $(value INPUT) $(FRAMEWORK) $(ARCHITECTURE) \
	$(TEMPERATURE) $(TOP_P) $(MAX_NEW_TOKENS) $(SEED)
$(FLUTTER_OUT)/infer.jsonl: $(OUTPUTS)/dpo_model/ft-manifest.json $(FL)/prompt.jq $(FL)/infer.jq $(SETTINGS)/infer
	@echo null | PROMPT=$(call quote,$(value PROMPT)) INPUT=$(call quote,$(value INPUT)) \
		FRAMEWORK=$(call quote,$(FRAMEWORK)) ARCHITECTURE=$(call quote,$(ARCHITECTURE)) \
		ft-rows --json --map $(call jq,infer) | \
		$(generate) -m $(OUTPUTS)/dpo_model -o $@
flutter-infer: $(FLUTTER_OUT)/infer.jsonl
	@ft-rows --raw completion $<

# --- export and report -------------------------------------------------------

EXPORT := $(FLUTTER_OUT)/export
$(EXPORT)/merged/ft-manifest.json: $(OUTPUTS)/dpo_model/ft-manifest.json
	$(call say,export,merged model)
	@mkdir -p $(EXPORT)
	@ft-export -q -m $(OUTPUTS)/dpo_model --to hf -o $(@D)
$(EXPORT)/adapter/ft-manifest.json: $(OUTPUTS)/dpo_model/ft-manifest.json
	$(call say,export,adapter)
	@mkdir -p $(EXPORT)
	@ft-export -q -m $(OUTPUTS)/dpo_model --to peft -o $(@D)
flutter-export: $(EXPORT)/merged/ft-manifest.json $(EXPORT)/adapter/ft-manifest.json

# Some held-out instructions, answered by each.
$(SAMPLES)/side.jsonl: $(SAMPLES)/base.scored.jsonl $(SAMPLES)/sft.scored.jsonl $(SAMPLES)/dpo.scored.jsonl $(FL)/side.jq
	@ft-rows --join sft=$(SAMPLES)/sft.scored.jsonl --join dpo=$(SAMPLES)/dpo.scored.jsonl $< | \
		awk 'NR % 11 == 3' | ft-rows --map "$$(cat $(FL)/side.jq)" -o $@

$(FLUTTER_OUT)/settings.txt: $(patsubst %,$(SETTINGS)/%,rows stream pairs own sft dpo answer) $(SFT_DATA)/train.ft $(DPO_DATA)/train.ft
	@{ cat $(filter $(SETTINGS)/%,$^); for f in $(filter %.ft,$^); do \
		echo "$${f##*processed_data/}: $$(ft-show --ledger $$f)"; done; } | tr -s ' \t' ' ' >$@.tmp
	@mv $@.tmp $@

REPORT_NOTE := $(if $(filter-out 0,$(SMOKE)),A toy run: the figures say nothing.,$(if $(MODEL),Model: $(MODEL).,\
	Model: the embedded one of 5 million parameters, with learning rates and sizes of its own (flutter/default.mk).)) \
	Held out: every fifth instruction of each app and the whole app $(NEW_APP). Intervals are 95 %, by bootstrap over instructions.
$(FLUTTER_OUT)/report.html: $(TABLES:%=$(EVAL)/table_%.jsonl) $(SAMPLES)/side.jsonl \
		$(FLUTTER_OUT)/settings.txt $(FLUTTER_OUT)/infer.jsonl $(OUTPUTS)/control_model/ft-manifest.json
	$(call say,report,$@)
	@ft-rows --map '{id: "inference", prompt, answer: .completion}' $(FLUTTER_OUT)/infer.jsonl -o $(SAMPLES)/infer_side.jsonl
	@ft-board --html $@ --title 'A model learns Flutter' --lead '$(strip $(REPORT_NOTE))' \
		--table 'Goals=$(EVAL)/table_goals.jsonl' \
		--table 'Bits per byte of held-out answers=$(EVAL)/table_bpb.jsonl' \
		--table 'Bits per byte, difference by instruction=$(EVAL)/table_less.jsonl' \
		--table 'Preference accuracy on held-out pairs=$(EVAL)/table_preference.jsonl' \
		--table 'Win rate of DPO=$(EVAL)/table_winrate.jsonl' \
		--table 'Mean reward by the judge=$(EVAL)/table_reward.jsonl' \
		--samples 'Held-out instructions=$(SAMPLES)/side.jsonl' \
		--samples 'Inference=$(SAMPLES)/infer_side.jsonl' \
		--text 'Settings=$(FLUTTER_OUT)/settings.txt' \
		SFT=$(OUTPUTS)/sft_model control=$(OUTPUTS)/control_model DPO=$(OUTPUTS)/dpo_model
flutter-report: $(FLUTTER_OUT)/report.html

# --- for developers ----------------------------------------------------------

VENV := $(ROOT)/build/venv-flutter
$(VENV)/ok:
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install -q tree-sitter tree-sitter-dart-orchard
	@touch $@
flutter-checkdata: $(VENV)/ok
	@$(VENV)/bin/python $(FL)/checkdata.py $(FLUTTER_DATA)

# --- the embedded model ------------------------------------------------------

# CORPUS: files of rows {repo, path, license, text}.  A sixtieth of the files,
# by a sum over their paths, is held out.  First a constant rate, then one that
# falls to nothing from the best checkpoint on; both parts resume.
BASE_OUT           ?= $(ROOT)/out/base
BASE_VOCAB         ?= 4096
BASE_EPOCHS        ?= 2
BASE_DECAY_EPOCHS  ?= 1
BASE_LEARNING_RATE ?= 2e-3
BASE_BATCH         ?= 4
BASE_EVAL_STEPS    ?= 200
BASE_SAVE_STEPS    ?= 100
BASE_MAX_STEPS     ?= -1
BASE_DECAY_STEPS   ?= $(BASE_MAX_STEPS)
BASE_CONFIG        ?= $(FL)/base/config.json
# Where curve and figures go, beside the model.
BASE_RECORDS       ?= $(FL)/base
SETTINGS_base := EPOCHS=$(BASE_EPOCHS)+$(BASE_DECAY_EPOCHS) RATE=$(BASE_LEARNING_RATE) \
	BATCH=$(BASE_BATCH) STEPS=$(BASE_MAX_STEPS)+$(BASE_DECAY_STEPS) VOCAB=$(BASE_VOCAB)
$(eval $(call settings,$(BASE_OUT),base))

$(BASE_OUT)/train.jsonl $(BASE_OUT)/heldout.jsonl: $(BASE_OUT)/%.jsonl: $(CORPUS) $(FL)/base/corpus.jq | tools
ifeq ($(CORPUS),)
	@echo "give CORPUS='FILE...': rows {repo, path, license, text}" >&2; exit 2
endif
	$(call say,rows,$*)
	@mkdir -p $(@D)
	@PART=$* ft-rows --map "$$(cat $(FL)/base/corpus.jq)" $(CORPUS) -o $@
$(BASE_OUT)/init/ft-manifest.json: $(BASE_CONFIG) $(BASE_OUT)/train.jsonl $(BASE_OUT)/settings/base
	$(call say,init,$(BASE_CONFIG))
	@ft-init --config $< --text $(BASE_OUT)/train.jsonl --vocab-size $(BASE_VOCAB) \
		--seed $(SEED) -o $(@D)
	@cp $(FL)/base/model/chat_template.jinja $(@D)
$(BASE_OUT)/train.ft $(BASE_OUT)/heldout.ft: %.ft: %.jsonl $(BASE_OUT)/init/ft-manifest.json
	@ft-tokenize -m $(BASE_OUT)/init --kind text --max-length 1024 --on-long split \
		--ledger $*.ledger.json $< -o $@

base_sft = ft-sft --full --per-device-train-batch-size $(BASE_BATCH) \
	--adam-beta2 0.95 --weight-decay 0.1 --logging-steps 10 \
	--eval-file $(BASE_OUT)/heldout.ft --eval-steps $(BASE_EVAL_STEPS) \
	--save-steps $(BASE_SAVE_STEPS) --save-total-limit 3 \
	--threads $(THREADS) --seed $(SEED)
$(BASE_OUT)/constant/ft-manifest.json: $(BASE_OUT)/train.ft $(BASE_OUT)/heldout.ft
	$(call say,sft,$(BASE_EPOCHS) epochs at $(BASE_LEARNING_RATE))
	@./resume $(BASE_OUT)/settings/constant.key $< $(BASE_OUT)/settings/base -- \
		$(LAUNCH) $(base_sft) -m $(BASE_OUT)/init --num-train-epochs $(BASE_EPOCHS) \
		--learning-rate $(BASE_LEARNING_RATE) --lr-scheduler-type constant_with_warmup \
		--warmup-steps 100 --max-steps $(BASE_MAX_STEPS) -o $(@D) $<
$(BASE_OUT)/decay/ft-manifest.json: $(BASE_OUT)/constant/ft-manifest.json
	$(call say,sft,$(BASE_DECAY_EPOCHS) epochs to rate 0)
	@./resume $(BASE_OUT)/settings/decay.key $< $(BASE_OUT)/settings/base -- \
		$(LAUNCH) $(base_sft) -m $(BASE_OUT)/constant --num-train-epochs $(BASE_DECAY_EPOCHS) \
		--learning-rate $(BASE_LEARNING_RATE) --lr-scheduler-type linear \
		--warmup-steps 100 --max-steps $(BASE_DECAY_STEPS) -o $(@D) $(BASE_OUT)/train.ft
$(BASE_OUT)/heldout.bpb.json: $(BASE_OUT)/decay/ft-manifest.json
	@ft-logprob -m $(<D) --threads $(THREADS) $(BASE_OUT)/heldout.ft | \
		ft-eval --metric bpb --summary $@ -o $@.rows && rm $@.rows

# What is committed: the model in bfloat16 with its curve and figures; recipe
# and notices lie beside it.
$(FLUTTER_BASE)/ft-manifest.json: $(BASE_OUT)/decay/ft-manifest.json $(BASE_OUT)/heldout.bpb.json
	$(call say,export,$(FLUTTER_BASE))
	@ft-export -m $(BASE_OUT)/decay --to hf --dtype bfloat16 -o $(FLUTTER_BASE)
	@for part in constant decay; do ft-rows --map \
		'{step, loss, eval_loss} | with_entries(select(.value))' \
		$(BASE_OUT)/$$part/train.metrics.jsonl -o $(BASE_RECORDS)/curve-$$part.jsonl; done
	@cp $(BASE_OUT)/heldout.bpb.json $(BASE_RECORDS)/heldout.json
base: $(FLUTTER_BASE)/ft-manifest.json
