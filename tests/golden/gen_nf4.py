#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make tests/data/golden/nf4/*: python3 gen_nf4.py [OUT]

A small Llama in bfloat16 whose linears bitsandbytes quantises to NF4: nested/
with double quantization, of float32; plain/ without, of bfloat16, one linear
left as it is.  What both become again (SHA-256 of float32, by sorted name),
and what transformers and PEFT compute with that: log-probs, the SFT loss and
LoRA's gradients.
"""
import hashlib
import sys

import bitsandbytes.functional as bnb

from cases import *

LEFT = "model.layers.0.self_attn.k_proj.weight"


def is_linear(name):
    return "_proj.weight" in name


def near(q, absmax):
    """Are 8-bit codes the nearest?  bitsandbytes' own search on a CPU need
    not find them; here it has to, so that one file serves for both."""
    offset = absmax.double().mean().float()
    assert torch.equal(q.offset.float(), offset)
    for g in range(0, len(absmax), 256):
        x = absmax[g:g + 256] - offset
        x = x * (1 / x.abs().max())
        code = q.state2.code.double()
        best = (x[:, None].double() - code[None]).abs().argmin(1)
        assert torch.equal(best.to(torch.uint8), q.absmax[g:g + 256])


def quantise(weights, dtype, nested, left):
    """The tensors of a checkpoint, and what its linears become again."""
    out, again = {}, {}
    for name, w in weights.items():
        if not is_linear(name) or name == left:
            out[name] = w
            continue
        w = w.to(dtype)
        code, q = bnb.quantize_4bit(w, quant_type="nf4", blocksize=64,
                                    compress_statistics=nested)
        if nested:
            _, plain = bnb.quantize_4bit(w, quant_type="nf4", blocksize=64)
            near(q, plain.absmax)
        out[name] = code
        for key, value in q.as_dict(packed=True).items():
            out["%s.%s" % (name, key)] = value
        again[name] = bnb.dequantize_4bit(code, q).float()
    return out, again


def digest(again):
    h = hashlib.sha256()
    for _, w in sorted(again.items()):
        h.update(w.contiguous().numpy().tobytes())
    return h.hexdigest()


def write_model(path, c, tensors):
    fresh(path)
    write_json(os.path.join(path, "config.json"), c)
    save(os.path.join(path, "model.safetensors"), tensors, {"format": "pt"})


def quantised(c, nested):
    return dict(c, quantization_config=dict(
        quant_method="bitsandbytes", load_in_4bit=True, load_in_8bit=False,
        bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=nested,
        bnb_4bit_compute_dtype="float32", bnb_4bit_quant_storage="uint8",
        llm_int8_skip_modules=None if nested else ["lm_head", "k_proj"]))


def open_again(c, weights, again):
    from transformers import LlamaConfig, LlamaForCausalLM
    m = LlamaForCausalLM(LlamaConfig(**c, attn_implementation="eager"))
    m.load_state_dict({k: again.get(k, w).float()
                       for k, w in weights.items()}, strict=False)
    m.tie_weights()
    m.eval()
    return m


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else "."
    path = os.path.join(out, "tests/data/golden/nf4")
    # rows of no whole blocks, more blocks than a group has, odd ends
    c = config(hidden_size=72, intermediate_size=250, num_hidden_layers=1,
               num_attention_heads=6, num_key_value_heads=2,
               tie_word_embeddings=True, vocab_size=61)
    weights = random_model(c, 900, torch.bfloat16, 1.0, 1.2)
    write_model(path, c, weights)
    rng = np.random.default_rng(901)
    rows = random_rows(rng, c["vocab_size"], SFT_ROWS)
    pairs = random_rows(rng, c["vocab_size"], PAIR_ROWS)
    t = rows_tensors(rows, "sft.") | rows_tensors(pairs, "pair.")

    one, plain = quantise(weights, torch.bfloat16, False, LEFT)
    write_model(os.path.join(path, "plain"), quantised(c, False), one)
    with torch.no_grad():
        t["plain.logps"] = sft(open_again(c, weights, plain), rows)[1]

    one, nested = quantise(weights, torch.float32, True, None)
    write_model(os.path.join(path, "nested"), quantised(c, True), one)
    m = open_again(c, weights, nested)
    with torch.no_grad():
        t["sft.logps"] = sft(m, rows)[1]
    peft = with_adapter(m, 902, "all-linear")
    save_adapter(peft, os.path.join(path, "adapter"), "nf4")
    loss, t["sft.lora.logps"] = sft(peft, rows)
    t["sft.lora.loss"] = loss.detach().reshape(1)
    t["sft.lora.grad"] = gradient(loss, trained(peft, True))
    save_expect(path, t, {}, nested=digest(nested), plain=digest(plain))


if __name__ == "__main__":
    main()
