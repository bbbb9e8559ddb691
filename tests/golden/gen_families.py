#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make tests/data/golden/*: python3 gen_families.py [OUT [CASE]]

Small random models of every family but Llama, each with all that its
configuration can switch on, and for each what transformers and PEFT compute
with it: as gen_llama.py, with no steps.  Windows are shorter than the rows,
epsilons large enough to matter, norms' weights and biases away from 1 and 0.
"""
import sys

from cases import *
from transformers import AutoConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as NAMES)

SIZES = dict(hidden_size=16, intermediate_size=20, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=2, vocab_size=41,
             max_position_embeddings=128, bos_token_id=1, eos_token_id=2)
GPT2 = dict(n_embd=16, n_layer=2, n_head=4, n_positions=80, vocab_size=41,
            bos_token_id=1, eos_token_id=2, resid_pdrop=0.0, embd_pdrop=0.0,
            attn_pdrop=0.0)
YARN = dict(rope_type="yarn", factor=4.0, beta_fast=4.0, beta_slow=0.5,
            truncate=False,
            original_max_position_embeddings=64)
GEMMA = dict(head_dim=6, hidden_activation="gelu_pytorch_tanh",
             rms_norm_eps=1e-2, query_pre_attn_scalar=12, sliding_window=5,
             tie_word_embeddings=True)
CASES = {
    "mistral": dict(sliding_window=5, head_dim=8, rms_norm_eps=1e-2,
                    rope_theta=500.0, tie_word_embeddings=False),
    "qwen2": dict(use_sliding_window=True, sliding_window=4,
                  max_window_layers=1, rms_norm_eps=1e-2, rope_theta=3000.0,
                  tie_word_embeddings=True),
    "qwen2_yarn": dict(rope=YARN, rope_theta=2000.0, rms_norm_eps=1e-3,
                       tie_word_embeddings=False,
                       num_attention_heads=2, num_key_value_heads=1),
    "qwen3": dict(head_dim=6, attention_bias=True, use_sliding_window=True,
                  sliding_window=6, rms_norm_eps=1e-2, v5=True,
                  layer_types=["sliding_attention", "full_attention"],
                  tie_word_embeddings=False),
    "phi": dict(partial_rotary_factor=0.5, qk_layernorm=True,
                hidden_size=24, num_attention_heads=3, num_key_value_heads=3,
                layer_norm_eps=1e-2, hidden_act="gelu_new",
                tie_word_embeddings=False),
    "starcoder2": dict(norm_epsilon=1e-2, sliding_window=6, use_bias=True,
                       hidden_act="gelu_pytorch_tanh", rope_theta=400.0,
                       tie_word_embeddings=True),
    "gpt2": dict(layer_norm_epsilon=1e-2, n_inner=20,
                 activation_function="gelu_new"),
    "gpt2_bare": dict(layer_norm_epsilon=1e-3, activation_function="gelu",
                      scale_attn_by_inverse_layer_idx=True),
    "gemma2": dict(GEMMA, rope_theta=300.0, attn_logit_softcapping=3.0,
                   final_logit_softcapping=5.0, attention_bias=True),
    "gemma3_text": dict(GEMMA, rope_theta=3000.0, rope_local_base_freq=50.0,
                        sliding_window_pattern=2, attention_bias=True,
                        final_logit_softcapping=6.0,
                        rope=dict(rope_type="linear", factor=4.0)),
    "gemma3": dict(GEMMA, rope_theta=3000.0, rope_local_base_freq=50.0,
                   layer_types=["full_attention", "sliding_attention"]),
}
ADAPTERS = {
    "qwen2": dict(targets=["q_proj", "v_proj", "down_proj"], rslora=True),
    "gpt2_bare": dict(targets=["c_attn", "mlp.c_proj"], r=3),
}
# where float32 is far from the truth, agreement would be luck
SEEDS = {"qwen2_yarn": 5500}
VISION = dict(hidden_size=8, intermediate_size=12, num_hidden_layers=1,
              num_attention_heads=2, image_size=8, patch_size=4,
              model_type="siglip_vision_model")


def family_config(case, v5=False, rope=None, **kw):
    """A config.json as transformers 4 writes it, or 5."""
    kind = case if case == "gemma3_text" else case.split("_")[0]
    if kind == "gpt2":
        return dict(GPT2, **kw, model_type="gpt2",
                    architectures=["GPT2LMHeadModel"])
    c = SIZES | kw
    if v5:
        c["rope_parameters"] = dict(
            rope or {"rope_type": "default"},
            rope_theta=c.pop("rope_theta", 10000.0))
    else:
        c["rope_scaling"] = rope
    if kind != "gemma3":
        c["dtype" if v5 else "torch_dtype"] = "float32"
        return c | dict(model_type=kind, architectures=[NAMES[kind]])
    return dict(model_type=kind, torch_dtype="float32",
                architectures=["Gemma3ForConditionalGeneration"],
                bos_token_id=1, eos_token_id=[2, 40], mm_tokens_per_image=1,
                image_token_index=39, boi_token_index=38, eoi_token_index=37,
                text_config=dict(c, model_type="gemma3_text"),
                vision_config=VISION)


def random_weights(model, seed):
    """In the order of names, so that it stays as it is."""
    rng = np.random.default_rng(seed)
    less = type(model).__name__.startswith("Gemma")
    for name, p in sorted(model.named_parameters()):
        x = rng.standard_normal(tuple(p.shape))
        fan = p.shape[-1]
        if "norm" in name or ".ln_" in name:
            x = 0.3 * np.tanh(x) + (not less and name.endswith("weight"))
        elif name.endswith("bias"):
            x *= 0.3
        elif "embed_tokens" in name or "wte" in name or "wpe" in name:
            x *= 0.25 if less else 0.7
        else:
            if any(s in name for s in (".c_attn.", "attn.c_proj.", ".mlp.c_")):
                fan = p.shape[0] if p.ndim == 2 and "Conv1D" in str(
                    type(model.get_submodule(name.rsplit(".", 1)[0]))) else fan
            x *= 1.4 / fan ** 0.5
        p.data.copy_(torch.tensor(x, dtype=torch.float32))


def stored(case, model):
    """The tensors under the names that published checkpoints have."""
    t = dict(model.state_dict())
    if model.config.get_text_config().tie_word_embeddings:
        t.pop("lm_head.weight")
    if case == "gpt2_bare":  # as openai-community has them, with its masks
        t = {k.replace("transformer.", ""): v for k, v in t.items()}
        for i in range(2):
            t["h.%d.attn.bias" % i] = torch.ones(1, 1, 8, 8).tril()
            t["h.%d.attn.masked_bias" % i] = torch.tensor(-1e4)
    if case == "gemma3":
        def old(k):
            if k.startswith("model.language_model."):
                return "language_model.model." + k[21:]
            return k.removeprefix("model.")
        t = {old(k): v for k, v in t.items()}
    return t


def expectations(peft, rows, pairs):
    t, _ = lora_expectations(peft, rows, pairs, ["sigmoid"])
    with peft.disable_adapter():
        params = [(n, p) for n, p in trained(peft, False)
                  if "vision" not in n and "multi_modal" not in n]
        loss, t["sft.logps"] = sft(peft, rows)
        t["sft.loss"] = one(loss)
        t["sft.full.grad"] = gradient(loss, params)
    return t


def make(case, out, seed, c=None, greedy=True):
    path = fresh(os.path.join(out, "tests/data/golden", case))
    write_json(os.path.join(path, "config.json"),
               c or family_config(case, **CASES[case]))
    c = AutoConfig.from_pretrained(path)
    model = getattr(transformers, c.architectures[0])._from_config(
        c, attn_implementation="eager")
    random_weights(model, seed)
    save(os.path.join(path, "model.safetensors"), stored(case, model),
         {"format": "pt"})
    rng = np.random.default_rng(seed + 1)
    rows = random_rows(rng, 37, SFT_ROWS)
    pairs = random_rows(rng, 37, PAIR_ROWS)
    loaded = open_model(path)
    for (n, p), (_, q) in zip(sorted(model.named_parameters()),
                              sorted(loaded.named_parameters())):
        assert torch.equal(p, q), n
    targets = dict(targets="all-linear") | ADAPTERS.get(case, {})
    if case.startswith("gemma3") and not case.startswith("gemma3_text"):
        targets["targets"] = (r".*language_model.*(q|k|v|o|gate|up|down)_proj")
    peft = with_adapter(loaded, seed + 2, **targets)
    save_adapter(peft, os.path.join(path, "adapter"), "..")
    t = expectations(peft, rows, pairs)
    try:
        if not greedy:
            raise SystemExit
        with peft.disable_adapter():
            t["greedy.prompt"], t["greedy.ids"] = greedy_clear(peft, rng, 37)
    except SystemExit:
        if greedy:
            return False
    save_expect(path, t, {})
    print("%s: loss %.3f" % (case, t["sft.loss"].item()), flush=True)
    return True


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else "."
    for i, case in enumerate(CASES):
        if len(sys.argv) < 3 or sys.argv[2] == case:
            seed = SEEDS.get(case, 5000 + 10 * i)
            while not make(case, out, seed):
                seed += 1000
                assert seed < 10000, "no seed will do"


if __name__ == "__main__":
    main()
