"""The result of compare_llama_cpp as Markdown. Ratios above 1 are in our favour, whatever the unit."""
import statistics

PAIRS = (("llama.cpp Q4_0", "SQF 4-bit"), ("llama.cpp Q8_0", "SQF 8-bit"))


def median(values):
    return statistics.median(values) if values else None


def _cells(result, pick, style, more_is_better):
    cells = []
    for theirs, ours in PAIRS:
        a, b = pick(theirs), pick(ours)
        ratio = None if not a or not b else (b / a if more_is_better else a / b)
        cells += [style.format(a) if a else "–", style.format(b) if b else "–"]
        cells.append(f"**{ratio:.2f}**" if ratio else "–")
    return cells


def _speed(result, test, threads, field):
    def pick(name):
        row = result["speed"].get(f"{name}, {test}, {threads} threads")
        return row and (median(row[field]) if isinstance(row[field], list) else row[field])

    return pick


def _rows(result):
    tests = (("decode, tg128", "tg128"), ("prefill, pp512", "pp512"))
    for title, test in tests:
        for t in result["threads"]:
            yield f"{title}, tokens/s", t, _speed(result, test, t, "tokens_per_second"), "{:.1f}", True
    for title, test in tests:
        for t in result["threads"]:
            pick = _speed(result, test, t, "cpu_seconds_per_token")
            yield f"{title}, CPU ms/token", t, lambda n, p=pick: (p(n) or 0) * 1e3, "{:.2f}", False
    files = result["files"]
    first = result["first_token_seconds"]
    yield (
        "process start to first token, 16-token prompt, ms",
        result["machine"]["cores"],
        lambda n: (median(first.get(n)) or 0) * 1e3,
        "{:.0f}",
        False,
    )
    every = result["machine"]["cores"]
    yield "conversion, s", every, lambda n: median(files.get(n, {}).get("conversion_seconds")), "{:.2f}", False
    yield "file, MB", "", lambda n: files.get(n, {}).get("bytes", 0) / 1e6, "{:.1f}", False
    yield "perplexity", "", lambda n: files.get(n, {}).get("perplexity"), "{:.2f}", False


def _increase(row):
    if "increase_percent" not in row:
        return "–"
    error = row.get("increase_standard_error_percent")
    return f"{row['increase_percent']:+.2f} %" + (f" ± {error:.2f}" if error is not None else "")


def markdown(result):
    machine = result["machine"]
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, {result['date']}; "
        + "; ".join(result["versions"].values())
        + f"; medians of {result['repetitions']}, interleaved. Ratio above 1: ours is better.",
        "",
        "| | threads | " + " | ".join(f"{a} | {b} | ratio" for a, b in PAIRS) + " |",
        "|---|---|" + "--:|" * 3 * len(PAIRS),
    ]
    for title, threads, pick, style, more_is_better in _rows(result):
        cells = _cells(result, pick, style, more_is_better)
        if set(cells) != {"–"}:
            lines.append(f"| {title} | {threads} | " + " | ".join(cells) + " |")
    lines += ["", "| file | MB | conversion, s | perplexity | over llama.cpp F16 |", "|---|--:|--:|--:|--:|"]
    for name, row in result["files"].items():
        seconds = median(row.get("conversion_seconds"))
        perplexity = f"{row['perplexity']:.3f}" if "perplexity" in row else "–"
        lines.append(
            f"| {name} | {row['bytes'] / 1e6:.1f} | {f'{seconds:.2f}' if seconds else '–'} "
            f"| {perplexity} | {_increase(row)} |"
        )
    return "\n".join(lines)
