"""Branch coverage of the validator under the corpus:
coverage.py --library LIBRARY... --work DIR [--link FLAG]... [--least PERCENT] FOLDER...

Compiles the validator's sources for gcov, runs every file of the folders through them, and counts branches.
Branches that only an exception takes (gcov marks them) are the compiler's, not the validator's, and left out.
"""
import argparse
import gzip
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = {"format": ["validate_head", "validate_directory", "validate_values", "validate_data", "test_vectors", "zstd",
                      "directory", "encoding", "codes"],
           "model": ["check_model", "check_tokenizer"]}
# Functions in these sources that write or describe, and so see no file.
OTHERS = ("make_test_vectors", "::fill", "put_number", "Sequence", "::compress_frame", "serialize", "::put<", "describe",
          "affine_encoding", "minifloat_encoding", "levels_encoding", "real_encoding")


def build(args):
    flags = ["-std=c++20", "-O0", f"-I{ROOT}"]
    objects = []
    for folder, names in SOURCES.items():
        for name in names:
            objects.append(f"{name}.o")
            subprocess.run([args.compiler, *flags, "--coverage", "-fprofile-abs-path", "-c",
                            str(ROOT / folder / f"{name}.cpp"), "-o", f"{name}.o"], cwd=args.work, check=True)
    subprocess.run([args.compiler, *flags, str(ROOT / "tests/mutation/mutants.cpp"), *objects, *args.library,
                    *args.link, "--coverage", "-o", "validator"], cwd=args.work, check=True)


def branches(work, folder, name):
    """(taken, all, lines with a branch never taken) of one source."""
    subprocess.run(["gcov", "--json-format", "--branch-probabilities", f"{name}.o"], cwd=work, check=True,
                   stdout=subprocess.DEVNULL)
    report = json.loads(gzip.open(work / f"{name}.gcov.json.gz").read())
    taken = total = 0
    missed = set()
    for file in report["files"]:
        if not file["file"].endswith(f"{folder}/{name}.cpp"):
            continue
        others = {f["name"] for f in file["functions"] if any(o in f["demangled_name"] for o in OTHERS)}
        for line in file["lines"]:
            if line.get("function_name") in others:
                continue
            for branch in line["branches"]:
                if branch["throw"]:
                    continue
                total += 1
                taken += branch["count"] > 0
                if branch["count"] == 0:
                    missed.add(line["line_number"])
    return taken, total, sorted(missed)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", action="append", required=True, help="in the order of linking")
    parser.add_argument("--link", action="append", default=[])
    parser.add_argument("--compiler", default="c++")
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--least", type=float, default=95)
    parser.add_argument("folders", nargs="+")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    for old in args.work.glob("*.gcda"):
        old.unlink()
    build(args)
    subprocess.run([args.work / "validator", "-", *args.folders], check=True)
    all_taken = all_total = 0
    for folder, name in ((folder, name) for folder, names in SOURCES.items() for name in names):
        taken, total, missed = branches(args.work, folder, name)
        all_taken, all_total = all_taken + taken, all_total + total
        print(f"{name:20} {taken:4} of {total:4} branches; lines not fully taken: {missed}")
    percent = 100 * all_taken / all_total
    print(f"{all_taken} of {all_total} branches, {percent:.1f} %; at least {args.least:g} % are asked for")
    return 0 if percent >= args.least else 1


if __name__ == "__main__":
    sys.exit(main())
