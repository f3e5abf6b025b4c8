"""TOKB from TOKN (tokenizer.md, 3 and 4)."""

import struct

import numpy as np

from . import strict_json
from .layout import MIB, NONE, align_up
from .strict_json import is_integer

DEPTH = 64
MOST_IDS = 1 << 24
MOST_BYTES = 64 * MIB
MOST_VALUES = 1 << 22
VOCAB, MERGES = ("model", "vocab"), ("model", "merges")


class NoTables(ValueError):
    """The tokenizer has no TOKB. The message says why."""


def is_header(entry):
    """Whether an entry of `merges` is the first line of a merges.txt, which is no merge."""
    return type(entry) is str and entry.startswith("#version")


def pair(entry):
    """(left, right) of an entry of `merges`, or None where it has another form."""
    if type(entry) is str:
        entry = entry.split(" ")
    if type(entry) is not list or len(entry) != 2 or not all(type(each) is str for each in entry):
        return None
    return tuple(entry)


def _model(value):
    """TOKN's `model`, where none of its members says that there are no tables."""
    model = value.get("model") if type(value) is dict else None
    if type(model) is not dict or type(model.get("vocab")) is not dict:
        raise NoTables("no object `model.vocab`")
    if type(model.get("merges")) is not list:
        raise NoTables("no array `model.merges`")
    if type(model.get("type")) is str and model["type"] != "BPE":
        raise NoTables(f"a model of type {model['type'][:80]!r}")
    for name in ("continuing_subword_prefix", "end_of_word_suffix"):
        # Not `in (None, "")`: 0 and false are neither absent, null nor "".
        if model.get(name) is not None and model[name] != "":
            raise NoTables(f"{name} is given")
    return model


def _tokens(vocabulary):
    """(begin u32 [V + 1], pool as bytes, empty_id) of texts and ids."""
    ids = vocabulary.values()
    if not all(is_integer(each) and 0 <= each < MOST_IDS for each in ids):
        raise NoTables("an id that is no integer from 0 to 2^24 - 1")
    if len(set(ids)) != len(vocabulary):
        raise NoTables("two tokens have one id")
    count = max(ids, default=-1) + 1
    if vocabulary and count - 1 >= 4 * len(vocabulary) + 65536:
        raise NoTables("the ids would be mostly gaps")
    sizes = np.zeros(count + 1, dtype=np.int64)
    pieces = []
    for text, each in sorted(vocabulary.items(), key=lambda item: item[1]):
        pieces.append(text.encode())
        sizes[each + 1] = len(pieces[-1])
    return np.cumsum(sizes).astype("<u4"), b"".join(pieces), vocabulary.get("", NONE)


def _merges(entries, vocabulary, count):
    """(first u32 [V + 1], entries u32 [3, M]: right, rank, merged) of the merges, V being `count`."""
    kept = {}
    for rank, entry in enumerate(entry for entry in entries if not is_header(entry)):
        texts = pair(entry)
        if texts is None:
            raise NoTables(f"merge {rank} has another form")
        joined = texts[0] + texts[1]
        if texts[0] not in vocabulary or texts[1] not in vocabulary or joined not in vocabulary:
            raise NoTables(f"merge {rank} is not of tokens")
        # Of a pair that stands there twice the last entry is the one that counts.
        kept[vocabulary[texts[0]], vocabulary[texts[1]]] = rank, vocabulary[joined]
    table = np.array([(*ids, *kept[ids]) for ids in sorted(kept)], dtype=np.int64).reshape(-1, 4)
    first = np.searchsorted(table[:, 0], np.arange(count + 1))
    return first.astype("<u4"), np.ascontiguousarray(table[:, 1:].T).astype("<u4")


def _rest(text, spans):
    """The bytes of TOKN without its vocabulary and merges.

    text     TOKN as str
    spans    where the two values stand in it, {path: (first character, end)}
    """
    pieces = []
    at = 0
    for (first, end), short in sorted([(spans[VOCAB], "{}"), (spans[MERGES], "[]")]):
        pieces += [text[at:first], short]
        at = end
    return "".join([*pieces, text[at:]]).encode()


def compile_tokens(raw):
    """The bytes of TOKB that the bytes of TOKN come to. Raises NoTables where there are none."""
    spans = {}
    try:
        value = strict_json.parse(raw, DEPTH, spans, MOST_VALUES)
    except strict_json.JsonError as error:
        raise NoTables(f"TOKN is not strict JSON: {error}") from None
    model = _model(value)
    begin, pool, empty_id = _tokens(model["vocab"])
    first, (right, rank, merged) = _merges(model["merges"], model["vocab"], len(begin) - 1)
    rest = _rest(str(raw, "utf-8"), spans)
    out = [struct.pack("<6I40x", 1, len(begin) - 1, len(right), len(pool), len(rest), empty_id)]
    for array in (begin, first, right, rank, merged, pool, rest):
        data = array if type(array) is bytes else array.tobytes()
        out.append(data.ljust(align_up(len(data), 8), b"\0"))
    if sum(map(len, out)) > MOST_BYTES:
        raise NoTables("more than 64 MiB of tables")
    return b"".join(out)
