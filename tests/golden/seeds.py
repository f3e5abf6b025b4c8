"""Pieces that good files and the seeds of bad ones share: META, a tiny model, its tokenizer."""

import json

import numpy as np

import packing as pk
from builder import (ALL, F32, LIST, REST, U32, U8, ZERO_U4, ZERO_U8, ColumnSet, Description, Input,
                     Tensor)

INTEGER8 = {"quantizer": 1, "bits": 8}


def meta(model=None, **more):
    return {
        "format": {"writer": "golden builder", "spec": "1.0"},
        "model": model or {"architecture": "none"},
        "source": {"files": [{"name": "made up", "size": 0}], "config": "{}"},
        "quantization": {"method": "none: random codes"},
        **more}


def columns_all(count, **quantizer):
    return ColumnSet(ALL, count, fields=quantizer)


def columns_list(columns, **quantizer):
    return ColumnSet(LIST, len(columns), pk.vector(np.array([columns], "<u4"), U32), quantizer)


def columns_rest(count, **quantizer):
    return ColumnSet(REST, count, fields=quantizer)


def finish(d):
    """Tensors in the order that a file needs."""
    d.tensors.sort(key=lambda t: t.name)
    return d


# ---- a model -------------------------------------------------------------------------------------


def model_members(**changes):
    """A `model` that every rule holds for; its tensors are llama()'s."""
    members = {
        "architecture": "llama", "vocab_size": 24, "hidden_size": 32, "intermediate_size": 48,
        "layers": 1, "heads": 2, "kv_heads": 1, "head_dim": 16, "context_length": 64,
        "norm": {"kind": "rms", "epsilon": 1e-05}, "activation": "silu", "qk_norm": "none",
        "qkv_bias": False, "output_bias": False, "mlp_bias": False, "tied": True,
        "rope": {"theta": 10000, "pairing": "half", "scaling": "none"}, "bos_id": 0, "eos_ids": [1]}
    return {**members, **changes}


def tokenizer(merge_pairs=False, **model_changes):
    """A byte-level BPE of 24 tokens, as the members of a tokenizer.json."""
    tokens = ["<s>", "</s>", *"abcdefgh", "Ġ", "\u010a", *"0123", "ab", "cd", "abcd", "Ġa", "é"]
    merges = [["a", "b"], ["c", "d"], ["ab", "cd"], ["Ġ", "a"]]
    if not merge_pairs:
        merges = [" ".join(pair) for pair in merges]
    added = [{"id": i, "content": tokens[i], "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": True} for i in (0, 1)]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                  "use_regex": True}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": None, "pre_tokenizer": byte_level, "post_processor": None,
        "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
                  "byte_fallback": False, "ignore_merges": False,
                  "vocab": {token: i for i, token in enumerate(tokens)}, "merges": merges,
                  **model_changes}}


def text(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def llama(source, members, linear, embedding, texts):
    """The file of a model: every matrix `linear`, embedding and head `embedding`, norms f32."""
    m = members
    q, kv = m["heads"] * m["head_dim"], m["kv_heads"] * m["head_dim"]
    h, f = m["hidden_size"], m["intermediate_size"]
    d = Description(meta(members), [linear, embedding, pk.real(F32)], texts=texts)
    d.inputs = [Input(n, [columns_all(n, **INTEGER8)]) for n in (h, q, h, f)]

    def matrix(name, rows, columns, reads, bias=False, encoding=0):
        part = source.part(d.encodings[encoding], encoding, 1, rows, columns)
        vector = pk.vector(source.uniform(-1, 1, (1, rows))) if bias else None
        d.tensors.append(Tensor(name.encode(), (rows, columns), [part], reads, vector))

    def norm(name, size):
        part = source.real_part(F32, 2, 1, size, 0.5, 1.5)
        d.tensors.append(Tensor(name.encode(), (size,), [part]))

    matrix("model.embed_tokens.weight", m["vocab_size"], h, None, encoding=1)
    if not m.get("tied"):
        d.inputs.append(Input(h, [columns_all(h)]))
        matrix("lm_head.weight", m["vocab_size"], h, 4, encoding=1)
    norm("model.norm.weight", h)
    for layer in range(m["layers"]):
        at = f"model.layers.{layer}."
        qkv, out, mlp = (m.get(k, False) for k in ("qkv_bias", "output_bias", "mlp_bias"))
        norm(at + "input_layernorm.weight", h)
        norm(at + "post_attention_layernorm.weight", h)
        matrix(at + "self_attn.q_proj.weight", q, h, 0, qkv)
        matrix(at + "self_attn.k_proj.weight", kv, h, 0, qkv)
        matrix(at + "self_attn.v_proj.weight", kv, h, 0, qkv)
        matrix(at + "self_attn.o_proj.weight", h, q, 1, out)
        matrix(at + "mlp.gate_proj.weight", f, h, 2, mlp)
        matrix(at + "mlp.up_proj.weight", f, h, 2, mlp)
        matrix(at + "mlp.down_proj.weight", h, f, 3, mlp)
        if m["qk_norm"] == "per_head":
            norm(at + "self_attn.q_norm.weight", m["head_dim"])
            norm(at + "self_attn.k_norm.weight", m["head_dim"])
    return finish(d)


DEFAULT4 = pk.affine(4, 32, U8, ZERO_U4, row_factor=1)
DEFAULT8 = pk.affine(8, 32, U8, ZERO_U8, row_factor=1)
