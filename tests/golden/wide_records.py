"""Which record of corpus.wide() is which, and changing records before they are laid out."""

from builder import build
from corpus import wide, wide_description

TOP, MAX32, MAX64 = 1 << 63, (1 << 32) - 1, (1 << 64) - 1
NAN, INF = float("nan"), float("inf")
# wide()'s records, by what they are.
AFFINE, REAL, TERNARY, OCP, MINIMUM, CONSTANT, FIVE, SEVEN, HALF, BRAIN = range(10)
A, B, C, D, E, F, G, H, I, J = range(10)  # tensors
PART = {"a": 0, "b0": 1, "b1": 2, "c": 3, "d": 4, "e0": 5, "e1": 6, "e2": 7, "f": 8, "g": 9,
        "h": 10, "i": 11, "j0": 12, "j1": 13}


def count(kind):
    return wide().get("directory", 0, f"{kind}_count")


def edited(c, name, rule, edit, note="", description=wide_description):
    """A case whose records are changed before they are laid out."""
    c.add("records." + name, rule, build(description(), edit_records=edit), note)
