#!/usr/bin/env python3
"""A table of sqf_bench_cuda's rows: microseconds, GB of weights a second, and times the speed of f16 weights.

usage: gpu_table.py ROWS.json
"""
import collections
import json
import sys


def main():
    with open(sys.argv[1]) as lines:
        rows = [json.loads(line) for line in lines]
    tokens = sorted({r["tokens"] for r in rows})
    cases = collections.defaultdict(dict)
    for r in rows:
        cases[r["shape"], r["composition"]][r["tokens"]] = r
    print("| layer | encoding | " + " | ".join(f"{t} tokens: µs, GB/s, times f16" for t in tokens) + " |")
    print("|---|---|" + "--:|" * len(tokens))
    for (shape, composition), by_tokens in cases.items():
        cells = []
        for t in tokens:
            row, half = by_tokens.get(t), cases.get((shape, "W16A16"), {}).get(t)
            if row is None:
                cells.append("")
                continue
            times = f"{half['seconds'] / row['seconds']:.2f}" if half else ""
            cells.append(f"{1e6 * row['seconds']:.1f}, {row['stored_bytes'] / row['seconds'] / 1e9:.0f}, {times}")
        print(f"| {shape} | {composition} | " + " | ".join(cells) + " |")


main()
