#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Training, generation and start-up beside torch, transformers, PEFT and TRL.

usage: peers.py [-p PAIRS] [-d DIR] [WHAT...]

WHAT: sft (torch and PEFT in a bare loop), trl-sft, trl-dpo, generate, start;
all of them when none is named.  One random Llama of 135 million parameters,
LoRA of rank 16 on all linears, the same token ids for both.  Ours and theirs
take turns within one run: a busy machine slows both, and the figure is the
median of the pairs' ratios.  TSV: what, unit, ours, theirs, ratio (its least
and greatest), peak memory of ours and of theirs in MB.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

CONFIG = dict(vocab_size=49152, hidden_size=576, intermediate_size=1536,
              num_hidden_layers=30, num_attention_heads=9,
              num_key_value_heads=3, tie_word_embeddings=True,
              max_position_embeddings=2048)
RANK, ROWS, LENGTH = 16, 4, 512          # SFT: 4 x 512 tokens a step
PROMPT, ANSWER, PAIRS = 384, 64, 2       # DPO: pairs a step
STEPS = 3                                # of ours in each turn
MORE = 8                                 # times as many tokens of ours


def ids(seed, n):
    x, out = seed * 2654435761 + 12345, []
    for _ in range(n):
        x = (x * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append(3 + (x >> 33) % 49000)
    return out


def make(d):
    """The model and the rows, once."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    torch.manual_seed(1)
    m = LlamaForCausalLM(LlamaConfig(**CONFIG, bos_token_id=1, eos_token_id=2))
    m.to(torch.bfloat16).save_pretrained(d + "/model")
    with open(d + "/sft.jsonl", "w") as f:
        for i in range(ROWS):
            print(json.dumps({"prompt_ids": [1], "completion_ids":
                              ids(i, LENGTH - 2) + [2]}), file=f)
    with open(d + "/dpo.jsonl", "w") as f:
        for i in range(PAIRS):
            print(json.dumps({
                "prompt_ids": [1] + ids(i, PROMPT - 1),
                "chosen_ids": ids(i + 100, ANSWER - 1) + [2],
                "rejected_ids": ids(i + 200, ANSWER - 1) + [2]}), file=f)
    for kind in "sft", "dpo":
        run(["ft-tokenize", "-q", "-m", d + "/model", d + f"/{kind}.jsonl",
             "-o", d + f"/{kind}.ft"])


def high_water(pid):
    try:
        with open(f"/proc/{pid}/status") as f:
            return max(int(l.split()[1]) for l in f
                       if l.startswith("VmHWM")) / 1024
    except (OSError, ValueError):
        return 0  # it is about to end


def run(argv):
    """Seconds and peak MB of a command.  (What wait4 says would be no less
    than this process has, which it was forked from.)"""
    t, mb = time.monotonic(), 0
    p = subprocess.Popen(argv)
    while True:
        try:
            p.wait(0.01)
            break
        except subprocess.TimeoutExpired:
            mb = max(mb, high_water(p.pid))
    if p.returncode:
        sys.exit(f"{argv[0]}: status {p.returncode}")
    return time.monotonic() - t, mb


def our_steps(d, tool, rows, dtype):
    """Seconds of a step of ours, peak MB."""
    with tempfile.TemporaryDirectory() as out:
        _, mb = run([tool, "-q", "-m", d + "/model", "-o", out + "/o",
                     "--dtype", dtype, "--lora-r", str(RANK), "--lora-alpha",
                     "32", "--lora-dropout", "0", "--max-steps", str(STEPS),
                     "--per-device-train-batch-size", str(rows),
                     "--logging-steps", "1", "--save-steps", "0",
                     "--num-train-epochs", "1000", "--allow-no-stop",
                     d + ("/sft.ft" if tool == "ft-sft" else "/dpo.ft")])
        with open(out + "/o/train.metrics.jsonl") as f:
            at = [json.loads(l)["time"] for l in f if '"loss"' in l]
    return statistics.median(b - a for a, b in zip(at, at[1:])), mb


class Turns:
    """Pairs of times; theirs is what its own process says of itself."""

    def __init__(self, what, unit, work):
        self.what, self.unit, self.work = what, unit, work
        self.ours, self.theirs, self.mb = [], [], 0

    def add(self, ours, theirs, mb):
        self.ours.append(ours)
        self.theirs.append(theirs)
        self.mb = max(self.mb, mb)

    def print(self):
        r = [b / a for a, b in zip(self.ours, self.theirs)]
        rate = lambda t: self.work / statistics.median(t)
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{self.what}\t{self.unit}\t{rate(self.ours):.4g}\t"
              f"{rate(self.theirs):.4g}\t{statistics.median(r):.3f} "
              f"({min(r):.3f} - {max(r):.3f})\t{self.mb:.0f}\t{own:.0f}",
              flush=True)


def peft_model(d, dtype):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM
    m = AutoModelForCausalLM.from_pretrained(d + "/model",
                                             dtype=getattr(torch, dtype))
    return get_peft_model(m, LoraConfig(r=RANK, lora_alpha=32,
                                        target_modules="all-linear"))


def sft(d, pairs, dtype, ours="bfloat16"):
    import torch
    m = peft_model(d, dtype)
    x = torch.tensor([[1] + ids(i, LENGTH - 2) + [2] for i in range(ROWS)])
    opt = torch.optim.AdamW([p for p in m.parameters() if p.requires_grad],
                            lr=1e-4)
    t = Turns(f"LoRA SFT, torch + PEFT {dtype}", "tok/s", x.numel())
    for i in range(pairs + 1):
        start = time.monotonic()
        m(input_ids=x, labels=x).loss.backward()
        opt.step()
        opt.zero_grad()
        took = time.monotonic() - start
        if i:
            t.add(*(lambda s, mb: (s, took, mb))(
                *our_steps(d, "ft-sft", ROWS, ours)))
    t.print()


def in_turns(t, d, tool, rows, pairs):
    """A callback of a trainer: after each of its steps, ours."""
    from transformers import TrainerCallback

    class Callback(TrainerCallback):
        def on_step_begin(self, *a, **k):
            self.start = time.monotonic()

        def on_step_end(self, args, state, control, **k):
            took = time.monotonic() - self.start
            if state.global_step > 1:
                s, mb = our_steps(d, tool, rows, "bfloat16")
                t.add(s, took, mb)

    return Callback()


def arguments(out, rows, pairs):
    return dict(output_dir=out, use_cpu=True, bf16=True, max_length=None,
                per_device_train_batch_size=rows, max_steps=pairs + 1,
                learning_rate=1e-4, logging_steps=1000, save_strategy="no",
                report_to="none", disable_tqdm=True)


def word_tokenizer():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(
            {"<pad>": 0, "<s>": 1, "</s>": 2}, unk_token="<pad>")),
        pad_token="<pad>", bos_token="<s>", eos_token="</s>")


def read(path):
    with open(path) as f:
        return [json.loads(l) for l in f]


def trl_sft(d, pairs):
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer
    rows = read(d + "/sft.jsonl")
    data = Dataset.from_dict({
        "input_ids": [r["prompt_ids"] + r["completion_ids"] for r in rows],
        "completion_mask": [[0] + [1] * len(r["completion_ids"])
                            for r in rows]})
    t = Turns("LoRA SFT, TRL's trainer", "tok/s", ROWS * LENGTH)
    with tempfile.TemporaryDirectory() as out:
        SFTTrainer(model=peft_model(d, "bfloat16"), train_dataset=data,
                   processing_class=word_tokenizer(),
                   args=SFTConfig(completion_only_loss=True,
                                  num_train_epochs=1000,
                                  **arguments(out, ROWS, pairs)),
                   callbacks=[in_turns(t, d, "ft-sft", ROWS, pairs)]).train()
    t.print()


def trl_dpo(d, pairs):
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    class Tokenized(DPOTrainer):
        def _prepare_dataset(self, dataset, *a, **k):
            return dataset  # its ids are there already

    rows = read(d + "/dpo.jsonl")
    data = Dataset.from_dict({k: [r[k] for r in rows] for k in rows[0]})
    t = Turns("LoRA DPO, TRL's trainer", "pairs/s", PAIRS)
    with tempfile.TemporaryDirectory() as out:
        Tokenized(model=peft_model(d, "bfloat16"), train_dataset=data,
                  processing_class=word_tokenizer(),
                  args=DPOConfig(num_train_epochs=1000,
                                 **arguments(out, PAIRS, pairs)),
                  callbacks=[in_turns(t, d, "ft-dpo", PAIRS, pairs)]).train()
    t.print()


def our_tokens(d, n, batch):
    """Seconds for n new tokens of each of batch prompts, of many more, start
    and prompt taken off by a run of few."""
    with tempfile.TemporaryDirectory() as out:
        with open(out + "/p", "w") as f:
            for i in range(batch):
                print(json.dumps({"prompt_ids": [1] + ids(i, 31)}), file=f)
        took, mb = [], 0
        for k in 8, MORE * n + 8:
            s, m = run(["ft-generate", "-q", "-m", d + "/model", "--dtype",
                        "bfloat16", "--temperature", "0", "--max-new-tokens",
                        str(k), "--batch-size", str(batch),
                        out + "/p", "-o", out + "/o"])
            took.append(s)
            mb = max(m, mb)
    return (took[1] - took[0]) / MORE, mb


def generate(d, pairs, batch):
    import torch
    from transformers import AutoModelForCausalLM
    m = AutoModelForCausalLM.from_pretrained(d + "/model",
                                             dtype=torch.bfloat16)
    x = torch.tensor([[1] + ids(i, 31) for i in range(batch)])
    n = 64

    def theirs(k):
        start = time.monotonic()
        m.generate(x, max_new_tokens=k, min_new_tokens=k, do_sample=False,
                   pad_token_id=0)
        return time.monotonic() - start

    t = Turns(f"greedy decoding, {batch} at a time", "tok/s", n * batch)
    theirs(8)
    for _ in range(pairs):
        took = theirs(n + 8) - theirs(8)
        s, mb = our_tokens(d, n, batch)
        t.add(s, took, mb)
    t.print()


START = """
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM
m = get_peft_model(AutoModelForCausalLM.from_pretrained(%r,
    dtype=torch.bfloat16), LoraConfig(r=%d, target_modules="all-linear"))
x = torch.ones(1, 16, dtype=torch.long)
m(input_ids=x, labels=x).loss.backward()
"""


def start(d, pairs):
    """From exec to the end of a first short step."""
    with tempfile.TemporaryDirectory() as tmp:
        with open(tmp + "/r", "w") as f:
            print(json.dumps({"prompt_ids": [1], "completion_ids":
                              ids(1, 14) + [2]}), file=f)
        run(["ft-tokenize", "-q", "-m", d + "/model", tmp + "/r", "-o",
             tmp + "/s"])
        t = Turns("start to the end of a first step", "per s", 1)
        for i in range(pairs):
            theirs, _ = run([sys.executable, "-c",
                             START % (d + "/model", RANK)])
            ours, mb = run(["ft-sft", "-q", "-m", d + "/model", "-o",
                            f"{tmp}/o{i}", "--max-steps", "1", "--save-steps",
                            "0", "--dtype", "bfloat16", tmp + "/s"])
            t.add(ours, theirs, mb)
        t.print()


WHAT = {
    "sft": [lambda d, n: sft(d, n, "bfloat16"),
            lambda d, n: sft(d, n, "float32", "float32")],
    "trl-sft": [trl_sft],
    "trl-dpo": [trl_dpo],
    "generate": [lambda d, n: generate(d, n, 1),
                 lambda d, n: generate(d, n, 8)],
    "start": [start],
}


def apart(f):
    """In a process of its own, whose peak memory is that of f."""
    pid = os.fork()
    if not pid:
        f()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if status:
        sys.exit(1)


def main():
    a = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawTextHelpFormatter)
    a.add_argument("-p", "--pairs", type=int, default=10)
    a.add_argument("-d", "--dir", default=None, help="keeps the model here")
    a.add_argument("what", nargs="*")
    o = a.parse_args()
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    with tempfile.TemporaryDirectory() as tmp:
        d = o.dir or tmp
        os.makedirs(d, exist_ok=True)
        if not os.path.exists(d + "/dpo.ft"):
            apart(lambda: make(d))
        print("what\tunit\tours\ttheirs\tratio (least - greatest)\t"
              "MB of ours\tMB of theirs", flush=True)
        for name in o.what or WHAT:
            if name not in WHAT:
                sys.exit(f"peers.py: '{name}' is none of {', '.join(WHAT)}")
            for f in WHAT[name]:
                apart(lambda: f(d, o.pairs))


if __name__ == "__main__":
    main()
