# SPDX-License-Identifier: MIT
"""Texts, expressions and tokenizer.json files at random, for diff_tokenizers."""
import json
import unicodedata

WORDS = """the of and to in is that it for was on are with as his they be at one have this from I'm you're we've he'd
she'll it's don't CAN'T isn't void return const final class import static int double String List Map extends @override
print('$x'); {\n  }\n\n [i] = 0; != == => // # 10 2024 3.14 0xFF 1,000 http://x.y/z?a=b&c a_b camelCase snake_case
Grüße naïve café Ελληνικά русский текст हिन्दी العربية 日本語の文章 中文分词 한국어 ไทย עברית Việt ﬁ ﬆ ½ Ⅷ ٣ ⑦ １２ ²³ 🎉 👨‍👩‍👧 e\u0301 a\u0301\u0323 \u1e69
ſ K İ ß Å \u0130 \u1100\u1161\u11a8 각 \u0344 \u2126 ≠""".split(" ")
SPACES = [" ", " ", " ", " ", "  ", "   ", "\n", "\n\n", "\t", "\r\n", " \n ", "\u00a0", "\u3000", "\u2003", "\u0085", "\u2028",
          "\u200b", "\u180e", "\x0b", "\u1680 "]


def a_char(rng):
    while True:
        c = rng.choice((rng.randrange(128), rng.randrange(0x800), rng.randrange(0x3000), rng.randrange(0x300, 0x370),
                        rng.randrange(0x3000, 0xD800), rng.randrange(0x1100, 0x1200), rng.randrange(0x10000, 0x20000),
                        rng.randrange(0x110000)))
        if not 0xD800 <= c < 0xE000:
            return chr(c)


def a_text(rng, parts=(), size=12):
    out = []
    for _ in range(rng.randrange(1, size)):
        k = rng.random()
        if k < .45:
            out += [rng.choice(WORDS), rng.choice(SPACES)]
        elif k < .55:
            out.append(rng.choice("ab 1\n'é▁日.") * rng.randrange(1, 9))
        elif k < .75 and parts:
            out += [rng.choice(parts), rng.choice(SPACES) if rng.random() < .5 else ""]
        elif k < .85:
            out += [a_char(rng) for _ in range(rng.randrange(1, 6))]
        else:
            # bytes made valid
            out.append(rng.randbytes(rng.randrange(1, 12)).decode("utf-8", "replace"))
    return "".join(out)


# --- regular expressions ----------------------------------------------------

SETS = [r"\s", r"\S", r"\w", r"\W", r"\d", r"\D", r"\p{L}", r"\P{L}", r"\p{N}", r"\p{P}", r"\p{S}", r"\p{M}", r"\p{Lu}",
        r"\p{Ll}", r"\p{^L}", r"\p{Han}", ".", "a", "b", " ", "'", "\n", "1", "é", r"\.", r"\n", r"\-", r"\\",
        "[a-z]", "[^a-z]", r"[\r\n]", r"[^\r\n\p{L}\p{N}]", r"[^\s\p{L}\p{N}]", r"[\p{L}\p{M}]", "[0-9]", "[一-龥ࠀ-一가-퟿]",
        r"[!-/:-~]", r"[^\S\n]", r"[ab[cd]]", r"[a\-z]", r"[-a]", r"[a-]", r"[\s\S]"]
KNOWN = [
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
    .replace("}+|", "}|"),
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[一-龥぀-ゟ゠-ヿ]+", r"\p{N}{1,3}", r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", "[0-9][0-9][0-9]",
    r" ?[^(\s|[.,!?…。，、।۔،])]+",
]


def an_expression(rng, depth=0):
    k = rng.random()
    if depth == 0 and k < .35:
        return rng.choice(KNOWN)
    if depth > 2 or k < .45:
        s = rng.choice(SETS)
        return s + rng.choice(["", "", "", "?", "*", "+", "+", "{2}", "{1,3}", "{2,}", "{,2}", "??", "*?", "+?", "?+", "*+", "++"])
    if k < .65:
        return "".join(an_expression(rng, depth + 1) for _ in range(rng.randrange(1, 4)))
    if k < .8:
        s = "|".join(an_expression(rng, depth + 1) for _ in range(rng.randrange(1, 4)))
        return s if depth == 0 else "(?:%s)" % s + rng.choice(["", "", "?", "+", "*", "{1,2}", "+?"])
    if k < .86:
        return "(?i:%s)" % rng.choice(["'s|'t|'ll", "[sk]", "[a-z]", "ab", "k", "[^s]", "a|bc"])
    if k < .94:
        return an_expression(rng, depth + 1) + rng.choice("=!").join(["(?", ""]) + rng.choice(SETS) + ")"
    return an_expression(rng, depth + 1) + "$"


# --- components -------------------------------------------------------------

BEHAVIOURS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]


def a_pattern(rng):
    if rng.random() < .3:
        return {"String": rng.choice([" ", "a", "▁", "  ", "ab", "\n", ".", "日", "e\u0301", "-", "\\"])}
    return {"Regex": an_expression(rng)}


def a_normalizer(rng):
    flag = lambda: rng.random() < .5
    kind = rng.choice(["NFC", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Strip", "Prepend", "Replace",
                       "Replace", "ByteLevel"])
    v = {"type": kind}
    if kind == "Strip":
        v.update(strip_left=flag(), strip_right=flag())
    elif kind == "Prepend":
        v["prepend"] = rng.choice(["▁", "x y", " "])
    elif kind == "Replace":
        v.update(pattern=a_pattern(rng), content=rng.choice(["", " ", "▁", "zz", "é"]))
    return v


def a_pretokenizer(rng):
    flag = lambda: rng.random() < .5
    kind = rng.choice(["Split"] * 6 + ["ByteLevel", "ByteLevel", "Digits", "Punctuation", "Metaspace", "Whitespace", "FixedLength",
                       "WhitespaceSplit", "CharDelimiterSplit", "BertPreTokenizer"])
    v = {"type": kind}
    if kind == "Split":
        v.update(pattern=a_pattern(rng), behavior=rng.choice(BEHAVIOURS), invert=flag())
    elif kind == "ByteLevel":
        v.update(add_prefix_space=flag(), trim_offsets=flag(), use_regex=flag())
    elif kind == "Digits":
        v["individual_digits"] = flag()
    elif kind == "Punctuation":
        v["behavior"] = rng.choice(BEHAVIOURS)
    elif kind == "Metaspace":
        v.update(replacement=rng.choice("▁▁_"), prepend_scheme=rng.choice(["first", "never", "always"]), split=flag())
    elif kind == "FixedLength":
        v["length"] = rng.randrange(1, 6)
    elif kind == "CharDelimiterSplit":
        v["delimiter"] = rng.choice(" a\n日")
    return v


def a_decoder(rng):
    kind = rng.choice(["ByteLevel", "Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"])
    v = {"type": kind}
    if kind == "ByteLevel":
        v.update(add_prefix_space=True, trim_offsets=True, use_regex=True)
    elif kind == "Replace":
        v.update(pattern=a_pattern(rng), content=rng.choice(["", " ", "zz"]))
    elif kind == "Strip":
        v.update(content=rng.choice(" ▁a"), start=rng.randrange(3), stop=0)
    elif kind == "Metaspace":
        v.update(replacement="▁", prepend_scheme=rng.choice(["first", "never"]), split=True)
    return v


def chain(rng, one, key, most):
    n = rng.randrange(most + 1)
    if not n:
        return None
    if n == 1:
        return one(rng)
    return {"type": "Sequence", key: [one(rng) for _ in range(n)]}


LETTERS = [chr(b) if 33 <= b <= 126 or 161 <= b <= 255 and b != 173 else None for b in range(256)]
for _b in range(256):
    if LETTERS[_b] is None:
        LETTERS[_b] = chr(256 + sum(x is None or ord(x) > 255 for x in LETTERS[:_b]))


def spell(text):
    return "".join(LETTERS[b] for b in text.encode())


def a_model(rng):
    """BPE over letters, characters and bytes, with merges from texts."""
    kind = rng.random()
    if kind < .15:  # one id for each piece
        return {"type": "BPE", "unk_token": "?", "fuse_unk": True, "vocab": {"?": 0}, "merges": []}
    names = ["<unk>"] + LETTERS + list("▁éüß日本語の文русΕλ한각½１\u0301\u0323 \n\t")
    if rng.random() < .5:
        names += ["<0x%02X>" % b for b in range(256) if rng.random() < .97 or kind > .5]
    merges = []
    seen = set(names)
    for _ in range(rng.randrange(400)):
        s = a_text(rng, size=3).replace(" ", rng.choice(" ▁"))
        s = spell(s) if rng.random() < .6 else s
        at, n = rng.randrange(len(s) + 1), rng.randrange(2, 6)
        s = s[at:at + n]
        cut = rng.randrange(1, n)
        if s[:cut] and s[cut:] and s[:cut] in seen and s[cut:] in seen:
            merges.append([s[:cut], s[cut:]])
            if s not in seen:
                seen.add(s)
                names.append(s)
    rng.shuffle(merges)
    if rng.random() < .2:
        names += [a_text(rng, size=2)[:6] for _ in range(40)]
    names = list(dict.fromkeys(n for n in names if n))
    model = {"type": "BPE", "dropout": None, "unk_token": rng.choice([None, "<unk>"]), "fuse_unk": rng.random() < .5,
             "byte_fallback": rng.random() < .5, "ignore_merges": rng.random() < .3,
             "vocab": {n: i for i, n in enumerate(names)}, "merges": merges}
    return model


def some_tokens(rng, vocab):
    out, used = [], set()
    for i in range(rng.choice([0, 0, 2, 5, 9])):
        s = rng.choice(["<s>", "</s>", "[x]", "[xy]", "  ", "\t\t", "word", "日本", "é", "e\u0301", "a", "▁", " x", "<|im_start|>",
                        "the", "Å", "õ"]) if rng.random() < .8 else a_text(rng, size=2)[:8]
        if not s or s in used:
            continue
        used.add(s)
        flag = lambda p: rng.random() < p
        out.append(dict(id=len(vocab) + i, content=s, single_word=flag(.2), lstrip=flag(.2), rstrip=flag(.2),
                        normalized=flag(.5), special=flag(.5)))
    return out


def a_tokenizer(rng):
    model = a_model(rng)
    post = None
    if rng.random() < .4:
        piece = [{"SpecialToken": {"id": "X", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
        if rng.random() < .5:
            piece.append(piece[0])
        post = {"type": "TemplateProcessing", "single": piece, "pair": piece,
                "special_tokens": {"X": {"id": "X", "ids": [0], "tokens": ["?"]}}}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": some_tokens(rng, model["vocab"]),
            "normalizer": chain(rng, a_normalizer, "normalizers", 3),
            "pre_tokenizer": chain(rng, a_pretokenizer, "pretokenizers", 3),
            "post_processor": post, "decoder": chain(rng, a_decoder, "decoders", 4), "model": model}


def normal_probe(form):
    """A tokenizer whose ids are the bytes of the normalized text."""
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    return {"version": "1.0", "added_tokens": [], "normalizer": {"type": form}, "pre_tokenizer": level,
            "post_processor": None, "decoder": None,
            "model": {"type": "BPE", "vocab": {c: i for i, c in enumerate(LETTERS)}, "merges": []}}


def normal_texts():
    """All characters, all pairs that compose, and marks in every order."""
    chars = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for at in range(0, len(chars), 64):
        yield " ".join(map(chr, chars[at:at + 64]))
    pairs = []
    for c in chars:
        d = unicodedata.decomposition(chr(c)).split()
        if len(d) == 2 and d[0][0] != "<":
            pairs.append("".join(chr(int(x, 16)) for x in d))
    pairs += [chr(0x1100 + i) + chr(0x1161 + i) + chr(0x11A8 + i) for i in range(19)]
    marks = [chr(c) for c in chars if unicodedata.combining(chr(c))]
    for at in range(0, len(pairs), 32):
        yield "x".join(pairs[at:at + 32])
        yield "".join(pairs[at:at + 32])
    for i, m in enumerate(marks):
        for k in (1, 7, 31, 101):
            o = marks[(i * k + k) % len(marks)]
            yield "a%s%s%sé%s%s" % (m, o, marks[(i + k) % len(marks)], o, m)


if __name__ == "__main__":
    import random
    print(json.dumps(a_tokenizer(random.Random(1)), ensure_ascii=False)[:2000])
