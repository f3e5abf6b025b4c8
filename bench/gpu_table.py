#!/usr/bin/env python3
"""Tables of sqf_bench_cuda's rows: microseconds of a layer, GB of weights a second, and times the speed of f16 weights (of
cuBLAS, where it was there); then what the layers of whole models take, or where these were not measured, their matrices.

usage: gpu_table.py ROWS.json
"""
import collections
import json
import sys

from llama_shapes import MATRICES, MODELS

BASELINES = ("FP16 cuBLAS", "W16A16")


def times(baseline, row):
    return f"{baseline['seconds'] / row['seconds']:.2f}" if baseline else ""


def print_layers(cases, tokens, baseline):
    print("| layer | encoding | " + " | ".join(f"{t} tokens: µs, GB/s, times f16" for t in tokens) + " |")
    print("|---|---|" + "--:|" * len(tokens))
    for (shape, composition), by_tokens in cases.items():
        cells = []
        for t in tokens:
            row = by_tokens.get(t)
            half = cases.get((shape, baseline), {}).get(t)
            cells.append("" if row is None else f"{1e6 * row['seconds']:.1f}, {row['stored_bytes'] / row['seconds'] / 1e9:.0f}, "
                         + times(half, row))
        print(f"| {shape} | {composition} | " + " | ".join(cells) + " |")


def print_models(cases, tokens, baseline):
    print("\n| model | encoding | " + " | ".join(f"{t} together: tokens/s, times f16" for t in tokens)
          + " |\n|---|---|" + "--:|" * len(tokens))
    compositions = dict.fromkeys(composition for _, composition in cases)
    for model, of in MODELS.items():
        totals = collections.defaultdict(dict)
        for composition in compositions:
            for t in tokens:
                rows = [(1, cases.get((f"{model} layer", composition), {}).get(t))]
                if not rows[0][1]:
                    rows = [(n, cases.get((f"{model} {matrix}", composition), {}).get(t)) for matrix, n in MATRICES.items()]
                if all(row for _, row in rows):
                    totals[composition][t] = {"seconds": of.layers * sum(n * row["seconds"] for n, row in rows)}
        for composition, by_tokens in totals.items():
            cells = [f"{t / by_tokens[t]['seconds']:.0f}, {times(totals[baseline].get(t), by_tokens[t])}"
                     if t in by_tokens else "" for t in tokens]
            print(f"| {model} | {composition} | " + " | ".join(cells) + " |")


def main():
    with open(sys.argv[1]) as lines:
        rows = [json.loads(line) for line in lines]
    tokens = sorted({r["tokens"] for r in rows})
    cases = collections.defaultdict(dict)
    for r in rows:
        cases[r["shape"], r["composition"]][r["tokens"]] = r
    baseline = next((b for b in BASELINES if any(composition == b for _, composition in cases)), BASELINES[0])
    print(f"f16: {baseline}.\n")
    print_layers(cases, tokens, baseline)
    print_models(cases, tokens, baseline)


main()
