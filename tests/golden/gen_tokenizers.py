#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make tests/data/tok/*: python3 gen_tokenizers.py OUT

Small tokenizers trained on the text below, and what the tokenizers package
(0.23.3) makes of texts with them, the first three of kinds that were here first
and one of each shape that model families have: ids plain, with the template's
tokens, and with special tokens not recognised; character offsets; ids decoded
with and without special tokens.
"""
import json
import os
import random
import sys

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

TEXT = """\
A tokenizer cuts a text into pieces and gives each piece a number. The same
text gives the same numbers every time, and the numbers give the text again.
What is common becomes one piece; what is rare is spelled out, byte by byte.

We don't train on what we haven't read. It's a small rule, and they'll keep
it: you've seen the rows, I'm sure, and he'd count them again if he could.
I'm here; they'll see that we've read it, and he'd say so. I'm 'tis 'em 'round.

void main() {
  final greeting = 'Hello, world!';
  for (var i = 0; i < 10; i++) {
    print('$greeting $i');
  }
  return;
}

class Counter extends Widget {
  const Counter({super.key, required this.count});
  final int count;

  @override
  Widget build(Context context) => Text('count: $count');
}

1 2 3, 10 20 30, 100 200 300: numbers are runs of digits, 3.14 and 2024 too.
Grüße aus Köln, naïve café, Ελληνικά, русский текст, 日本語の文章, हिन्दी, 😀 🎉.
The cat sat on the mat. The other cat sat on the other mat. The mats were flat.
"""
HARD = ["", " ", "  ", "a", " a", "a ", "  a  b", "\n", "\n\n", "\t\tx", "'s", "'S",
        "I'll we've 'tis '", " '", "don't", "x1y22z333", "１２３ ½ Ⅷ ٣", "\u00a0x\u3000y\u2003",
        "a\u0301\u0301", "😀😀", "\u200d", "\ufeff", "𝔘𝔫𝔦", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" * 3,
        "<s>", "</s>", "<s></s>", " <s> ", "a<s>b", "<s> a", "  </s>  </s>x", "[x]", " [x] ", "a[x]b", "a [x] b",
        "[[x]]", "word", "words", " word ", "wordword", "a_word", "▁", "▁▁a", "a▁b", "<0x41>", "<0x0A>\n", "\x00\x01\x7f",
        "日本語の文章です", "русский русский", "end\r\nof\r\nline", "x" * 30 + " " * 30 + "y",
        "".join(c for c in TEXT if c.isascii() and c.isalpha()), "\t\t\t\t\t x \t\t\t\t", "'m'd're'll've's't'M'D"]


def texts(rng, added):
    out = list(HARD)
    alphabet = "abcdeorst  \n\t'’1２½éñжя日本😀▁<>[]_.,;\u00a0\u0301"
    while len(out) < 160:
        parts = []
        for _ in range(rng.randrange(1, 8)):
            k = rng.random()
            if k < .25:
                parts.append(rng.choice(added))
            elif k < .5:
                at = rng.randrange(len(TEXT))
                parts.append(TEXT[at:at + rng.randrange(25)])
            elif k < .6:
                parts.append(rng.choice(alphabet) * rng.randrange(1, 9))
            else:
                parts += [rng.choice(alphabet) for _ in range(rng.randrange(6))]
        out.append("".join(parts))
    return out


def train(pre, size, specials, text, alphabet):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre
    tok.train_from_iterator([text], trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, special_tokens=specials,
        initial_alphabet=alphabet, show_progress=False))
    return json.loads(tok.to_str())


def template(ids):
    piece = [{"SpecialToken": {"id": "<s>", "type_id": 0}},
             {"Sequence": {"id": "A", "type_id": 0}}]
    return {"type": "TemplateProcessing", "single": piece, "pair": piece,
            "special_tokens": {"<s>": {"id": "<s>", "ids": [ids], "tokens": ["<s>"]}}}


def added(ids, content, **flags):
    token = dict(id=ids, content=content, single_word=False, lstrip=False,
                 rstrip=False, normalized=False, special=True)
    return dict(token, **flags)


def small():
    """Byte level, GPT-2's split; as ft_bpe_trainer trains it."""
    j = train(pre_tokenizers.ByteLevel(add_prefix_space=False), 512, ["<s>", "</s>"],
              TEXT, pre_tokenizers.ByteLevel.alphabet())
    level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    j["post_processor"] = {"type": "Sequence", "processors": [level, template(0)]}
    j["decoder"] = level
    n = len(j["model"]["vocab"])
    j["added_tokens"] += [added(n, "[x]", single_word=True, lstrip=True, special=False),
                          added(n + 1, "  ", special=False, normalized=True),
                          added(n + 2, "\t\t", lstrip=True, rstrip=True, special=False)]
    return j


def pieces(scheme):
    """Characters and byte tokens; Llama's normalizer or Mistral's Metaspace."""
    j = train(None, 300, ["<unk>", "<s>", "</s>"],
              TEXT[:600].replace("\n", " ").replace(" ", "▁"), [])
    m = j["model"]
    merges = [x for x in m["merges"] if sum(map(len, x)) < 9]
    words = {a for x in merges for a in (x[0], x[1], x[0] + x[1])}
    names = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)]
    names += [t for t in m["vocab"] if (len(t) == 1 or t in words) and t not in names]
    m.update(vocab={t: i for i, t in enumerate(names)}, merges=merges,
             unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    j["post_processor"] = template(1)
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    space = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
    j["decoder"] = {"type": "Sequence", "decoders": [
        space, {"type": "ByteFallback"}, {"type": "Fuse"}, strip]}
    if scheme:
        j["pre_tokenizer"] = {"type": "Metaspace", "replacement": "▁",
                              "prepend_scheme": scheme, "split": True}
    else:
        j["normalizer"] = {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
    n = len(names)
    j["added_tokens"] += [added(n, "[x]", rstrip=True),
                          added(n + 1, "word", single_word=True, normalized=True, special=False)]
    return j


QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}


def split(regex, behavior="Isolated"):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": False}


def sequence(key, *parts):
    return {"type": "Sequence", key: list(parts)}


def byte_level(normalizer, *pre, **model):
    """Byte level, cut by other expressions."""
    j = train(pre_tokenizers.ByteLevel(add_prefix_space=False), 400, ["<s>", "</s>"],
              TEXT, pre_tokenizers.ByteLevel.alphabet())
    j["model"].update(model)
    j["normalizer"] = normalizer
    j["pre_tokenizer"] = sequence("pretokenizers", *pre)
    j["post_processor"] = sequence("processors", LEVEL, template(0))
    j["decoder"] = LEVEL
    n = len(j["model"]["vocab"])
    j["added_tokens"] += [added(n, "[x]", normalized=True, special=False),
                          added(n + 1, "\u00e9", normalized=True, special=False)]
    return j


def qwen():
    return byte_level({"type": "NFC"}, split(QWEN % ""), LEVEL)


def llama3():
    return byte_level(None, split(QWEN % "{1,3}"), LEVEL, ignore_merges=True)


def deepseek():
    return byte_level({"type": "Sequence", "normalizers": []}, split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"),
                      split("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"),
                      {"type": "Digits", "individual_digits": True}, LEVEL)


def o200k():
    return byte_level(None, split(O200K), LEVEL)


def falcon():
    return byte_level(None, {"type": "Punctuation", "behavior": "Contiguous"}, dict(LEVEL, use_regex=True),
                      {"type": "Digits", "individual_digits": False}, split("[0-9][0-9][0-9]"))


def gemma():
    """Space signs by Replace, a Split that never cuts, no token for a tab."""
    j = pieces(None)
    space = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    j["normalizer"] = space
    j["pre_tokenizer"] = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    j["decoder"]["decoders"].pop()
    vocab = j["model"]["vocab"]
    vocab["<tab>"] = vocab.pop("<0x09>")
    n = len(vocab) + 2
    j["added_tokens"] += [added(n, "\n\n", special=False), added(n + 1, "\u2581\u2581", special=False)]
    return j


def expect(j, rng):
    tok = Tokenizer.from_str(json.dumps(j))
    strings = [t["content"] for t in j["added_tokens"]]
    size = tok.get_vocab_size()
    for text in texts(rng, strings):
        plain = tok.encode(text, add_special_tokens=False)
        row = {"text": text, "ids": plain.ids, "offsets": [list(o) for o in plain.offsets],
               "special": tok.encode(text).ids}
        tok.encode_special_tokens = True
        row["no_added"] = tok.encode(text, add_special_tokens=False).ids
        tok.encode_special_tokens = False
        row["decode"] = plain.ids if rng.random() < .4 else [
            rng.randrange(size + 2) for _ in range(rng.randrange(12))]
        row["decoded"] = tok.decode(row["decode"], skip_special_tokens=False)
        row["skipped"] = tok.decode(row["decode"], skip_special_tokens=True)
        yield json.dumps(row, ensure_ascii=False)


def main():
    rng = random.Random(1)
    root = os.path.join(sys.argv[1], "tests/data/tok")
    os.makedirs(root, exist_ok=True)
    with open(os.path.join(root, "text.txt"), "w", encoding="utf-8") as f:
        f.write(TEXT)
    for name, j in (("small", small()), ("spm", pieces(None)), ("metaspace", pieces("first")), ("qwen", qwen()),
                    ("llama3", llama3()), ("deepseek", deepseek()), ("o200k", o200k()), ("falcon", falcon()),
                    ("gemma", gemma())):
        d = os.path.join(root, name)
        os.makedirs(d, exist_ok=True)
        files = {"tokenizer.json": json.dumps(j, ensure_ascii=False) + "\n",
                 "tokenizer_config.json": json.dumps({"bos_token": "<s>", "eos_token": {
                     "content": "</s>", "special": True}}) + "\n",
                 "expect.jsonl": "\n".join(expect(j, rng)) + "\n"}
        for k, v in files.items():
            with open(os.path.join(d, k), "w", encoding="utf-8") as f:
                f.write(v)


main()
