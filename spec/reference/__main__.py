"""python -m reference FILE...: good, or every finding."""

import argparse
import json
import os
import sys

if not __package__:
    # Run as `python spec/reference`: the folder that holds the package, and not the package, is where to
    # import from.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    __package__ = "reference"

import numpy as np  # noqa: E402

import reference  # noqa: E402
from reference.xxh3 import hash64  # noqa: E402

GOOD, MALFORMED, IO_ERROR, UNSUPPORTED = 0, 1, 3, 4


def _rows(text):
    first, _, last = text.partition(":")
    return int(first), int(last)


def _arguments():
    parser = argparse.ArgumentParser(
        prog="reference", description="Checks SQF files against the specification, rule by rule.",
        epilog="Exit codes: 0 good, 1 malformed, 2 usage, 3 I/O, 4 unsupported.")
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--json", action="store_true", help="one JSON object per file and line")
    parser.add_argument("--quick", action="store_true", help="stop after step 14: DATA is not read")
    parser.add_argument("--dequantize", metavar="TENSOR",
                        help="give the weights of a tensor instead of checking DATA")
    parser.add_argument("--effective", action="store_true",
                        help="with --dequantize: for the input before smoothing")
    parser.add_argument("--expert", type=int, default=0,
                        help="with --dequantize: the matrix of a tensor of rank 3")
    parser.add_argument("--rows", type=_rows, metavar="FIRST:END", help="with --dequantize: these rows alone")
    parser.add_argument("--out", metavar="FILE",
                        help="with --dequantize: write f32, little-endian, row after row")
    return parser.parse_args()


def _code(file):
    if file.damage:
        return MALFORMED
    return UNSUPPORTED if file.unsupported else GOOD


def _print(name, file, as_json):
    if as_json:
        findings = [{"rule": finding.rule, "message": finding.message} for finding in file.findings]
        print(json.dumps({"file": name, "good": file.good, "findings": findings,
                          "unsupported": file.unsupported,
                          "notes": file.notes}))
        return
    for finding in file.findings:
        print(f"{name}: {finding}")
    for each in file.unsupported:
        print(f"{name}: unsupported: {each}")
    if file.good:
        print(f"{name}: good")
    for each in file.notes:
        print(f"{name}: note: {each}")


def _dequantize(file, arguments):
    if not file.opened:
        return _code(file)
    compute = reference.effective if arguments.effective else reference.dequantize
    try:
        weights = compute(file, arguments.dequantize, arguments.expert, arguments.rows)
    except (KeyError, IndexError, MemoryError, reference.Malformed) as error:
        print(f"{ascii(arguments.dequantize)}: {error!r}", file=sys.stderr)
        return MALFORMED
    raw = weights.astype("<f4").tobytes()
    if arguments.out:
        with open(arguments.out, "wb") as stream:
            stream.write(raw)
    finite = weights[np.isfinite(weights)].astype(np.float64)
    print(f"{arguments.dequantize} f32 {list(weights.shape)} hash {hash64(raw):016x} "
          f"sum of squares {float((finite * finite).sum()):.9g}")
    return GOOD


def main():
    arguments = _arguments()
    # Names of files and tensors are anybody's: what the terminal cannot show is escaped.
    sys.stdout.reconfigure(errors="backslashreplace")
    codes = set()
    steps = reference.QUICK if arguments.quick else reference.FULL
    if arguments.dequantize:
        steps = reference.OPEN
    for name in arguments.files:
        try:
            file = reference.open_file(name, steps)
            if arguments.quick:
                file.notes.append("DATA was not read")
            if not arguments.dequantize or not file.opened:
                _print(name, file, arguments.json)
            codes.add(_dequantize(file, arguments) if arguments.dequantize else _code(file))
        except OSError as error:
            print(f"{name}: {error}", file=sys.stderr)
            codes.add(IO_ERROR)
    # The most pressing of several files' codes.
    return next(code for code in (IO_ERROR, MALFORMED, UNSUPPORTED, GOOD) if code in codes)


if __name__ == "__main__":
    sys.exit(main())
