"""Makes Hugging Face folders of tiny random models, with the standard library alone: config.json,
a byte-level tokenizer.json and safetensors files whose every byte a test can choose."""
import json
import pathlib
import random
import struct

LLAMA = {
    "model_type": "llama", "vocab_size": 264, "hidden_size": 64, "intermediate_size": 96,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "hidden_act": "silu", "tie_word_embeddings": False, "bos_token_id": None, "eos_token_id": 263,
}
# Sizes that are no multiple of a tile, a group or a cache line.
RAGGED = LLAMA | {"hidden_size": 72, "intermediate_size": 100, "num_attention_heads": 3,
                  "num_key_value_heads": 1, "head_dim": 22, "tie_word_embeddings": True,
                  "attention_bias": True, "mlp_bias": True}
QWEN2 = LLAMA | {"model_type": "qwen2", "tie_word_embeddings": True}
QWEN3 = LLAMA | {"model_type": "qwen3", "head_dim": 32}
TEMPLATE = ("{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}"
            "{% if add_generation_prompt %}<assistant>{% endif %}")


def shapes(config):
    """Name -> shape of every tensor that the config asks for."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    head = config.get("head_dim") or hidden // config["num_attention_heads"]
    q, kv = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    out = {"model.embed_tokens.weight": [config["vocab_size"], hidden], "model.norm.weight": [hidden]}
    if not config["tie_word_embeddings"]:
        out["lm_head.weight"] = [config["vocab_size"], hidden]
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        matrices = {"self_attn.q_proj": [q, hidden], "self_attn.k_proj": [kv, hidden],
                    "self_attn.v_proj": [kv, hidden], "self_attn.o_proj": [hidden, q],
                    "mlp.gate_proj": [inner, hidden], "mlp.up_proj": [inner, hidden],
                    "mlp.down_proj": [hidden, inner]}
        for name, shape in matrices.items():
            out[prefix + name + ".weight"] = shape
            attention = name.startswith("self_attn")
            qwen2 = config["model_type"] == "qwen2" and attention and not name.endswith("o_proj")
            if qwen2 or config.get("attention_bias" if attention else "mlp_bias"):
                out[prefix + name + ".bias"] = shape[:1]
        for name in ("input_layernorm", "post_attention_layernorm"):
            out[prefix + name + ".weight"] = [hidden]
        if config["model_type"] == "qwen3":
            out[prefix + "self_attn.q_norm.weight"] = [head]
            out[prefix + "self_attn.k_norm.weight"] = [head]
    return out


def encode(values, dtype):
    if dtype == "BF16":
        return b"".join(struct.pack("<f", v)[2:] for v in values)
    return struct.pack(f"<{len(values)}{'f' if dtype == 'F32' else 'e'}", *values)


def tensors(config, dtype="F16", seed=1):
    """Name -> (dtype, shape, bytes)."""
    rng, out = random.Random(seed), {}
    for name, shape in shapes(config).items():
        if "norm" in name:
            values = [1 + rng.gauss(0, 0.1) for _ in range(shape[0])]
        else:
            count = shape[0] * (shape[1] if len(shape) == 2 else 1)
            values = [rng.gauss(0, 0.1) for _ in range(count)]
        out[name] = (dtype, shape, encode(values, dtype))
    return out


def pack(header, data):
    """A safetensors file from a header (object or text) and data bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def header_of(entries):
    header, at = {}, 0
    for name, (dtype, shape, data) in entries.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    return header


def safetensors(entries):
    return pack(header_of(entries), b"".join(data for _, _, data in entries.values()))


def byte_letters():
    """The letter that stands for each byte in a byte-level vocabulary."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(rest)}}


def tokenizer():
    """256 bytes, four merges and four special tokens: 264 rows."""
    letters = byte_letters()
    vocab = {letters[b]: b for b in range(256)}
    merges = ["h e", "l l", "he ll", "hell o"]
    for i, merge in enumerate(merges):
        vocab[merge.replace(" ", "")] = 256 + i
    special = [{"id": 260 + i, "content": text, "special": True, "single_word": False,
                "lstrip": False, "rstrip": False, "normalized": False}
               for i, text in enumerate(["<user>", "<assistant>", "<system>", "<end>"])]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
            "normalizer": None, "pre_tokenizer": level, "post_processor": None, "decoder": level,
            "model": {"type": "BPE", "dropout": None, "unk_token": None,
                      "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": vocab, "merges": merges}}


def write_folder(folder, config=LLAMA, entries=None, dtype="F16", shards=1, seed=1):
    folder = pathlib.Path(folder)
    folder.mkdir()
    entries = tensors(config, dtype, seed) if entries is None else entries
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer()))
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    if shards == 1:
        (folder / "model.safetensors").write_bytes(safetensors(entries))
        return folder
    weight_map, names = {}, list(entries)
    for i in range(shards):
        shard = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        part = {name: entries[name] for name in names[i::shards]}
        (folder / shard).write_bytes(safetensors(part))
        weight_map |= {name: shard for name in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder
