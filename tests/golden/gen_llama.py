#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make tests/data/golden/*: python3 gen_llama.py [OUT [CASE]]

Small random Llamas of every shape that the engine has to know, and for each
what transformers and PEFT compute with it: log-probs, the SFT loss and four
DPO losses, their gradients, 20 AdamW steps, a greedy text.
"""
import sys

from tokenizers import Tokenizer

from cases import *

LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0,
              high_freq_factor=4.0, original_max_position_embeddings=24)
CASES = {
    "mha": dict(),
    "gqa_tied": dict(hidden_size=24, num_attention_heads=6,
                     num_key_value_heads=2, tie_word_embeddings=True,
                     rms_norm_eps=1e-2, v5=True),
    "bias": dict(attention_bias=True, mlp_bias=True, num_key_value_heads=1,
                 rms_norm_eps=1e-3),
    "head_dim": dict(hidden_size=20, num_attention_heads=4, head_dim=6,
                     num_key_value_heads=2, v5=True),
    "rope_linear": dict(rope=dict(type="linear", factor=4.0),
                        rope_theta=500.0, head_dim=8,
                        num_key_value_heads=2),
    "rope_llama3": dict(rope=LLAMA3, head_dim=8, num_key_value_heads=2,
                        rope_theta=1000.0, v5=True),
    "bf16": dict(num_key_value_heads=2, tie_word_embeddings=True),
    "odd": dict(hidden_size=40, intermediate_size=56, vocab_size=97,
                num_hidden_layers=1, num_attention_heads=5,
                num_key_value_heads=5, tie_word_embeddings=True),
}
ADAPTERS = {
    "gqa_tied": dict(targets=["q_proj", "v_proj", "down_proj"], alpha=6,
                     rslora=True),
    "bias": dict(targets="all-linear", dropout=0.05),
    "odd": dict(targets=["k_proj", "o_proj", "up_proj"], r=3, alpha=16),
}
HYPER = dict(batch=2, steps=20, warmup=3, decay=0.0, clip=1.0, lr_full=3e-3,
             lr_lora=1e-2)
HYPERS = {"bias": dict(decay=0.1, clip=0.5, warmup=5)}


def expectations(peft, rows, pairs, hyper, full=None, dpo_full=True):
    """full limits the parameters whose full gradients are kept."""
    t, policy = lora_expectations(peft, rows, pairs, LOSSES)
    t["steps.lora.loss"], t["steps.lora.norm"] = steps(peft, rows, True, hyper)

    with peft.disable_adapter():
        params = trained(peft, False)
        kept = [x for x in params if full is None or full(x[0])]
        loss, t["sft.logps"] = sft(peft, rows)
        t["sft.loss"], t["sft.full.grad"] = one(loss), gradient(loss, kept)
        if dpo_full:
            # the reference of --full is a frozen copy; any numbers will do
            loss = dpo(pair_sums(peft, pairs), policy, pairs,
                       "sigmoid")
            t["dpo.sigmoid.full.loss"] = one(loss)
            t["dpo.sigmoid.full.grad"] = gradient(loss, kept)
        t["steps.full.loss"], t["steps.full.norm"] = steps(
            peft, rows, False, hyper)
    return t, [n for n, _ in kept]


def rounding(peft, rows, hyper):
    """How far float32 itself is from the truth, by its worst tensor of
    gradients and its worst loss of the steps: where that is much, agreement
    would be luck."""
    far = 0
    for lora in (True, False):
        with contextlib.nullcontext() if lora else peft.disable_adapter():
            params = trained(peft, lora)
            grads = lambda: torch.autograd.grad(
                sft(peft, rows)[0], [p for _, p in params])
            a, la = grads(), steps(peft, rows, lora, hyper)[0]
            with double(peft):
                b, lb = grads(), steps(peft, rows, lora, hyper)[0]
        far = max([far, (la - lb).abs().max().item()]
                  + [((x - y).abs().max() / y.abs().max()).item()
                     for x, y in zip(a, b)])
    return far


def make(case, out, seed):
    kw = dict(CASES[case])
    c = config(**kw)
    path = fresh(os.path.join(out, "tests/data/golden", case))
    dtype = torch.bfloat16 if case == "bf16" else torch.float32
    write_json(os.path.join(path, "config.json"), c)
    save(os.path.join(path, "model.safetensors"),
         random_model(c, seed, dtype, 1.0, 1.2), {"format": "pt"})
    if case == "rope_llama3":
        kw["v5"] = False
        other = fresh(os.path.join(out, "v4"))
        shutil.copy(os.path.join(path, "model.safetensors"), other)
        write_json(os.path.join(other, "config.json"), config(**kw))
    rng = np.random.default_rng(seed + 1)
    rows = random_rows(rng, c["vocab_size"], SFT_ROWS)
    pairs = random_rows(rng, c["vocab_size"], PAIR_ROWS)
    model = open_model(path)
    if case == "rope_llama3":  # both spellings mean the same
        x = torch.tensor([rows[5][0] + rows[5][1][0][0]])
        assert torch.equal(model(x).logits, open_model(other)(x).logits)
        shutil.copy(os.path.join(other, "config.json"),
                    os.path.join(path, "config_v4.json"))
        shutil.rmtree(other)
    peft = with_adapter(model, seed + 2,
                        **ADAPTERS.get(case, dict(targets="all-linear")))
    hyper = HYPER | HYPERS.get(case, {})
    far = rounding(peft, rows, hyper)
    print("%s, seed %d: rounding %.1e" % (case, seed, far), flush=True)
    if far > 2e-5:
        return False
    save_adapter(peft, os.path.join(path, "adapter"), "..")
    t, _ = expectations(peft, rows, pairs, hyper,
                        dpo_full=case in ("mha", "gqa_tied", "bias"))
    with peft.disable_adapter():
        t["greedy.prompt"], t["greedy.ids"] = greedy_clear(
            peft, rng, c["vocab_size"])
    save_expect(path, t, hyper)
    return True


STORIES = [
    ("Once upon a time,", [" there was a little girl named Lily."]),
    ("", ["One day, a big dog ran to the park and saw a red ball."]),
    ("Tom had a new toy. He was very", [" happy.", " sad because it broke."]),
]
STORY_PAIRS = [
    ("Lily went to the", [" store with her mom.", " dog the the sky."]),
    ("The cat was", [" so happy that it jumped up and down.", " not."]),
]


def encode(tok, rows):
    """Prompt and completion as one text; the model's BOS comes first."""
    out = []
    for prompt, texts in rows:
        prefix = tok.encode(prompt).ids if prompt else []
        branches = []
        for t in texts:
            ids = tok.encode(prompt + t).ids
            assert ids[:len(prefix)] == prefix
            branches.append((ids[len(prefix):], [1] * (len(ids) - len(prefix))))
        if not prefix:
            branches[0][1][0] = 0
        out.append((prefix, branches))
    return out


def kept(name):
    """Of a model of 260k, these tensors' gradients."""
    return ("norm" in name or name.endswith("layers.0.self_attn.k_proj.weight")
            or name.endswith("layers.4.self_attn.v_proj.weight")
            or name.endswith("layers.2.self_attn.o_proj.weight"))


def stories(out):
    """Expectations for the shared model stories260K, which stays there."""
    shared = os.environ.get("FT_SHARED", "../shared")
    model = os.path.join(shared, "data/models/stories260K")
    if not os.path.isdir(model):
        print("stories260K: skipped, no shared data at %s" % shared)
        return
    path = fresh(os.path.join(out, "tests/data/golden/stories260K"))
    tok = Tokenizer.from_file(os.path.join(model, "tokenizer.json"))
    rows, pairs = encode(tok, STORIES), encode(tok, STORY_PAIRS)
    hyper = HYPER | dict(batch=1, lr_full=5e-4, lr_lora=5e-3)
    peft = with_adapter(open_model(model), 7, ["q_proj", "v_proj"], b=0.08)
    print("stories260K: rounding %.1e" % rounding(peft, rows, hyper))
    save_adapter(peft, os.path.join(path, "adapter"), "stories260K")
    t, names = expectations(peft, rows, pairs, hyper, kept, False)
    prompt = tok.encode("Once upon a time, there was a").ids
    with peft.disable_adapter():
        ids, lead = greedy(peft, prompt, 64)
    print("stories260K: %r, lead %.1e" % (tok.decode(ids.tolist()), lead))
    t["greedy.prompt"] = torch.tensor(prompt, dtype=torch.int32)
    t["greedy.ids"] = ids
    save_expect(path, t, hyper, full=names)


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else "."
    for i, case in enumerate(CASES):
        if len(sys.argv) < 3 or sys.argv[2] == case:
            seed = 100 + 10 * i
            while not make(case, out, seed):
                seed += 1000
    if len(sys.argv) < 3 or sys.argv[2] == "stories260K":
        stories(out)


if __name__ == "__main__":
    main()
