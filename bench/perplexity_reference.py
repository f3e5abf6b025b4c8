#!/usr/bin/env python3
"""Perplexity of a Hugging Face folder in f32 Transformers on the evaluation windows (defined in windows.py).

usage: perplexity_reference.py MODEL_FOLDER TEXTFILE [-o RESULT.json] [--against RESULT.json]
needs: torch transformers tokenizers numpy

`sqrun ppl MODEL.sqf TEXTFILE` scores the same tokens. RESULT.json keeps every window's value, so that a later run
can be compared window by window: --against prints the increase with its paired standard error.
"""
import argparse
import json
import pathlib
import sys

import torch
import transformers

import windows


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("-o", "--output", type=pathlib.Path)
    parser.add_argument("--against", type=pathlib.Path)
    args = parser.parse_args()
    model = transformers.AutoModelForCausalLM.from_pretrained(
        args.model, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    nlls = []
    for ids in windows.evaluation_windows(args.text, args.model):
        with torch.no_grad():
            logits = model(torch.tensor(ids[None].tolist()), use_cache=False).logits[0].numpy()
        nlls.append(windows.window_nll(logits, ids))
        print(f"\r{len(nlls)}/{windows.WINDOWS}", end="", file=sys.stderr)
    print(file=sys.stderr)
    reference = json.loads(args.against.read_text())["window_nll"] if args.against else None
    result = {"model": str(args.model.name), **windows.summary(nlls, reference), "window_nll": nlls}
    if args.output:
        args.output.write_text(json.dumps(result) + "\n")
    print(json.dumps({key: value for key, value in result.items() if key != "window_nll"}))


if __name__ == "__main__":
    main()
