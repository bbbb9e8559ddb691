#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make tests/data/golden/bias/trl.safetensors: python3 gen_trl.py FILE

TRL's own trainers on the golden model "bias" and its rows: the losses of 20
steps of SFTTrainer with all weights, and of DPOTrainer going on from the
adapter with each loss.  Run after gen_llama.py, from the top of the tree.
"""
import sys
import tempfile

from cases import *
from datasets import Dataset
from peft import PeftModel
from safetensors import safe_open
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

MODEL = "tests/data/golden/bias"
ROWS = [1, 2, 4, 5]  # those with one branch, an even number of them


def read_rows(f, prefix):
    ids, seg, row, mask = [f.get_tensor(prefix + n).tolist() for n in (
        "input_ids", "cu_seqlens", "cu_rows", "loss_mask")]
    part = lambda x, s: x[seg[s]:seg[s + 1]]
    return [(part(ids, a), [(part(ids, s), part(mask, s))
                            for s in range(a + 1, b)])
            for a, b in zip(row, row[1:])]


def arguments(h, lr, tmp):
    return dict(output_dir=tmp, use_cpu=True, bf16=False, max_length=None,
                per_device_train_batch_size=h["batch"], max_steps=h["steps"],
                learning_rate=lr, warmup_steps=h["warmup"],
                weight_decay=h["decay"], max_grad_norm=h["clip"],
                lr_scheduler_type="linear", logging_steps=1, save_strategy="no",
                report_to="none", train_sampling_strategy="sequential",
                activation_checkpointing=False, disable_tqdm=True)


def recording(trainer):
    """A trainer that keeps the loss of each step, not rounded for a log."""

    class Recording(trainer):
        losses = []

        def training_step(self, *a, **k):
            loss = super().training_step(*a, **k)
            self.losses.append(loss.item())
            return loss

    return Recording


def sft_losses(rows, h, tokenizer, tmp):
    data = Dataset.from_dict({
        "input_ids": [p + b[0][0] for p, b in rows],
        "completion_mask": [[0] * len(p) + b[0][1] for p, b in rows]})
    t = recording(SFTTrainer)(
        model=open_model(MODEL), train_dataset=data,
        processing_class=tokenizer,
        args=SFTConfig(completion_only_loss=True,
                       **arguments(h, h["lr_full"], tmp)))
    t.train()
    return torch.tensor(t.losses)


def dpo_losses(pairs, h, tokenizer, tmp, loss):
    class Tokenized(DPOTrainer):
        def _prepare_dataset(self, dataset, *a, **k):
            return dataset  # its ids are there already

    data = Dataset.from_dict({
        "prompt_ids": [p for p, _ in pairs],
        "chosen_ids": [b[0][0] for _, b in pairs],
        "rejected_ids": [b[1][0] for _, b in pairs]})
    model = PeftModel.from_pretrained(open_model(MODEL), MODEL + "/adapter",
                                      is_trainable=True)
    t = recording(Tokenized)(
        model=model, train_dataset=data, processing_class=tokenizer,
        args=DPOConfig(beta=BETA, loss_type=[loss],
                       **arguments(h, h["lr_lora"], tmp)))
    t.train()
    return torch.tensor(t.losses)


def main():
    with safe_open(MODEL + "/expect.safetensors", "pt") as f:
        h = json.loads(f.metadata()["ft"])["hyper"]
        rows, pairs = read_rows(f, "sft."), read_rows(f, "pair.")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(
            {"<pad>": 0, "<s>": 1, "</s>": 2}, unk_token="<pad>")),
        pad_token="<pad>", bos_token="<s>", eos_token="</s>")
    with tempfile.TemporaryDirectory() as tmp:
        t = {"rows": torch.tensor(ROWS, dtype=torch.int32),
             "sft.loss": sft_losses([rows[i] for i in ROWS], h, tokenizer,
                                    tmp)}
        for loss in ("sigmoid", "hinge", "ipo"):
            t["dpo.%s.loss" % loss] = dpo_losses(pairs, h, tokenizer, tmp,
                                                 loss)
    save(sys.argv[1], t, {"format": "pt"})
    for name, x in t.items():
        print(name, [round(v, 4) for v in x.tolist()])


if __name__ == "__main__":
    main()
