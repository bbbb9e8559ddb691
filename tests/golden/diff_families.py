#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Random models of random configurations: diff_families.py OUT N [SEED]

Each becomes a folder of OUT as gen_families.py makes them, for
test_golden OUT/FOLDER.  Keys are left out at random, so that defaults count.
"""
import random
import sys

import gen_families as g
from cases import *


def rope(r, kw, c):
    kind = r.choice(["none", "linear", "llama3", "yarn"])
    if kind == "none":
        return
    s = dict(rope_type=kind, factor=r.choice([1.5, 2.0, 8.0]))
    if kind == "llama3":
        s |= dict(low_freq_factor=1.0, high_freq_factor=r.choice([2.0, 4.0]))
    if kind == "yarn" and r.random() < 0.5:
        s |= dict(beta_fast=r.choice([2, 16.0]), beta_slow=r.choice([0.25, 1]))
    if kind == "yarn" and r.random() < 0.3:
        s |= dict(truncate=False)
    if kind == "yarn" and r.random() < 0.3:
        s |= dict(attention_factor=1.3)
    elif kind == "yarn" and r.random() < 0.5:
        s |= dict(mscale=0.7, mscale_all_dim=1.2)
    if kind != "linear":
        s["original_max_position_embeddings"] = r.choice([8, 24, 64])
    kw["rope"] = s


def some(r, **options):
    """Each key at random with one of its values, or not at all."""
    return {k: r.choice(v) for k, v in options.items() if r.random() < 0.7}


def draw(r, kind):
    heads = r.choice([2, 4, 6])
    kv = r.choice([n for n in (1, 2, 3, heads) if heads % n == 0])
    d = r.choice([4, 6, 8, 10])
    layers = r.randint(1, 4)
    if kind == "gpt2":
        return dict(n_embd=heads * d, n_head=heads, n_layer=layers) | some(
            r, n_inner=[None, 20, 52], layer_norm_epsilon=[1e-2, 1e-4],
            activation_function=["gelu_new", "gelu", "relu", "silu"],
            scale_attn_by_inverse_layer_idx=[True, False],
            scale_attn_weights=[True, False],
            tie_word_embeddings=[True, False])
    kw = dict(num_attention_heads=heads, num_key_value_heads=kv,
              hidden_size=heads * d, num_hidden_layers=layers,
              intermediate_size=r.choice([20, 33, 48]), v5=r.random() < 0.5)
    kw |= some(r, rope_theta=[100.0, 5000.0, 1e6],
               tie_word_embeddings=[True, False])
    eps = dict(phi="layer_norm_eps", starcoder2="norm_epsilon")
    kw |= some(r, **{eps.get(kind, "rms_norm_eps"): [1e-2, 1e-4]})
    if not kind.startswith("gemma"):
        rope(r, kw, kw)
        kw |= some(r, hidden_act=["silu", "gelu", "gelu_new", "relu",
                                  "gelu_pytorch_tanh"])
    types = [r.choice(["sliding_attention", "full_attention"])
             for _ in range(layers)]
    if kind in ("llama", "mistral"):
        kw |= some(r, head_dim=[4, 12])
    if kind == "llama":
        kw |= some(r, attention_bias=[True], mlp_bias=[True])
    if kind == "mistral":
        kw |= some(r, sliding_window=[1, 3, 7, None])
    if kind in ("qwen2", "qwen3"):
        kw |= some(r, use_sliding_window=[True, False],
                   sliding_window=[2, 5], max_window_layers=[0, 1, 3])
        if kw.get("use_sliding_window") and r.random() < 0.5:
            kw["layer_types"] = types
    if kind == "qwen3":
        kw |= dict(head_dim=r.choice([6, 12])) | some(
            r, attention_bias=[True, False])
    if kind == "phi":
        kw |= some(r, qk_layernorm=[True, False])
        kw["partial_rotary_factor"] = r.choice([0.5, 1.0]) if d % 4 else (
            r.choice([0.5, 0.5, 1.0]))
        if int(d * kw["partial_rotary_factor"]) % 2:
            kw["partial_rotary_factor"] = 1.0
    if kind == "starcoder2":
        kw |= some(r, use_bias=[True, False], sliding_window=[2, 6, None])
    if kind.startswith("gemma"):
        kw |= dict(head_dim=r.choice([6, 12]), query_pre_attn_scalar=r.choice(
            [5, 12, 30]), sliding_window=r.choice([2, 5])) | some(
                r, attention_bias=[True, False],
                hidden_activation=["gelu_pytorch_tanh", "gelu", "silu"],
                attn_logit_softcapping=[2.0, None],
                final_logit_softcapping=[4.0, None])
        if r.random() < 0.5:
            kw["layer_types"] = types
        elif kind != "gemma2":
            kw |= some(r, sliding_window_pattern=[1, 2, 3])
    if kind == "gemma2":
        rope(r, kw, kw)
    if kind in ("gemma3", "gemma3_text"):
        kw |= some(r, rope_local_base_freq=[30.0, 1e4])
        if r.random() < 0.5:
            kw["rope"] = dict(rope_type="linear", factor=3.0)
    return kw


def nested_rope(c):
    """Gemma 3 as transformers 5 writes it: one for each kind of layer."""
    t = c.get("text_config", c)
    p = t.pop("rope_parameters", None)
    if p is None:
        return
    t["rope_parameters"] = dict(
        full_attention=p, sliding_attention=dict(
            rope_type="default",
            rope_theta=t.pop("rope_local_base_freq", 10000.0)))


KINDS = ["llama", "mistral", "qwen2", "qwen3", "phi", "starcoder2", "gpt2",
         "gemma2", "gemma3_text", "gemma3"]


def main():
    out, n = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    for i in range(seed, seed + n):
        r = random.Random(i)
        kind = KINDS[i % len(KINDS)]
        case = "%s_%d" % (kind, i)
        kw = draw(r, kind)
        c = g.family_config(kind, **kw)
        if kind.startswith("gemma3"):
            nested_rope(c)
        try:
            g.make(case, out, 77 * i + 1, c=c, greedy=False)
        except Exception as e:
            print("# %s: %s" % (case, e), flush=True)
            shutil.rmtree(os.path.join(out, "tests/data/golden", case))


if __name__ == "__main__":
    main()
