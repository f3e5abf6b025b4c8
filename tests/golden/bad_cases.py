"""A corpus of malformed files, each with the rule that a reader must name first.

The expectations were written down by reasoning from spec/sqf.md (section 6 says in which order rules
are looked for), never by running a reader. Where the page leaves room, a case carries a note that
says what was assumed.

    bad_cases.py --out DIR            all files, and cases.json: [{file, rule, name, note}]
                                      rule null: the file is good; 0: refused without a rule
    bad_cases.py --one-per-rule DIR   the smallest telling file for each rule, as R101_name.sqf
    bad_cases.py --count              cases by rule
"""

import argparse
import collections
import json
import pathlib

import bad_combined
import bad_data
import bad_directory
import bad_encodings
import bad_head
import bad_model
import bad_texts
import bad_tokb
from corpus import GOOD, Corpus

# What tells most about a rule, where the smallest file would not.
TELLING = {
    101: "cut.255", 102: "foreign.gguf", 104: "header.flip.240", 105: "header.flip.40",
    106: "tiny.header0.major=2", 107: "tiny.header0.feature_incompat=4", 110: "cut.8583",
    202: "table.flip.264", 203: "texts.section1.offset=1", 204: "sections.twice.LICN",
    205: "sections.no.META", 207: "sections.bit0.without.frame", 208: "flip.TDIR.0",
    209: "texts.header0.head_size=4096", 210: "gap.tiny.TDIR.4320", 301: "meta.json.twice",
    302: "meta.format.writer=1", 303: "utf8.TMPL.inside.overlong.2", 304: "zstd.LICN.no.content.size",
    305: "encv.small.short", 306: "encv.small.value", 410: "wide.component0.size=159",
    501: "leaves.size.16", 703: "tokn.merge.result.absent", 704: "tokb.flip.12"}


def all_cases():
    corpus = Corpus()
    for module in (bad_head, bad_texts, bad_encodings, bad_directory, bad_data, bad_model,
                   bad_combined, bad_tokb):
        module.add_all(corpus)
    return corpus.cases


def file_name(index, name):
    plain = "".join(ch if ch.isascii() and (ch.isalnum() or ch in ".-_=+") else "_" for ch in name)
    return f"{index:05}_{plain[:80]}.sqf"


def write_all(cases, folder):
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for i, (name, (rule, data, note)) in enumerate(cases.items()):
        file = file_name(i, name)
        (folder / file).write_bytes(data)
        listed.append({"file": file, "rule": rule, "name": name, **({"note": note} if note else {})})
    (folder / "cases.json").write_text(json.dumps(listed, indent=0, ensure_ascii=False) + "\n")
    return listed


def one_per_rule(cases):
    """{file name: bytes}: the telling case of a rule, else its smallest, the first of equals. Cases
    that rest on an assumption are not picked."""
    best = {}
    for name, (rule, data, note) in cases.items():
        if not rule or note:
            continue
        rank = (name != TELLING.get(rule), len(data))
        if rule not in best or rank < best[rule][0]:
            best[rule] = rank, name, data
    return {f"R{rule}_{file_name(0, name)[6:]}": data for rule, (_, name, data) in sorted(best.items())}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--one-per-rule", type=pathlib.Path)
    parser.add_argument("--count", action="store_true")
    args = parser.parse_args()
    cases = all_cases()
    if args.out:
        write_all(cases, args.out)
    if args.one_per_rule:
        args.one_per_rule.mkdir(parents=True, exist_ok=True)
        for old in args.one_per_rule.glob("R*.sqf"):
            old.unlink()
        for name, data in one_per_rule(cases).items():
            (args.one_per_rule / name).write_bytes(data)
    if args.count:
        counts = collections.Counter(rule for rule, _, _ in cases.values())
        for rule in sorted(counts, key=lambda r: -1 if r is GOOD else r):
            name = "good" if rule is GOOD else "no rule" if rule == 0 else f"R{rule}"
            print(f"{name:8} {counts[rule]}")
        print(f"{len(cases)} files, {sum(len(d) for _, d, _ in cases.values()) / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
