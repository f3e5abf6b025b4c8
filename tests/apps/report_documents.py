"""Documents as sqconv hands them to the report: numbers with the shape that conversions give, drawn with a seed."""
import math
import random

ROLES = {"q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj", "o": "self_attn.o_proj",
         "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj"}
SITES = ("qkv", "o", "gate_up", "down")


def channels(draw, columns, outliers, size):
    values = [round(abs(draw.gauss(1, 0.35)) + 0.05, 5) for _ in range(columns)]
    for column in outliers:
        values[column] = round(size * draw.uniform(8, 60), 4)
    ordered = sorted(values)
    return {"abs_max": values, "q50": ordered[columns // 2], "q99": ordered[columns * 99 // 100], "max": ordered[-1]}


def one_input(draw, number, layer, site, columns):
    outliers = sorted(draw.sample(range(columns), max(2, columns // 300))) if site in ("qkv", "gate_up", "down") else []
    smoothed = site in ("qkv", "gate_up")
    before = channels(draw, columns, outliers, 1 + layer / 10)
    after = None
    if smoothed:
        after = {"abs_max": [round(math.sqrt(v), 5) for v in before["abs_max"]],
                 **{k: math.sqrt(before[k]) for k in ("q50", "q99", "max")}}
    loss = draw.uniform(0.01, 0.05)
    return {"input": number, "layer": layer, "site": site, "columns": columns, "activation": "int8 per token",
            "smoothing": {"method": "smoothquant+", "alpha": round(draw.uniform(0.35, 0.85), 2), "state": "folded",
                          "loss_before": loss, "loss_after": loss * draw.uniform(0.3, 0.9)} if smoothed else None,
            "range_before": before, "range_after": after, "outliers": outliers}


def one_tensor(draw, layer, role, columns):
    rows = columns // 3 if role in ("k", "v") else columns
    error = 0.004 * math.exp(draw.gauss(0, 0.35)) * (3 if role == "down" and layer < 2 else 1)
    plain = error * draw.uniform(0.5, 2)
    widest = draw.uniform(0.6, 2.4)
    return {"name": f"model.layers.{layer}.{ROLES[role]}.weight", "layer": layer, "role": role, "rows": rows,
            "columns": columns, "method": "gptq", "rounding": "hessian", "encoding": "affine 4 bit, 32 columns, u8",
            "bits_per_weight": 6.5 if role == "down" else 4.53, "bytes": int(rows * columns * 4.53 / 8),
            "relative_error": error, "output_error": {"before": plain, "after": plain * draw.uniform(0.25, 1.05)},
            "weight_range_before": {"abs_max": widest, "q99": widest * 0.2},
            "weight_range_after": {"abs_max": widest * 1.4, "q99": widest * 0.22}, "clipped": draw.uniform(0, 0.002),
            "range": "clip" if role == "down" else "search",
            "clip": {"groups": draw.randrange(900), "error_before": error * 2, "error_after": error} if role == "down" else None,
            "counts": {"zero_rows": 0, "saturated": draw.randrange(9), "underflowed": 0, "lifted_zeros": 0},
            "low_rank": {"rank": 16, "error_before": error, "error_after": error * 0.8} if role == "down" else None}


def evaluation(draw, windows=64):
    per_window = [{"source": 3.38 + draw.gauss(0, 0.2), "file": 0, "kl": abs(draw.gauss(0.05, 0.01))} for _ in range(windows)]
    for w in per_window:
        w["file"] = w["source"] + draw.gauss(0.045, 0.012)
    return {"text": {"name": "valid.txt", "bytes": 1121681, "xxh3": "0123456789abcdef", "percent": [60, 100],
                     "line_range": [2256, 3760], "lines": 3760, "tokens": 105000},
            "windows": windows, "length": 512, "tokens": windows * 511,
            "source": {"perplexity": 29.433, "nll": 3.3822, "standard_error": 0.031},
            "file": {"perplexity": 30.78, "nll": 3.427, "standard_error": 0.031},
            "increase": {"percent": 4.58, "standard_error_percent": 0.16},
            "kl": {"mean": 0.0502, "p99": 0.41, "max": 3.2}, "top1_agreement": 0.8934, "per_window": per_window}


def document(layers=30, columns=576, seed=1):
    draw = random.Random(seed)
    tensors = [one_tensor(draw, layer, role, columns) for layer in range(layers) for role in ROLES]
    tensors.append({**one_tensor(draw, 0, "q", columns), "name": "model.embed_tokens.weight", "layer": -1, "role": "head",
                    "rows": 49152, "bits_per_weight": 8.5, "bytes": 49152 * columns * 17 // 16, "relative_error": 2e-5,
                    "output_error": None, "low_rank": None, "method": "rtn"})
    inputs = [one_input(draw, 4 * layer + i, layer, site, columns) for layer in range(layers) for i, site in enumerate(SITES)]
    inputs.append(one_input(draw, 4 * layers, -1, "head", columns))
    size = sum(t["bytes"] for t in tensors)
    return {"file": {"name": "smollm2-gptq.sqf", "bytes": size + 2300000, "bits_per_weight": 4.97, "xxh3": "8f1c0e5b7a2d4c36"},
            "source": {"name": "SmolLM2-135M-Instruct", "bytes": 269060552},
            "model": {"architecture": "llama", "layers": layers, "hidden_size": columns, "heads": 9, "kv_heads": 3},
            "recipe": {"method": "gptq", "group": 32, "rules": [["down_proj", "bits=6"]],
                       "command": "sqconv SmolLM2-135M-Instruct -o smollm2-gptq.sqf --method gptq --smooth smoothquant+ "
                                  "--calib train.txt --calib-lines 0:60 --eval valid.txt --report report.html"},
            "seconds": 83.2,
            "calibration": {"text": {"name": "train.txt", "bytes": 1121681, "xxh3": "fedcba9876543210", "percent": [0, 60],
                                     "line_range": [0, 2256], "lines": 3760, "tokens": 160000}, "windows": 64, "length": 512},
            "inputs": inputs, "tensors": tensors, "evaluation": evaluation(draw),
            "warnings": ["in 2 tensors, 7 scales were too large for their type; most in model.layers.0.mlp.down_proj.weight"]}


def uncalibrated(layers=30, columns=576):
    """As a plain conversion knows it."""
    report = document(layers, columns)
    report.update(calibration=None, evaluation=None, inputs=[], warnings=[])
    report["recipe"] = {"method": "rtn", "command": "sqconv SmolLM2-135M-Instruct -o m.sqf --report report.html"}
    for t in report["tensors"]:
        t.update(method="rtn", rounding="nearest", output_error=None, weight_range_after=None, low_rank=None)
    return report


HOSTILE = ("</script><script>window.taken = 1</script>", "<!--<script>", "<img src=x onerror='window.taken=1'>",
           "${window.taken=1}`'\"&amp;\\", "\u202egnp.exe\u2028\u2029\u0000", "n" * 400, "__proto__", "")


def hostile():
    """Every name and word that a model or a command line can choose."""
    report = document(3, 32)
    words = iter(HOSTILE * 400)
    for t in report["tensors"]:
        t.update(name=next(words), role=next(words), method=next(words), rounding=next(words), encoding=next(words))
    for i in report["inputs"]:
        i.update(site=next(words), activation=next(words))
        if i["smoothing"]:
            i["smoothing"].update(method=next(words), state=next(words))
    for part in (report["file"], report["source"], report["calibration"]["text"], report["evaluation"]["text"]):
        part.update(name=next(words), xxh3=next(words))
    report["model"]["architecture"] = HOSTILE[0]
    report["recipe"] = {"method": HOSTILE[2], "command": HOSTILE[0] + HOSTILE[1], **{word: HOSTILE[0] for word in HOSTILE}}
    report["warnings"] = list(HOSTILE)
    return report
