# SPDX-License-Identifier: MIT
"""What the gen_*.py scripts share: small Llamas, token rows, and how
transformers, PEFT and TRL compute with them.

Everything is float32 on one thread with eager attention.  The two settings
below pick code paths that do not depend on the processor, so that the same
bytes come out elsewhere; where they do not, tests/lib/golden compares numbers.
"""
import os

os.environ["MKL_CBWR"] = "COMPATIBLE"
os.environ["ATEN_CPU_CAPABILITY"] = "default"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import contextlib
import json
import shutil

import numpy as np
import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
import transformers
from transformers.models.llama import modeling_llama as llama
from transformers.optimization import get_linear_schedule_with_warmup
from transformers.trainer import Trainer

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
BETA = 0.1


def write_json(path, value):
    with open(path, "w") as f:
        f.write(json.dumps(value, indent=2, sort_keys=True) + "\n")


# --- models ------------------------------------------------------------------

def shapes(c):
    """Every tensor of a Llama with config c, in a fixed order."""
    h, i, d = c["hidden_size"], c["intermediate_size"], c["head_dim"]
    q, kv = c["num_attention_heads"] * d, c["num_key_value_heads"] * d
    yield "model.embed_tokens.weight", (c["vocab_size"], h)
    for n in range(c["num_hidden_layers"]):
        p = "model.layers.%d." % n
        yield p + "input_layernorm.weight", (h,)
        for name, out, inp in (("q", q, h), ("k", kv, h), ("v", kv, h),
                               ("o", h, q)):
            yield p + "self_attn.%s_proj.weight" % name, (out, inp)
            if c["attention_bias"]:
                yield p + "self_attn.%s_proj.bias" % name, (out,)
        yield p + "post_attention_layernorm.weight", (h,)
        for name, out, inp in (("gate", i, h), ("up", i, h), ("down", h, i)):
            yield p + "mlp.%s_proj.weight" % name, (out, inp)
            if c["mlp_bias"]:
                yield p + "mlp.%s_proj.bias" % name, (out,)
    yield "model.norm.weight", (h,)
    if not c["tie_word_embeddings"]:
        yield "lm_head.weight", (c["vocab_size"], h)


def random_model(c, seed, dtype=torch.float32, embed=0.7, matrix=1.4):
    """Weights that make every part of a layer matter: norms away from 1,
    attention far from uniform, logits some units apart."""
    rng = np.random.default_rng(seed)
    out = {}
    for name, shape in shapes(c):
        x = rng.standard_normal(shape)
        if "norm" in name:
            x = 1 + 0.3 * np.tanh(x)
        elif name.endswith("bias"):
            x *= 0.3
        elif "embed" in name:
            x *= embed
        elif "lm_head" in name:
            x *= 2 / shape[1] ** 0.5
        else:
            x *= matrix / shape[1] ** 0.5
        out[name] = torch.tensor(x, dtype=torch.float32).to(dtype)
    return out


def config(rope=None, v5=False, **kw):
    """A config.json as transformers 4 writes it, or 5."""
    c = dict(architectures=["LlamaForCausalLM"], model_type="llama",
             hidden_size=16, intermediate_size=24, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=4, vocab_size=53,
             max_position_embeddings=256, rms_norm_eps=1e-5,
             hidden_act="silu", tie_word_embeddings=False,
             attention_bias=False, mlp_bias=False, bos_token_id=1,
             eos_token_id=2)
    c.update(kw)
    c.setdefault("head_dim", c["hidden_size"] // c["num_attention_heads"])
    theta = c.pop("rope_theta", 10000.0)
    if v5:
        c["rope_parameters"] = dict(rope or {"rope_type": "default"},
                                    rope_theta=theta)
        c["dtype"] = "float32"
    else:
        c["rope_theta"] = theta
        c["rope_scaling"] = rope
        c["torch_dtype"] = "float32"
    return c


def open_model(path):
    with open(os.path.join(path, "config.json")) as f:
        cls = getattr(transformers, json.load(f)["architectures"][0])
    m = cls.from_pretrained(path, dtype=torch.float32,
                            attn_implementation="eager")
    m.eval()
    return m


def with_adapter(model, seed, targets, r=4, alpha=8, rslora=False, dropout=0.0,
                 b=0.3):
    cfg = LoraConfig(r=r, lora_alpha=alpha, target_modules=targets,
                     use_rslora=rslora, lora_dropout=dropout,
                     task_type="CAUSAL_LM")
    peft = get_peft_model(model, cfg)
    rng = np.random.default_rng(seed)
    for name, p in sorted(peft.named_parameters()):
        if "lora_" not in name:
            continue
        x = rng.standard_normal(tuple(p.shape)) * (
            b if "lora_B" in name else 1.2 / p.shape[1] ** 0.5)
        p.data.copy_(torch.tensor(x, dtype=torch.float32))
    peft.eval()
    return peft


def save_adapter(peft, path, base):
    """What save_pretrained writes, without what varies or tells of here."""
    peft.save_pretrained(path)
    os.remove(os.path.join(path, "README.md"))
    os.chmod(os.path.join(path, "adapter_model.safetensors"), 0o644)
    name = os.path.join(path, "adapter_config.json")
    with open(name) as f:
        c = json.load(f)
    c["base_model_name_or_path"] = base
    for key in "target_modules", "exclude_modules":
        if isinstance(c.get(key), list):  # sets there
            c[key].sort()
    write_json(name, c)


# --- rows --------------------------------------------------------------------

def random_rows(rng, vocab, spec):
    """[(prefix length, [branch lengths])] to [(prefix, [(ids, mask)])]."""
    rows = []
    for np_, branches in spec:
        pick = lambda n: rng.integers(3, vocab, n).tolist()
        prefix = pick(np_)
        out = []
        for n in branches:
            chat = isinstance(n, str)
            ids = pick(int(n))
            mask = [1] * len(ids)
            if chat:  # turns: some parts are the user's
                mask = [int(i % 5 > 1) for i in range(len(ids))]
            if not np_:
                mask[0] = 0
            out.append((ids, mask))
        rows.append((prefix, out))
    return rows


SFT_ROWS = [(5, [7]), (0, [9]), (1, [1]), (4, [3, 6, 1]), (0, ["12"]),
            (17, [14])]
PAIR_ROWS = [(4, [5, 3]), (1, [1, 6]), (9, [8, 8]), (3, [10, 2])]


def rows_tensors(rows, prefix):
    """The stream's layout."""
    ids, mask, seg, row = [], [], [0], [0]
    for p, branches in rows:
        for part, m in [(p, [0] * len(p))] + branches:
            ids += part
            mask += m
            seg.append(len(ids))
        row.append(len(seg) - 1)
    i32 = lambda x: torch.tensor(x, dtype=torch.int32)
    return {prefix + "input_ids": i32(ids), prefix + "cu_seqlens": i32(seg),
            prefix + "cu_rows": i32(row),
            prefix + "loss_mask": torch.tensor(mask, dtype=torch.uint8),
            prefix + "row": torch.arange(len(rows), dtype=torch.int64)}


def branch_logps(model, prefix, ids):
    """Log-probability of every token of a branch (0 for a first one that
    nothing precedes), by one forward over prefix + branch."""
    x = torch.tensor([prefix + ids])
    lp = F.log_softmax(model(input_ids=x, use_cache=False).logits[0], -1)
    n = len(prefix)
    out = [lp[n + i - 1, t] if n + i else lp.new_zeros(())
           for i, t in enumerate(ids)]
    return torch.stack(out)


def sft(model, rows):
    """Loss as the contract has it, and log-probs per stored token."""
    total, count, logps = 0, 0, []
    for prefix, branches in rows:
        logps.append(torch.zeros(len(prefix)))
        for ids, mask in branches:
            lp = branch_logps(model, prefix, ids) * torch.tensor(mask)
            total = total - lp.sum()
            count += sum(mask)
            logps.append(lp.detach())
    return total / count, torch.cat(logps)


def pair_sums(model, rows):
    return torch.stack([
        torch.stack([branch_logps(model, p, ids).sum() for ids, _ in bs])
        for p, bs in rows])


def dpo(policy, ref, rows, loss):
    """TRL 1.16's DPOTrainer; cdpo is the older TRL's label smoothing."""
    d = policy - ref
    delta = d[:, 0] - d[:, 1]
    if loss == "sigmoid":
        each = -F.logsigmoid(BETA * delta)
    elif loss == "cdpo":
        each = (-F.logsigmoid(BETA * delta) * 0.8
                - F.logsigmoid(-BETA * delta) * 0.2)
    elif loss == "hinge":
        each = torch.relu(1 - BETA * delta)
    else:
        n = torch.tensor([[len(ids) for ids, _ in bs] for _, bs in rows])
        avg = d / n
        each = (avg[:, 0] - avg[:, 1] - 1 / (2 * BETA)) ** 2
    return each.mean()


LOSSES = ["sigmoid", "cdpo", "hinge", "ipo"]


class _Double:
    """torch, but float32 means float64: for transformers' own upcasts."""

    def __getattr__(self, name):
        return getattr(torch, "float64" if name == "float32" else name)


@contextlib.contextmanager
def double(model):
    """The same computation in double, to see what rounding does to it."""
    llama.torch = _Double()
    model.double()
    try:
        yield model
    finally:
        llama.torch = torch
        model.float()


# --- gradients and steps -----------------------------------------------------

def trained(model, lora):
    """(name on disk, parameter), sorted by name."""
    out = []
    for name, p in model.named_parameters():
        ours = "lora_" in name or ".modules_to_save." in name
        p.requires_grad_(ours == lora)
        if p.requires_grad:
            name = (name.replace("modules_to_save.default.", "")
                    .replace("lora_magnitude_vector.default.weight",
                             "lora_magnitude_vector")
                    .replace(".default", ""))
            if not lora:
                name = (name.replace("base_model.model.", "")
                        .replace("base_layer.", ""))
            out.append((name, p))
    return sorted(out, key=lambda x: x[0])


def gradient(loss, params):
    grads = torch.autograd.grad(loss, [p for _, p in params])
    return torch.cat([g.reshape(-1) for g in grads])


def one(x):
    return x.detach().reshape(1)


def lora_expectations(peft, rows, pairs, grads):
    """The rows, and what the adapter makes of them: SFT, and DPO's losses,
    of which those in grads with their gradient.  Also the pairs' sums."""
    t = rows_tensors(rows, "sft.") | rows_tensors(pairs, "pair.")
    lora = trained(peft, True)
    loss, t["sft.lora.logps"] = sft(peft, rows)
    t["sft.lora.loss"], t["sft.lora.grad"] = one(loss), gradient(loss, lora)
    policy = pair_sums(peft, pairs)
    with torch.no_grad(), peft.disable_adapter():
        ref = pair_sums(peft, pairs)
    t["pair.lora.sums"], t["pair.base.sums"] = policy.detach(), ref
    for name in LOSSES:
        loss = dpo(pair_sums(peft, pairs), ref, pairs, name)
        t["dpo.%s.loss" % name] = one(loss)
        if name in grads:
            t["dpo.%s.lora.grad" % name] = gradient(loss, lora)
    return t, policy.detach()


def steps(model, rows, lora, h):
    """20 AdamW steps over h["batch"] rows at a time, in file order."""
    params = trained(model, lora)
    old = [p.detach().clone() for _, p in params]
    decays = set(Trainer.get_decay_parameter_names(None, model))
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    opt = torch.optim.AdamW(
        [{"params": [p for n, p in named if n in decays],
          "weight_decay": h["decay"]},
         {"params": [p for n, p in named if n not in decays],
          "weight_decay": 0.0}],
        lr=h["lr_lora"] if lora else h["lr_full"])
    sched = get_linear_schedule_with_warmup(opt, h["warmup"], h["steps"])
    losses, norms = [], []
    for s in range(h["steps"]):
        batch = [rows[(s * h["batch"] + i) % len(rows)]
                 for i in range(h["batch"])]
        loss, _ = sft(model, batch)
        opt.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(
            [p for _, p in params], h["clip"]).item())
        opt.step()
        sched.step()
        losses.append(loss.item())
    for (_, p), o in zip(params, old):
        p.data.copy_(o)
        p.grad = None
    return torch.tensor(losses), torch.tensor(norms)


def greedy(model, prompt, n):
    """n tokens, and the smallest lead of a first choice over the second."""
    out = model.generate(
        torch.tensor([prompt]), do_sample=False, max_new_tokens=n,
        min_new_tokens=n, pad_token_id=0, eos_token_id=None)
    ids = out[0, len(prompt):]
    with torch.no_grad():
        top = model(input_ids=out).logits[0, len(prompt) - 1:-1].topk(2).values
    return ids.to(torch.int32), (top[:, 0] - top[:, 1]).min().item()


def greedy_clear(model, rng, vocab, n=64):
    """A prompt whose greedy text is not a matter of rounding."""
    for _ in range(400):
        prompt = rng.integers(3, vocab, 4).tolist()
        ids, lead = greedy(model, prompt, n)
        if lead > 3e-3 and len(set(ids.tolist())) > 2 and 2 not in ids:
            return torch.tensor(prompt, dtype=torch.int32), ids
    raise SystemExit("no prompt with a clear greedy text")


def save(path, tensors, meta):
    tensors = {k: v.detach().contiguous() for k, v in tensors.items()}
    save_file(tensors, path, metadata={k: str(v) for k, v in meta.items()})
    os.chmod(path, 0o644)


def save_expect(path, tensors, hyper, **meta):
    # one entry: the safetensors package writes several in any order
    meta["hyper"] = hyper
    save(os.path.join(path, "expect.safetensors"), tensors,
         {"ft": json.dumps(meta, sort_keys=True)})


def fresh(path):
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    return path
