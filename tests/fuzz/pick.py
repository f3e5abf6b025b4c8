#!/usr/bin/env python3
"""Chooses few files that reach much, from the control file of libFuzzer's -set_cover_merge: features per byte first.

usage: pick.py CONTROL_FILE MAX_FILES MAX_BYTES      prints the chosen paths
"""
import pathlib
import sys


def read_control(path):
    """Path -> set of features. The control file: a count, another, that many paths, then lines of results."""
    lines = pathlib.Path(path).read_text().splitlines()
    count = int(lines[0])
    names = lines[2 : 2 + count]
    features = {}
    for line in lines[2 + count :]:
        kind, index, *rest = line.split()
        if kind == "FT":
            features[names[int(index)]] = set(map(int, rest))
    return features


def main():
    features = read_control(sys.argv[1])
    max_files, left = int(sys.argv[2]), int(sys.argv[3])
    size = {name: max(pathlib.Path(name).stat().st_size, 256) for name in features}  # a file costs something by itself
    chosen, covered = [], set()
    while features and len(chosen) < max_files:
        features = {n: rest for n, f in features.items() if size[n] <= left and (rest := f - covered)}
        if not features:
            break
        best = max(sorted(features), key=lambda n: len(features[n]) / size[n])
        chosen.append(best)
        covered |= features.pop(best)
        left -= size[best]
    print("\n".join(chosen))


if __name__ == "__main__":
    main()
