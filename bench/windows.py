"""The text on which perplexities are compared: which lines, which tokens, which windows, which errors.

A line ends with "\\n"; a last line without one counts. Of N lines the first p % are lines 0 .. floor(N * p / 100) - 1,
and "60%-100%" is the rest after the first 60 %. The bytes of those lines, line ends kept, are tokenized in one go
without special tokens; window w is tokens w * 512 .. w * 512 + 511, windows do not overlap, and the first token of
each is context only: 511 are scored. A model's result is the mean negative log-likelihood in nats over all scored
tokens, and perplexity is its exponential. The standard error is that of the mean of the 64 windows' means; when two
models are compared it is the one of the windows' differences, which is smaller by far.
"""
import pathlib

import numpy as np
import tokenizers

WINDOW, WINDOWS, FIRST_PERCENT = 512, 64, 60


def evaluation_text(path):
    data = pathlib.Path(path).read_bytes()
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    skipped = lines * FIRST_PERCENT // 100
    return data.split(b"\n", skipped)[skipped].decode("utf-8")


def evaluation_windows(path, model_folder):
    """Token ids, i32 [64, 512]."""
    tokenizer = tokenizers.Tokenizer.from_file(str(pathlib.Path(model_folder) / "tokenizer.json"))
    ids = tokenizer.encode(evaluation_text(path), add_special_tokens=False).ids
    if len(ids) < WINDOW * WINDOWS:
        raise SystemExit(f"{path}: {len(ids)} tokens, {WINDOW * WINDOWS} are needed")
    return np.array(ids[: WINDOW * WINDOWS], np.int32).reshape(WINDOWS, WINDOW)


def window_nll(logits, ids):
    """Mean negative log-likelihood of ids[1:] given logits [len(ids), vocabulary]."""
    total = 0.0
    for at in range(0, len(ids) - 1, 64):
        rows = logits[at : min(at + 64, len(ids) - 1)].astype(np.float64)
        rows -= rows.max(-1, keepdims=True)
        chosen = rows[np.arange(len(rows)), ids[at + 1 : at + 1 + len(rows)]]
        total += (np.log(np.exp(rows).sum(-1)) - chosen).sum()
    return total / (len(ids) - 1)


def summary(nlls, reference=None):
    """Perplexity of the windows' NLLs; with a reference's NLLs also the increase over it, paired by window."""
    nlls = np.asarray(nlls)
    result = {
        "perplexity": float(np.exp(nlls.mean())),
        "nll": float(nlls.mean()),
        "standard_error": float(nlls.std(ddof=1) / np.sqrt(len(nlls))),
    }
    if reference is not None:
        difference = nlls - np.asarray(reference)
        result["increase_percent"] = float(np.expm1(difference.mean()) * 100)
        error = difference.std(ddof=1) / np.sqrt(len(nlls))
        result["increase_standard_error_percent"] = float(np.exp(difference.mean()) * error * 100)
    return result
