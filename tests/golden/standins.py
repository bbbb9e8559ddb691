# SPDX-License-Identifier: MIT
"""Texts for diff_tokenizers, and stand-ins for tokenizers that are not there.

Vocabularies carry their models' licences, and some cannot be had.  What stands
in for them has their shape and size: parts as in their files around a
vocabulary that was put together or trained here.
"""
import glob
import json
import os
import subprocess
import sysconfig

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

import vary

QWEN, LLAMA3, O200K, DEEPSEEK_V3 = vary.KNOWN[1], vary.KNOWN[2], vary.KNOWN[4], vary.KNOWN[5]
LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


def texts(data):
    """Code, prose and what is in the conformance sets, a few KB each."""
    for path in sorted(glob.glob(os.path.join(data, "conformance/*.jsonl"))):
        with open(path, encoding="utf-8") as f:
            yield from (json.loads(row)["text"] for row in f)
    sources = [python_files(), dart(data)]
    while sources:
        for s in list(sources):
            text = next(s, None)
            if text is None:
                sources.remove(s)
            else:
                yield from (text[at:at + 20000] for at in range(0, len(text), 20000))


def dart(data):
    path = os.path.join(data, "dart/corpus.jsonl.zst")
    p = subprocess.Popen(["zstd", "-dcq", path], stdout=subprocess.PIPE)
    with p.stdout:
        for row in p.stdout:
            yield json.loads(row)["text"]


def python_files():
    roots = [sysconfig.get_path("purelib"), sysconfig.get_path("stdlib")]
    for root in roots:
        for path in sorted(glob.glob(root + "/**/*.*", recursive=True)):
            if path.endswith((".py", ".md", ".rst", ".txt")):
                with open(path, encoding="utf-8", errors="replace") as f:
                    yield f.read(200000)


def split(regex, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": invert}


def sequence(key, *parts):
    return {"type": "Sequence", key: list(parts)}


def added(ids, content, **flags):
    token = dict(id=ids, content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
    return dict(token, **flags)


def template(*pieces, **ids):
    single = [{"Sequence": {"id": p, "type_id": 0}} if p == "A" else {"SpecialToken": {"id": p, "type_id": 0}} for p in pieces]
    return {"type": "TemplateProcessing", "single": single, "pair": single,
            "special_tokens": {p: {"id": p, "ids": [ids[p[1:-1]]], "tokens": [p]} for p in pieces if p != "A"}}


def file(model, tokens, normalizer, pre, post, decoder):
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": tokens, "normalizer": normalizer,
            "pre_tokenizer": pre, "post_processor": post, "decoder": decoder, "model": model}


def reshaped(path, tokens=(), **parts):
    """A file whose model stays, with other parts and more added tokens."""
    with open(path, encoding="utf-8") as f:
        j = json.load(f)
    model = parts.pop("model", {})
    j["model"].update(model)
    j.update(parts)
    at = max([max(j["model"]["vocab"].values())] + [t["id"] for t in j["added_tokens"]]) + 1
    j["added_tokens"] += [added(at + i, t, **flags) for i, (t, flags) in enumerate(tokens)]
    return j


def llama3(qwen):
    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"] + ["<|reserved_special_token_%d|>" % i for i in range(253)]
    j = reshaped(qwen, [(t, {}) for t in special], normalizer=None, model={"ignore_merges": True}, decoder=LEVEL,
                 pre_tokenizer=sequence("pretokenizers", split(LLAMA3), LEVEL))
    bos = next(t["id"] for t in j["added_tokens"] if t["content"] == special[0])
    post = template("<|begin_of_text|>", "A", **{"|begin_of_text|": bos})
    j["post_processor"] = sequence("processors", LEVEL, post)
    return j


def spaces(most):
    return [(" " * i, {"normalized": True, "special": False}) for i in range(most, 1, -1)]


def gemma(paths):
    """262,144 pieces, about two merges each; 6,415 added tokens."""
    names = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"] + ["<unused%d>" % i for i in range(99)] + ["\n" * i for i in range(1, 32)]
    names += ["▁" * i for i in range(2, 32)] + ["<table>", "<tr>", "<td>", "<b>", "<start_of_turn>", "<end_of_turn>"]
    special = len(names)
    names += ["<0x%02X>" % b for b in range(256)]
    seen = set(names)
    back = {c: b for b, c in enumerate(vary.LETTERS)}
    words = []
    for path in paths:
        with open(path, encoding="utf-8") as f:
            vocab = json.load(f)["model"]["vocab"]
        for t in sorted(vocab, key=vocab.get):
            if all(c in back for c in t) and "▁" not in t:
                t = bytes(back[c] for c in t).decode("utf-8", "replace").replace(" ", "▁")
            if t and "\ufffd" not in t and t not in seen and "\n" not in t:
                seen.add(t)
                words.append(t)
    chars = sorted({c for t in words for c in t} - seen)
    reserved = ["<reserved_%d>" % i for i in range(6415 - special)]
    words = words[:262144 - len(names) - len(chars) - len(reserved)]
    names += words + reserved + chars
    vocab = {t: i for i, t in enumerate(names)}
    merges = []
    for t in words:
        cuts = [(t[:i], t[i:]) for i in range(1, len(t)) if t[:i] in vocab and t[i:] in vocab]
        merges += [list(m) for m in sorted(cuts, key=lambda m: (vocab[m[0]], vocab[m[1]]))]
    model = {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None,
             "fuse_unk": True, "byte_fallback": True, "ignore_merges": False, "vocab": vocab, "merges": merges}
    tokens = [added(vocab[t], t, special=i < 5) for i, t in enumerate(names[:special] + reserved)]
    tokens.append(added(len(names), "<image_soft_token>"))
    space = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    decoder = sequence("decoders", {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"})
    pre = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    return file(model, tokens, space, pre, template("<bos>", "A", bos=2), decoder)


def trained(data):
    """By the package's trainer, with NeoX's and Falcon's parts around it."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    some = (t for i, t in zip(range(600), texts(data)))
    tok.train_from_iterator(some, trainers.BpeTrainer(
        vocab_size=20000, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return json.loads(tok.to_str())


def make(data, out):
    """Files as they would be found; those whose model is there."""
    at = {os.path.basename(os.path.dirname(p)): p for p in glob.glob(os.path.join(data, "tokenizers/*/tokenizer.json"))}
    made = {}
    base = trained(data)
    path = os.path.join(out, "trained.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(base, f)
    regex = dict(LEVEL, use_regex=True)
    punct = {"type": "Punctuation", "behavior": "Contiguous"}
    digits = {"type": "Digits", "individual_digits": False}
    nfc = {"type": "NFC"}
    made["neox"] = reshaped(path, spaces(24), normalizer=nfc, pre_tokenizer=regex, decoder=regex, post_processor=regex)
    made["falcon"] = reshaped(path, decoder=regex, post_processor=None,
                              pre_tokenizer=sequence("pretokenizers", punct, regex, digits, split("[0-9][0-9][0-9]")))
    made["gpt-4"] = reshaped(path, decoder=LEVEL, pre_tokenizer=sequence("pretokenizers", split(LLAMA3, "Removed", True), LEVEL))
    made["o200k"] = reshaped(path, decoder=LEVEL, pre_tokenizer=sequence("pretokenizers", split(O200K), LEVEL))
    made["deepseek-v3"] = reshaped(path, decoder=LEVEL, normalizer=sequence("normalizers"), pre_tokenizer=sequence(
        "pretokenizers", split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK_V3), LEVEL))
    if "qwen2.5" in at:
        made["llama-3"] = llama3(at["qwen2.5"])
        made["qwen3"] = reshaped(at["qwen2.5"], [(t, {"special": False}) for t in ("<think>", "</think>", "<tool_response>")])
    if "mistral-v0.1" in at:
        made["mistral-v0.3"] = reshaped(at["mistral-v0.1"], [("[control_%d]" % i, {}) for i in range(768)])
    if "codellama-python" in at:
        made["codellama"] = reshaped(at["codellama-python"], [
            ("▁<%s>" % t, {"normalized": n}) for t, n in (("PRE2", False), ("MID2", True), ("SUF2", True))])
    if "qwen2.5" in at and "tinyllama" in at:
        made["gemma"] = gemma([at[k] for k in ("tinyllama", "mistral-v0.1", "qwen2.5", "starcoder2", "deepseek-coder", "phi-2")
                               if k in at])
    for name, j in made.items():
        os.makedirs(os.path.join(out, name))
        with open(os.path.join(out, name, "tokenizer.json"), "w", encoding="utf-8") as f:
            json.dump(j, f, ensure_ascii=False)
    return [os.path.join(out, name, "tokenizer.json") for name in made]
