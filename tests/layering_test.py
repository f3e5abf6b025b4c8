#!/usr/bin/env python3
"""The house's order: a folder includes only what stands below it. Also: no file named utils, rules.md as the code has it."""
import pathlib
import re
import sys

ALLOWED = {
    "format": set(),
    "loader": {"format"},
    "model": {"format"},
    "converter": {"format", "loader", "model"},
    "runtime": {"format", "loader", "model"},
    "cuda": {"format", "loader", "model", "runtime"},
    "include": set(),
    "apps": {"format", "loader", "model", "converter", "runtime", "cuda"},
}


def edges(root):
    for folder, allowed in ALLOWED.items():
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in {".hpp", ".cpp", ".h", ".cu", ".cuh"}:
                continue
            for number, line in enumerate(path.read_text().splitlines(), 1):
                found = re.match(r'\s*#\s*include\s+"([^"/]+)/', line)
                if found and found[1] != folder and found[1] not in allowed:
                    yield f"{path.relative_to(root)}:{number}: {folder} may not include {found[1]}"


def rule_differences(root):
    numbers = dict(re.findall(r"(\w+) = (\d{3}),", (root / "format/rules.hpp").read_text()))
    code = {f"R{numbers[name]}": text for name, text in
            re.findall(r'\{Rule::(\w+),\s*"([^"]+)"\}', (root / "format/rules.cpp").read_text())}
    spec = dict(re.findall(r"^\| (R\d{3}) \| (.+) \|$", (root / "spec/rules.md").read_text(), re.M))
    for rule in sorted(code.keys() | spec.keys()):
        if code.get(rule) != spec.get(rule):
            yield f"{rule}: the code says {code.get(rule)!r}, spec/rules.md {spec.get(rule)!r}"
    if len(code) != len(numbers):
        yield f"{len(numbers)} rule numbers, {len(code)} texts"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
    problems = list(edges(root)) + list(rule_differences(root))
    problems += [f"{p.relative_to(root)}: a name that says nothing" for f in ALLOWED for p in (root / f).rglob("*utils*")]
    print("\n".join(problems) or "layering: good")
    return bool(problems)


sys.exit(main())
