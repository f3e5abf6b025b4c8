"""TOKB beside TOKN (R704): the right one, made by the reference reader's compiler, and wrong ones."""

import pathlib
import struct
import sys

import seeds
from builder import build
from corpus import model_description

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent.parent / "spec"))
from reference.tokenizer import compile_tokens  # noqa: E402


def add_all(c):
    tokn = seeds.text(seeds.tokenizer())
    right = compile_tokens(tokn)
    file = lambda tokb: build(model_description(TOKB=tokb))
    c.good("tokb", file(right))
    for at in (*range(0, 64), *range(64, len(right), 7), len(right) - 1):
        c.add(f"tokb.flip.{at}", 704, file(right[:at] + bytes([right[at] ^ 1]) + right[at + 1:]))
    for size in (1, 63, 64, len(right) - 8, len(right) - 1):
        c.add(f"tokb.cut.{size}", 704, file(right[:size]))
    for tail in (b"\0", bytes(8), bytes(64)):
        c.add(f"tokb.longer.{len(tail)}", 704, file(right + tail))
    for version in (0, 2, 1 << 31):
        c.add(f"tokb.version.{version}", 704, file(struct.pack("<I", version) + right[4:]))
    c.add("tokb.of.another", 704, file(compile_tokens(seeds.text(seeds.tokenizer(merges=["a b"])))))
    d = model_description(TOKB=right)
    del d.texts["TOKN"]
    c.add("tokb.alone", 704, build(d))
    c.add("tokb.of.text", 704, file(tokn))
