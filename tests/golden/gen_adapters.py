#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make tests/data/golden/adapters/*: python3 gen_adapters.py [OUT [CASE]]

Adapters of every kind that PEFT has and we read, on models that the other
gen_*.py made, and what PEFT computes with them: log-probs, losses, gradients,
for some of them AdamW steps, a greedy text.
"""
import sys

from cases import *

HYPER = dict(batch=2, steps=20, warmup=3, decay=0.1, clip=1.0, lr_full=3e-3,
             lr_lora=1e-2)
ALL = "all-linear"
CASES = {
    "patterns": ("gqa_tied", dict(
        target_modules=["q_proj", "k_proj", "v_proj", "down_proj"],
        use_rslora=True,
        rank_pattern={r"^model\.layers\.1\.self_attn\.v_proj": 3,
                      "q_proj": 2, r"(k|down)_proj": 5},
        alpha_pattern={r"layers\.\d+\.mlp\.down_proj": 5, "q_proj": 3.5})),
    "layers": ("qwen3", dict(
        target_modules=["q_proj", "up_proj", "model.layers.0.mlp.down_proj"],
        layers_to_transform=[1], layers_pattern="layers")),
    "regex": ("mistral", dict(
        target_modules=r"model\.layers\.\d+\.(self_attn|mlp)\.\w+_proj",
        exclude_modules=["k_proj", "model.layers.1.mlp.up_proj"])),
    "dora": ("mha", dict(target_modules=ALL, use_dora=True)),
    "dora_phi": ("phi", dict(target_modules=ALL, use_dora=True)),
    "dora_gpt2": ("gpt2_bare", dict(target_modules=ALL, use_dora=True,
                                    fan_in_fan_out=True)),
    "dora_gemma": ("gemma3_text", dict(
        target_modules=["q_proj", "down_proj"], use_dora=True,
        use_rslora=True, modules_to_save=["embed_tokens"])),
    "save": ("bias", dict(target_modules=["q_proj", "o_proj"],
                          modules_to_save=["lm_head", "embed_tokens",
                                           "norm"])),
    "save_tied": ("gqa_tied", dict(target_modules=["v_proj"],
                                   modules_to_save=["lm_head"])),
    "save_gpt2": ("gpt2", dict(target_modules=["c_attn"], fan_in_fan_out=True,
                               modules_to_save=["mlp", "wpe", "ln_f"])),
    "ends": ("bias", dict(target_modules=["embed_tokens", "lm_head",
                                          "v_proj"])),
    "ends_tied": ("gqa_tied", dict(target_modules=["embed_tokens", "k_proj"])),
    "ends_gemma": ("gemma2", dict(target_modules=["embed_tokens", "lm_head",
                                                  "q_proj"])),
    "head_phi": ("phi", dict(target_modules=["lm_head", "fc2"])),
}
STEPS = ("dora", "save", "ends")


def values(peft, seed):
    """Factors at random; what began as the base's, somewhat beside it."""
    rng = np.random.default_rng(seed)
    for name, p in sorted(peft.named_parameters()):
        x = rng.standard_normal(tuple(p.shape))
        if "lora_magnitude" in name or "modules_to_save" in name:
            x = p.detach().numpy() * (1 + 0.2 * x) + 0.02 * x
        elif "lora_embedding_B" in name:
            x *= 0.3
        elif "lora_embedding_A" in name:
            x *= 0.5
        elif "lora_" in name:
            x *= 0.3 if "lora_B" in name else 1.2 / p.shape[1] ** 0.5
        else:
            continue
        p.data.copy_(torch.tensor(x, dtype=torch.float32))
    peft.eval()


def make(case, out, seed):
    base, kw = CASES[case]
    path = fresh(os.path.join(out, "tests/data/golden/adapters", case))
    peft = get_peft_model(
        open_model(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../data/golden", base)),
        LoraConfig(**(dict(r=4, lora_alpha=6, task_type="CAUSAL_LM") | kw)))
    values(peft, seed)
    vocab = peft.config.get_text_config().vocab_size - 4
    rng = np.random.default_rng(seed + 1)
    rows = random_rows(rng, vocab, SFT_ROWS)
    pairs = random_rows(rng, vocab, PAIR_ROWS)
    save_adapter(peft, os.path.join(path, "adapter"), "../../../" + base)
    t, _ = lora_expectations(peft, rows, pairs, ["sigmoid"])
    if case in STEPS:
        t["steps.lora.loss"], t["steps.lora.norm"] = steps(peft, rows, True,
                                                           HYPER)
    t["greedy.prompt"], t["greedy.ids"] = greedy_clear(peft, rng, vocab, 32)
    save_expect(path, t, HYPER, base=base)
    print("%s: loss %.3f" % (case, t["sft.lora.loss"].item()), flush=True)


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else "."
    for i, case in enumerate(CASES):
        if len(sys.argv) < 3 or sys.argv[2] == case:
            make(case, out, 7000 + 10 * i)


if __name__ == "__main__":
    main()
