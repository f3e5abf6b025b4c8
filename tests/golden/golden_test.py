"""Holds the readers to the golden files: every file of the corpus must draw the expected rule first,
from the C++ validator and from the reference reader alike.

    golden_test.py --sqcheck PATH --reference SPEC_DIR --work DIR [--one-by-one] [--all]

Both programs are called as `PROGRAM --json FILE...` and answer each file with a line
{"file": ..., "good": bool, "findings": [{"rule": N, "code": N, "message": ...}]}. Either may be left
out. Further checks: the committed good files are what make_good.py makes, and good in both readers; the
reference reader's weights have the hashes in good/expected.json; each rule of spec/rules.md has a file
in bad/. Exit code 0: nothing disagrees.
"""

import argparse
import collections
import json
import pathlib
import re
import subprocess
import sys

import bad_cases
import make_good
from builder import hash64
from corpus import SEEDS

HERE = pathlib.Path(__file__).parent
SPEC = HERE.parent.parent / "spec"
BATCH = 400
CRASH = "no answer"


def verdicts(command, files, one_by_one=False):
    """{file name: rule of the first finding; None for a good file; CRASH}"""
    out = {}
    size = 1 if one_by_one else BATCH
    for at in range(0, len(files), size):
        batch = [str(f) for f in files[at:at + size]]
        try:
            done = subprocess.run([*command, "--json", *batch], capture_output=True, text=True,
                                  errors="replace", timeout=900)
            # One file's answer may be spread over several lines.
            lines = done.stdout.splitlines() if size > 1 else [done.stdout]
            trouble = done.stderr.strip()[-300:]
        except subprocess.TimeoutExpired:
            lines, trouble = [], "took longer than 900 s"
        answered = set()
        for line in lines:
            try:
                answer = json.loads(line)
            except ValueError:
                continue
            if not isinstance(answer, dict) or "findings" not in answer:
                continue
            file = answer.get("file", batch[0])
            answered.add(pathlib.Path(file).name)
            out[pathlib.Path(file).name] = first_rule(answer)
        missing = [f for f in batch if pathlib.Path(f).name not in answered]
        if missing and size > 1 and len(batch) > 1:  # find the one that ended the process
            out |= verdicts(command, [pathlib.Path(f) for f in missing], one_by_one=True)
        elif missing:
            out |= {pathlib.Path(f).name: CRASH for f in missing}
            print(f"{pathlib.Path(missing[0]).name}: no answer: {trouble}", file=sys.stderr)
    return out


def first_rule(answer):
    rules = [f.get("rule") for f in answer["findings"]]
    if not rules:
        return None if answer.get("good", True) else 0
    return rules[0] or 0


def shown(rule):
    return "good" if rule is None else "no rule" if rule == 0 else f"R{rule}" if rule != CRASH else rule


def compare(title, expected, readers, show_all):
    """Prints what differs; returns how many files do."""
    rows = []
    for file, (rule, note) in expected.items():
        found = {name: answers.get(file, CRASH) for name, answers in readers.items()}
        if any(f != rule for f in found.values()):
            rows.append((file, rule, found, note))
    print(f"{title}: {len(expected)} files, {len(rows)} disagree")
    names = list(readers)
    by_pattern = collections.Counter(
        (shown(rule), *(shown(found[n]) for n in names)) for _, rule, found, _ in rows)
    for pattern, n in by_pattern.most_common():
        print(f"  {n:5} files: expected {pattern[0]}, "
              + ", ".join(f"{name} {p}" for name, p in zip(names, pattern[1:])))
    printed = collections.Counter()
    if rows:
        print(f"  {'file':70} {'expected':9}" + "".join(f"{n:12}" for n in names))
    for file, rule, found, note in rows:
        pattern = (rule, *found.values())
        printed[pattern] += 1
        if show_all or printed[pattern] <= 5:
            print(f"  {file:70} {shown(rule):9}" + "".join(f"{shown(found[n]):12}" for n in names)
                  + (f" (assumed: {note})" if note else ""))
    return len(rows)


def committed_good_files():
    """The good folder is what the program makes today."""
    wrong = 0
    images = make_good.images()
    expected = json.loads((make_good.GOOD / "expected.json").read_text())
    on_disk = {f.name for f in make_good.GOOD.glob("*.sqf")}
    for name in sorted(on_disk ^ {f"{n}.sqf" for n in images}):
        print(f"good/{name}: on one side only")
        wrong += 1
    for name, image in images.items():
        file = make_good.GOOD / f"{name}.sqf"
        if not file.exists() or file.read_bytes() != bytes(image.bytes):
            print(f"good/{name}.sqf: differs from what make_good.py makes")
            wrong += 1
        if expected.get(f"{name}.sqf") != make_good.expectations(image):
            print(f"good/expected.json: {name}.sqf has other values")
            wrong += 1
    print(f"good files: {len(images)} made again, {wrong} differ")
    return wrong


def reference_values(spec_folder):
    """The reference reader's weights against expected.json; returns how many tensors differ."""
    sys.path.insert(0, str(spec_folder))
    import reference

    expected = json.loads((make_good.GOOD / "expected.json").read_text())
    tensors = wrong = 0
    for name, of_file in expected.items():
        file = reference.open_file(str(make_good.GOOD / name))
        for tensor, wanted in of_file.items():
            tensors += 1
            for kind, call in (("dequantized", reference.dequantize), ("effective", reference.effective)):
                found = b"".join(call(file, tensor, expert=e).astype("<f4").tobytes()
                                 for e in range(wanted["shape"][0]))
                if f"{hash64(found):016x}" != wanted[kind]["xxh3_64"]:
                    print(f"{name}: {tensor}: {kind} values differ")
                    wrong += 1
    print(f"values of the reference reader: {tensors} tensors, {wrong} differ")
    return wrong


def rule_files(cases):
    """{file: (rule, note)} of bad/, and how many rules lack one or differ from the corpus."""
    rules = {int(n) for n in re.findall(r"^\| R(\d+) \|", (SPEC / "rules.md").read_text(), re.M)}
    files = {f.name: (int(f.name[1:4]), "") for f in (HERE / "bad").glob("R*.sqf")}
    wrong = 0
    for rule in sorted(rules - {rule for rule, _ in files.values()}):
        print(f"R{rule}: no file in tests/golden/bad")
        wrong += 1
    made = bad_cases.one_per_rule(cases)
    for name in sorted(files.keys() ^ made.keys()):
        print(f"bad/{name}: on one side only; run bad_cases.py --one-per-rule")
        wrong += 1
    for name in files.keys() & made.keys():
        if (HERE / "bad" / name).read_bytes() != made[name]:
            print(f"bad/{name}: differs from what bad_cases.py makes")
            wrong += 1
    return files, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sqcheck", type=pathlib.Path)
    parser.add_argument("--reference", type=pathlib.Path)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--one-by-one", action="store_true", help="a process for each file")
    parser.add_argument("--all", action="store_true", help="print every disagreement")
    args = parser.parse_args()

    commands = {}
    if args.sqcheck:
        commands["C++"] = [str(args.sqcheck)]
    if args.reference:
        commands["Python"] = [sys.executable, str(args.reference / "reference")]

    wrong = committed_good_files()
    cases = bad_cases.all_cases()
    listed = bad_cases.write_all(cases, args.work / "corpus")
    (args.work / "seeds").mkdir(parents=True, exist_ok=True)
    for name, seed in SEEDS.items():
        (args.work / "seeds" / f"{name}.sqf").write_bytes(seed().bytes)
    one_each, missing = rule_files(cases)
    wrong += missing

    def hold(title, folder, expected):
        files = [folder / name for name in expected]
        readers = {name: verdicts(command, files, args.one_by_one)
                   for name, command in commands.items()}
        return compare(title, expected, readers, args.all)

    good = {f.name: (None, "") for f in sorted(make_good.GOOD.glob("*.sqf"))}
    wrong += hold("good", make_good.GOOD, good)
    if args.reference:
        wrong += reference_values(args.reference)
    wrong += hold("seeds", args.work / "seeds", {f"{name}.sqf": (None, "") for name in SEEDS})
    wrong += hold("one file a rule", HERE / "bad", one_each)
    wrong += hold("corpus", args.work / "corpus",
                  {case["file"]: (case["rule"], case.get("note", "")) for case in listed})
    print("all agree" if wrong == 0 else f"{wrong} disagreements")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
