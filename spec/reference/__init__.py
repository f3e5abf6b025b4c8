"""A second reader of SQF 1.0, written from sqf.md, encodings.md, tokenizer.md and rules.md alone."""

from . import data as _data
from . import directory as _directory
from . import head as _head
from . import model as _model
from . import tensors as _tensors
from . import vectors as _vectors
from .dequantize import dequantize, effective
from .file import File, load
from .findings import Finding, Malformed

# The steps of sqf.md, 6: each may use what those before it checked, and one that found something is the last.
STEPS = (_head.first_bytes, _head.header_fields, _head.table_hash, _head.section_records,
         _head.bytes_before_data,
         _head.texts, _directory.own_header, _directory.encodings, _directory.inputs, _directory.names,
         _tensors.tensors, _directory.whole, _vectors.check, _model.check, _data.check)

OPEN, QUICK, FULL = 13, 14, 15


def open_file(source, steps=OPEN):
    """A File after the first `steps` steps (or fewer: one that found something is the last).

    source    a path, or bytes
    steps     OPEN (13): what opening needs; QUICK (14): the model too; FULL (15): all of DATA

    Raises OSError where a path cannot be read, and nothing for what is in the file.
    """
    file = load(source)
    for step in STEPS[:steps]:
        step(file)
        # Without a section's raw bytes (no zstd at hand) nothing behind step 5 can be said.
        if file.findings or (step is _head.bytes_before_data and file.unsupported):
            break
        file.steps += 1
    return file


def check(source):
    """Every Finding of all steps, in the order of the specification; none for a good file. Arguments as of
    open_file."""
    return open_file(source, FULL).findings


__all__ = ["FULL", "File", "Finding", "Malformed", "OPEN", "QUICK", "check", "dequantize", "effective",
           "open_file"]
