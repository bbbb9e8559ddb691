#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make tests/data/tiny/*: python3 gen_tiny.py [OUT]

A model that the tools' tests train and sample: a random Llama with a byte-level
tokenizer of some merges, small enough that a step takes about a millisecond.
"""
import collections
import os
import sys

from cases import config, random_model, save_file, torch, write_json

TEXT = """import 'package:flutter/material.dart';
class Counter extends StatelessWidget {
  const Counter({super.key, required this.count});
  final int count;
  @override
  Widget build(BuildContext context) => Text('count: $count');
}
Write a widget that shows the title in the center of the screen.
Add a button that sets the state of the counter to the next value.
"""
MERGES = 60
SPECIALS = ["<s>", "</s>", "<pad>"]


def byte_letters():
    """GPT-2's printable letter for each byte."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    out, n = {}, 0
    for b in range(256):
        if b in keep:
            out[b] = chr(b)
        else:
            out[b] = chr(256 + n)
            n += 1
    return out


def train(text, n):
    """Byte-level BPE over words that begin with their space."""
    letters = byte_letters()
    words = [[letters[b] for b in w.encode()]
             for w in text.replace("\n", " \n ").replace(" ", "\0 ").split("\0")]
    merges = []
    for _ in range(n):
        count = collections.Counter(p for w in words for p in zip(w, w[1:]))
        best = max(count, key=lambda p: (count[p], p))
        merges.append(best)
        for w in words:
            i = 0
            while i + 1 < len(w):
                if (w[i], w[i + 1]) == best:
                    w[i:i + 2] = ["".join(best)]
                i += 1
    return letters, merges


def tokenizer():
    letters, merges = train(TEXT, MERGES)
    names = SPECIALS + list(letters.values()) + ["".join(m) for m in merges]
    assert len(set(names)) == len(names)
    bpe = dict(type="BPE", dropout=None, unk_token=None,
               continuing_subword_prefix=None, end_of_word_suffix=None,
               fuse_unk=False, byte_fallback=False, ignore_merges=False,
               vocab={t: i for i, t in enumerate(names)},
               merges=[list(m) for m in merges])
    added = [dict(id=i, content=t, single_word=False, lstrip=False,
                  rstrip=False, normalized=False, special=True)
             for i, t in enumerate(SPECIALS)]
    split = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True,
                 use_regex=True)
    return len(names), dict(
        version="1.0", truncation=None, padding=None, added_tokens=added,
        normalizer=None, pre_tokenizer=split, post_processor=dict(
            type="TemplateProcessing",
            single=[{"SpecialToken": {"id": "<s>", "type_id": 0}},
                    {"Sequence": {"id": "A", "type_id": 0}}],
            pair=[{"Sequence": {"id": "A", "type_id": 0}},
                  {"Sequence": {"id": "B", "type_id": 1}}],
            special_tokens={"<s>": dict(id="<s>", ids=[0], tokens=["<s>"])}),
        decoder=split, model=bpe)


def main(out):
    os.makedirs(out, exist_ok=True)
    vocab, tok = tokenizer()
    c = config(hidden_size=32, intermediate_size=64, num_attention_heads=4,
               num_key_value_heads=2, vocab_size=vocab, bos_token_id=0,
               eos_token_id=1, tie_word_embeddings=True)
    c["torch_dtype"] = "bfloat16"
    weights = random_model(c, 7, torch.bfloat16)
    save_file(weights, os.path.join(out, "model.safetensors"),
              metadata={"format": "pt"})
    write_json(os.path.join(out, "config.json"), c)
    write_json(os.path.join(out, "generation_config.json"),
               dict(bos_token_id=0, eos_token_id=1))
    write_json(os.path.join(out, "tokenizer.json"), tok)
    write_json(os.path.join(out, "tokenizer_config.json"),
               dict(bos_token="<s>", eos_token="</s>", pad_token="<pad>",
                    tokenizer_class="PreTrainedTokenizerFast"))


if __name__ == "__main__":
    main(os.path.join(sys.argv[1] if len(sys.argv) > 1 else ".", "tests/data/tiny"))
