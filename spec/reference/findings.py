"""What a reader has to say about a file: the rule that is broken, and where."""

from typing import NamedTuple


class Finding(NamedTuple):
    """One broken rule of rules.md. `str(finding)` is `R203 message`."""

    rule: int
    message: str

    def __str__(self):
        return f"R{self.rule} {self.message}"


class Malformed(ValueError):
    """Raised by the functions that give values (dequantize) when the file's bytes have none."""
