#!/usr/bin/env python3
"""Writes what fuzzing starts from, apart from .sqf files: small good inputs of each kind, FOLDER/TARGET/*.

usage: make_seeds.py FOLDER        (a folder; made where missing). Standard library only.
"""
import json
import pathlib
import struct
import sys

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
LARGEST = 8192
BYTES = [*range(33, 127), *range(161, 173), *range(174, 256)]


def byte_level_alphabet():
    """The 256 characters that byte-level tokenizers write bytes as."""
    rest = [b for b in range(256) if b not in BYTES]
    return [chr(b) if b in BYTES else chr(256 + rest.index(b)) for b in range(256)]


def small_tokenizer(path):
    """The file's pipeline over a vocabulary cut down to what fits."""
    tree = json.loads(path.read_text())
    vocab = tree["model"]["vocab"]
    keep = {t: i for t, i in sorted(vocab.items(), key=lambda item: item[1]) if len(t) == 1 and t.isascii()}
    every_byte = tree["model"].get("byte_fallback")
    keep.update({t: i for t, i in vocab.items() if t.startswith("<") and (every_byte or not t.startswith("<0x"))})
    merges, known = [], set(keep)
    for merge in tree["model"]["merges"]:
        left, right = merge if isinstance(merge, list) else merge.split(" ")
        if left in known and right in known and left + right in vocab and len(merges) < 25:
            merges.append(merge)
            known.add(left + right)
            keep[left + right] = vocab[left + right]
    for special in tree["model"].get("unk_token"), "\u0120", "\u2581":
        if special in vocab:
            keep[special] = vocab[special]
    tree["model"]["vocab"], tree["model"]["merges"] = keep, merges
    return json.dumps(tree, ensure_ascii=False).encode()


def tokenizers():
    for path in sorted((DATA / "tokenizer").glob("*.json")):
        yield path.name, small_tokenizer(path)


def templates():
    folder = DATA / "chat_template"
    for path in sorted((folder / "templates").iterdir()):
        yield path.name, path.read_bytes()
    sys.path.insert(0, str(folder))
    cases = json.loads((folder / "expected.json").read_text())
    texts = sorted({t for t in strings_under(cases, "template") if t})
    for i in range(0, len(texts), 8):
        yield f"small_{i // 8:03}.jinja", "\n".join(texts[i : i + 8]).encode()


def strings_under(tree, key):
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name == key and isinstance(value, str):
                yield value
            else:
                yield from strings_under(value, key)
    elif isinstance(tree, list):
        for value in tree:
            yield from strings_under(value, key)


def metas():
    model = {"architecture": "llama", "vocab_size": 16, "hidden_size": 8, "intermediate_size": 16, "layers": 2,
             "heads": 2, "kv_heads": 1, "head_dim": 4, "context_length": 64, "norm": {"kind": "rms", "epsilon": 1e-5},
             "activation": "silu", "qk_norm": "per_head", "qkv_bias": True, "output_bias": False, "mlp_bias": None,
             "tied": True, "bos_id": 1, "eos_ids": [2, 3], "rope": {"theta": 10000.0, "pairing": "half",
             "scaling": "llama3", "factor": 8, "low_frequency": 1, "high_frequency": 4, "original_context": 32}}
    rest = {"format": {"writer": "fuzz", "spec": "1.0"}, "source": {"files": []}, "quantization": {"method": "rtn"}}
    yield "meta.json", json.dumps({"model": model, **rest}).encode()
    linear = {**model, "rope": {"theta": 1e6, "pairing": "half", "scaling": "linear", "factor": 2.5}}
    yield "linear.json", json.dumps(linear).encode()
    config = {"model_type": "llama", "vocab_size": 16, "hidden_size": 8, "intermediate_size": 16,
              "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4,
              "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "hidden_act": "silu", "rope_theta": 1e4,
              "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                               "original_max_position_embeddings": 32},
              "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": [2, 3], "attention_bias": False}
    yield "config.json", json.dumps(config).encode()
    for kind in "qwen2", "qwen3", "mistral":
        plain = {**config, "model_type": kind, "rope_scaling": None, "use_sliding_window": False}
        yield f"{kind}.json", json.dumps({"config": plain, "generation": {"eos_token_id": 2}}).encode()


def safetensors():
    def file(header, size):
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + bytes(range(256)) * (size // 256 + 1)

    def tensor(dtype, shape, begin, end):
        return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}

    one = {"__metadata__": {"format": "pt"}, "a": tensor("F32", [2, 4], 0, 32), "b": tensor("F16", [8], 32, 48),
           "c": tensor("BF16", [2, 2, 3], 48, 72)}
    yield "three.safetensors", file(one, 0)[: 8 + len(json.dumps(one)) + 72]
    for dtype in "I64", "F8_E4M3", "BOOL":
        yield f"{dtype}.safetensors", file({"a": tensor(dtype, [], 0, 1)}, 0)[:-255]


class Gguf:
    """Metadata and tensors laid out in the order in which they come."""

    def __init__(self):
        self.values, self.infos, self.data, self.n_values, self.n_tensors = b"", b"", b"", 0, 0

    @staticmethod
    def text(value):
        value = value if isinstance(value, bytes) else value.encode()
        return struct.pack("<Q", len(value)) + value

    def put(self, key, kind, value):
        self.values += self.text(key) + struct.pack("<I", kind) + value
        self.n_values += 1

    def put_text(self, key, value):
        self.put(key, 8, self.text(value))

    def put_u32(self, key, value):
        self.put(key, 4, struct.pack("<I", value))

    def put_f32(self, key, value):
        self.put(key, 6, struct.pack("<f", value))

    def put_array(self, key, kind, items):
        self.put(key, 9, struct.pack("<IQ", kind, len(items)) + b"".join(items))

    def tensor(self, name, shape, kind=0, size=None):
        count = 1
        for n in shape:
            count *= n
        size = size or {0: 4 * count, 1: 2 * count, 2: count // 32 * 18, 3: count // 32 * 20, 8: count // 32 * 34,
                        30: 2 * count}[kind]
        self.infos += self.text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, len(self.data))
        self.data += bytes(i * 7 % 61 for i in range(size))
        self.data += bytes(-len(self.data) % 32)
        self.n_tensors += 1

    def bytes(self):
        out = b"GGUF" + struct.pack("<IQQ", 3, self.n_tensors, self.n_values) + self.values + self.infos
        return out + bytes(-len(out) % 32) + self.data


def llama(width=8, feed=16):
    g = Gguf()
    g.put_text("general.architecture", "llama")
    for key, value in {"block_count": 1, "context_length": 64, "embedding_length": width, "feed_forward_length": feed,
                       "attention.head_count": 2, "attention.head_count_kv": 1}.items():
        g.put_u32(f"llama.{key}", value)
    g.put_f32("llama.attention.layer_norm_rms_epsilon", 1e-5)
    return g


def add_tensors(g, width, feed, tokens, kind):
    g.tensor("token_embd.weight", [width, tokens], kind)
    for name, shape in {"attn_norm": [width], "ffn_norm": [width], "attn_q": [width, width],
                        "attn_k": [width, width // 2], "attn_v": [width, width // 2], "attn_output": [width, width],
                        "ffn_gate": [width, feed], "ffn_up": [width, feed], "ffn_down": [feed, width]}.items():
        g.tensor(f"blk.0.{name}.weight", shape, 0 if len(shape) == 1 else kind)
    g.tensor("output_norm.weight", [width])


def ggufs():
    g = llama()
    add_tensors(g, 8, 16, 4, 0)
    yield "f32.gguf", g.bytes()
    for kind in 1, 30:
        g = llama()
        add_tensors(g, 8, 16, 4, kind)
        yield f"type{kind}.gguf", g.bytes()
    for kind in 2, 3, 8:
        g = llama(32, 32)
        g.tensor("token_embd.weight", [32, 4], kind)
        g.tensor("blk.0.attn_q.weight", [32, 32], kind)
        yield f"type{kind}.gguf", g.bytes()
    words = ["a", "b", "c", "ab", "abc", "<s>", "</s>", "\u0120", "\u0120a"]
    for pre in "default", "gpt-2", "llama-bpe", "qwen2", "smollm":
        g = llama()
        g.put_text("tokenizer.ggml.model", "gpt2")
        g.put_text("tokenizer.ggml.pre", pre)
        letters = byte_level_alphabet() if pre == "gpt-2" else []
        tokens = words + [c for c in letters if c not in words]
        g.put_array("tokenizer.ggml.tokens", 8, [g.text(t) for t in tokens])
        kinds = [3 if t.startswith("<") else 1 for t in tokens]
        g.put_array("tokenizer.ggml.token_type", 5, [struct.pack("<i", k) for k in kinds])
        g.put_array("tokenizer.ggml.merges", 8, [g.text(m) for m in ("a b", "ab c", "\u0120 a")])
        g.put_u32("tokenizer.ggml.bos_token_id", 5)
        g.put_u32("tokenizer.ggml.eos_token_id", 6)
        g.put_text("tokenizer.chat_template", "{{ messages[0].content }}")
        g.tensor("token_embd.weight", [8, len(tokens)])
        yield f"bpe_{pre}.gguf", g.bytes()
    g = llama()
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), "\u2581", "a", "b", "ab", "\u2581a"]
    kinds = [2, 3, 3, *[6] * 256, 1, 1, 1, 1, 1]
    g.put_text("tokenizer.ggml.model", "llama")
    g.put_array("tokenizer.ggml.tokens", 8, [g.text(t) for t in tokens])
    g.put_array("tokenizer.ggml.scores", 6, [struct.pack("<f", -float(i)) for i in range(len(tokens))])
    g.put_array("tokenizer.ggml.token_type", 5, [struct.pack("<i", k) for k in kinds])
    for key, value in {"bos": 1, "eos": 2, "unknown": 0}.items():
        g.put_u32(f"tokenizer.ggml.{key}_token_id", value)
    g.put("tokenizer.ggml.add_bos_token", 7, b"\1")
    g.put("tokenizer.ggml.add_space_prefix", 7, b"\0")
    g.tensor("token_embd.weight", [8, len(tokens)], 1)
    yield "spm.gguf", g.bytes()


def main():
    root = pathlib.Path(sys.argv[1])
    makers = {"tokenizer": tokenizers, "template": templates, "meta": metas, "safetensors": safetensors, "gguf": ggufs}
    for target, maker in makers.items():
        folder = root / target
        folder.mkdir(parents=True, exist_ok=True)
        sizes = []
        for name, content in maker():
            if len(content) <= 2 * LARGEST:
                (folder / name).write_bytes(content)
                sizes.append(len(content))
        print(f"{target}: {len(sizes)} seeds, the largest of {max(sizes)} bytes")


if __name__ == "__main__":
    main()
