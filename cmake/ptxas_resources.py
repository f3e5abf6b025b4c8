#!/usr/bin/env python3
"""What kernels take, from the output of ptxas -v: one JSON object per kernel and architecture, in bytes but for the
registers of a thread. Output that says nothing of a kernel it names is an error."""
import argparse
import json
import pathlib
import re
import sys

ENTRY = re.compile(r"ptxas info\s*: Compiling entry function '([^']+)' for '([^']+)'")
PROPERTIES = re.compile(r"ptxas info\s*: Function properties for (\S+)")
FRAME = re.compile(r"\s*(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"ptxas info\s*: Used (\d+) registers(.*)")


def kernels(text, source):
    """Functions that are no kernels have properties too: only those of the kernel in hand count."""
    found, current, of_kernel = [], None, False
    for line in text.splitlines():
        if match := ENTRY.match(line):
            current = {"source": source, "kernel": match[1], "arch": match[2]}
            found.append(current)
        elif match := PROPERTIES.match(line):
            of_kernel = current is not None and match[1] == current["kernel"]
        elif (match := FRAME.match(line)) and of_kernel:
            current |= {"stack": int(match[1]), "spill_stores": int(match[2]), "spill_loads": int(match[3])}
        elif (match := USED.match(line)) and of_kernel:
            shared = re.search(r"(\d+)(?:\+\d+)? bytes smem", match[2])
            current |= {"registers": int(match[1]), "shared": int(shared[1]) if shared else 0}
    for kernel in found:
        if "registers" not in kernel or "stack" not in kernel:
            raise ValueError(f"{source}: nothing about {kernel['kernel']} for {kernel['arch']}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("logs", nargs="+", type=pathlib.Path)
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    options = parser.parse_args()
    try:
        found = [kernel for log in options.logs for kernel in kernels(log.read_text(), log.stem)]
    except ValueError as problem:
        sys.exit(str(problem))
    options.output.write_text("[\n" + ",\n".join(json.dumps(kernel) for kernel in found) + "\n]\n")


if __name__ == "__main__":
    main()
