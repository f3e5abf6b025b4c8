"""The list that bad cases go on, and the good files that they are made from."""

import functools

import packing as pk
import seeds
from builder import (BF16, E4M3, E8M0, F16, F32, I8, OCP, ZERO_CONSTANT, ZERO_MINIMUM,
                     Description, Input, Tensor, build)
from make_good import CALIBRATION, LICENCE, TEMPLATE, plain
from parts import Source, test_vectors
from seeds import columns_all, columns_list, columns_rest, finish

GOOD = None
NO_RULE = 0  # refused without a rule: a word in META's model that the reader does not know


class Corpus:
    """Cases by name. `note` says what was assumed where the specification leaves room."""

    def __init__(self):
        self.cases = {}
        self.by_bytes = {}
        for name, seed in SEEDS.items():
            self.by_bytes[bytes(seed().bytes)] = ("seed " + name, None)

    def add(self, name, rule, file, note=""):
        data = bytes(getattr(file, "bytes", file))
        twin = self.by_bytes.get(data)
        if twin:
            assert twin[1] == rule, f"{name} (R{rule}) is the same file as {twin}"
            return
        assert name not in self.cases, name
        self.cases[name] = (rule, data, note)
        self.by_bytes[data] = (name, rule)

    def good(self, name, file, note=""):
        """A file that is odd and yet valid."""
        self.add("good." + name, GOOD, file, note)

    def fields(self, rule, seed, kind, index, values, note="", stale=()):
        """One case for each (field, value), the file sealed again."""
        for field, value in values:
            image = seed().copy().set(kind, index, field, value).seal(stale)
            self.add(f"{seed.__name__}.{kind}{index}.{field}={value}", rule, image, note)

    def bytes_of(self, rule, seed, kind, index, offsets, note=""):
        """One case for each byte of a record set to 1."""
        for at in offsets:
            image = seed().copy().poke(kind, index, at, 1).seal()
            self.add(f"{seed.__name__}.{kind}{index}.byte{at}", rule, image, note)


# ---- seeds: good files ---------------------------------------------------------------------------


@functools.cache
def tiny():
    """One tensor with most that a tensor has; one text."""
    s, d = Source(100), Description(seeds.meta(), texts={"LICN": LICENCE})
    d.encodings = [seeds.DEFAULT4]
    d.inputs = [Input(32, [columns_all(32, **seeds.INTEGER8)])]
    d.tensors = [Tensor(b"weight", (5, 32), [s.part(d.encodings[0], 0, 1, 5, 32)], 0)]
    return build(d)


def texts_description():
    s = Source(101)
    d = Description(seeds.meta(), texts={
        "TOKN": seeds.text(seeds.tokenizer()), "TMPL": TEMPLATE, "CALB": seeds.text(CALIBRATION),
        "XTRA": b"\xff\x00\xfe", "LICN": LICENCE})
    plain(d, s, "w", pk.affine(2, 0, F16, ZERO_CONSTANT, constant=1), 3, 20)
    d.encv = test_vectors(d.encodings, s)
    return d


@functools.cache
def texts():
    """Every kind of section."""
    return build(texts_description())


@functools.cache
def chunks():
    """Two chunks of DATA."""
    s, d = Source(102), Description(seeds.meta(), header={"chunk_log2": 16})
    plain(d, s, "a", pk.real(F32), 16, 1040)
    plain(d, s, "b", pk.real(F32), 1, 9)
    return build(d)


def wide_description():
    s, d = Source(103), Description(seeds.meta())
    d.encodings = [
        seeds.DEFAULT4, pk.real(F32), pk.levels([-1, 0, 1], [3], 0, F16),
        pk.minifloat(4, 3, 7, 32, F16, OCP), pk.affine(3, 32, F16, ZERO_MINIMUM),
        pk.affine(2, 0, BF16, ZERO_CONSTANT, constant=2), pk.levels([-2, -1, 0, 1, 2], [5], 0, E8M0),
        pk.levels([-5, -2.5, -1, 0, 0.5, 2, 6], [4, 2], 32, E4M3), pk.real(F16), pk.real(BF16)]
    static = {"quantizer": 1, "bits": 8, "is_static": 1, "scale": 0.5, "low": -1.0}
    d.inputs = [
        Input(40, [columns_list([5, 39], **seeds.INTEGER8),
                   columns_rest(38, quantizer=1, bits=4, asymmetric=1)],
              pk.vector(s.uniform(0.5, 2, (1, 40))), 2),
        Input(40, [columns_all(40, quantizer=2, exponent_bits=4, mantissa_bits=3)],
              pk.vector(s.uniform(0.5, 2, (1, 40))), 1),
        Input(40, [columns_list([1, 2], **static), columns_list([0, 3]), columns_rest(36)])]

    def part(encoding, rows, columns, column_set=0, experts=1, **more):
        return s.part(d.encodings[encoding], encoding, experts, rows, columns, column_set, **more)

    def tensor(name, shape, parts, reads=None, bias=None, low_rank=None, r=0):
        t = Tensor(name, shape, parts, reads, bias, r)
        if low_rank:
            t.low_rank = s.low_rank(low_rank, 1, shape[0], shape[1], r)
        d.tensors.append(t)

    bias = pk.vector(s.uniform(-1, 1, (1, 5)))
    tensor(b"a.affine", (5, 40), [part(0, 5, 40, row_sums=True)], 1, bias, I8, 2)
    tensor(b"b.parts", (5, 40), [part(1, 5, 2, 0), part(2, 5, 38, 1, column_factors=True,
                                                       row_sums=True)], 0, None, F16, 1)
    tensor(b"c.ocp", (3, 40), [part(3, 3, 40)])
    tensor(b"d.minimum", (18, 40), [part(4, 18, 40)])
    tensor(b"e.constant", (3, 40), [part(8, 3, 2, 0), part(9, 3, 2, 1), part(5, 3, 36, 2)], 2)
    tensor(b"f.five", (2, 40), [part(6, 2, 40)])
    tensor(b"g.seven", (2, 40), [part(7, 2, 40)])
    tensor(b"h.rank1", (33,), [s.real_part(F32, 1, 1, 33)])
    tensor(b"i.experts", (2, 3, 40), [part(0, 3, 40, experts=2)], None,
           pk.vector(s.uniform(-1, 1, (2, 3))))
    tensor(b"j.residual", (2, 40), [part(2, 2, 40), part(5, 2, 40)], 1)
    return finish(d)


@functools.cache
def wide():
    """Every kind of record with every kind of field in use."""
    return build(wide_description())


def model_description(members=None, tokenizer=None, **texts_more):
    members = members or seeds.model_members()
    texts_all = {"TOKN": tokenizer if tokenizer is not None else seeds.text(seeds.tokenizer())}
    return seeds.llama(Source(104), members, pk.levels([-1, 0, 1], [3], 0, F16), pk.real(F16),
                       {**texts_all, **texts_more})


@functools.cache
def model():
    """A model with its tokenizer."""
    return build(model_description())


SEEDS = {f.__name__: f for f in (tiny, texts, chunks, wide, model)}
