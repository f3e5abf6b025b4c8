"""Bad files in which several fields change at once, so that one check alone stands between the file
and a reader that would take it: each was made for a check that no simpler file shows missing."""

import numpy as np

import packing as pk
import seeds
from builder import F16, F32, I8, TILE_VALUES, ZERO_U8, Description, Input, Tensor, build
from corpus import model_description, texts_description, wide, wide_description
from parts import Source, test_vectors
from seeds import columns_all, columns_list, columns_rest, finish
from wide_records import AFFINE, CONSTANT, REAL
from zstd_frames import frame


def add_all(c):
    encodings(c)
    inputs(c)
    tensors(c)
    values(c)
    vectors(c)
    frames(c)
    tokenizers(c)
    many_values(c)


def together(c, name, rule, kind, index, **fields):
    image = wide().copy()
    for field, value in fields.items():
        image.set(kind, index, field.replace("_of_", "."), value)
    c.add(f"together.{name}", rule, image.seal())


def encodings(c):
    together(c, "real.with.a.plane", 402, "encoding", REAL, plane_count=1, radix0=16)
    together(c, "coded.without.planes", 402, "encoding", AFFINE, plane_count=0, radix0=0)
    together(c, "nine.planes", 402, "encoding", CONSTANT, plane_count=9, group=32, **{f"radix{i}": 2 for i in range(8)})
    together(c, "unknown.grid", 402, "encoding", CONSTANT, grid=4, zero=0, zero_constant=0)
    d = Description(seeds.meta(), [pk.affine(8, 32, F16, ZERO_U8)])
    d.tensors = [Tensor(b"w", (3, 40), [Source(1).part(d.encodings[0], 0, 1, 3, 40)])]
    c.add("together.u4.zeros.of.8.bits", 402, build(d).copy().set("encoding", 0, "zero", 2).seal())
    # A sign and one exponent bit: two bits, as many as the plane has.
    d = Description(seeds.meta(), [pk.minifloat(1, 1, 0, 32, F16)])
    d.tensors = [Tensor(b"w", (3, 40), [Source(1).part(d.encodings[0], 0, 1, 3, 40)])]
    image = build(d).copy().set("encoding", 0, "mantissa_bits", 0)
    for i, radix in enumerate((4, 0)):
        image.set("encoding", 0, f"radix{i}", radix)
    image.set("encoding", 0, "plane_count", 1)
    c.add("together.e1m0", 402, image.seal())


def inputs(c):
    big = 1 << 41
    image = wide().copy().set("input", 1, "columns", big).set("input", 1, "set0.count", big)
    c.add("together.too.many.columns", 403, image.seal())
    # No columns in no sets: nothing contradicts, and nothing is there.
    image = wide().copy().set("input", 1, "columns", 0).set("input", 1, "set_count", 0)
    for field in ("kind", "quantizer", "exponent_bits", "mantissa_bits", "count", "columns"):
        image.set("input", 1, f"set0.{field}", 0)
    c.add("together.no.columns", 403, image.seal())
    # Four sets that cover all columns, and a count of five.
    d = Description(seeds.meta(), [pk.real(F32)])
    d.inputs = [Input(8, [columns_list([0]), columns_list([1, 2]), columns_list([5]), columns_rest(4)])]
    parts = [Source(1).part(d.encodings[0], 0, 1, 2, n, i) for i, n in enumerate((1, 2, 1, 4))]
    d.tensors = [Tensor(b"w", (2, 8), parts, 0)]
    c.good("together.four.sets", build(d))
    c.add("together.five.sets.said", 403, build(d).copy().set("input", 0, "set_count", 5).seal())
    together(c, "empty.rest", 403, "input", 2, set0_of_count=38, set2_of_count=0)
    together(c, "static.of.2", 403, "input", 2, set0_of_is_static=2)
    for field in ("bits", "per_tensor", "asymmetric"):
        together(c, f"no.quantizer.with.{field}", 403, "input", 2, **{f"set1_of_{field}": 1})
    together(c, "no.quantizer.static", 403, "input", 2, set1_of_is_static=1, set1_of_scale=1.0)
    together(c, "activations.e1m0", 403, "input", 1, set0_of_exponent_bits=1, set0_of_mantissa_bits=0)


def tensors(c):
    together(c, "rank.0", 406, "tensor", 2, rank=0, shape0=0, shape1=0)
    s, d = Source(2), Description(seeds.meta(), [pk.levels([-1, 0, 1], [3], 0, F16)])
    d.inputs = [Input(20, [columns_all(20)])]
    part = lambda: s.part(d.encodings[0], 0, 1, 1, 20)
    d.tensors = [Tensor(b"w", (1, 20), [part() for _ in range(16)], 0)]
    c.good("together.sixteen.parts", build(d))
    d.tensors = [Tensor(b"w", (1, 20), [part() for _ in range(17)], 0)]
    c.add("together.seventeen.parts", 407, build(d))
    # A column set without a part, all else in order: both sets hold as many columns.
    d = Description(seeds.meta(), [pk.real(F32)])
    d.inputs = [Input(4, [columns_list([0, 3]), columns_rest(2)])]
    d.tensors = [Tensor(b"w", (2, 4), [s.part(d.encodings[0], 0, 1, 2, 2, 0) for _ in range(2)], 0)]
    c.add("together.set.without.a.part", 407, build(d))
    # A rank above K, though not above N.
    for r, rule in ((5, None), (6, 407)):
        d = Description(seeds.meta(), [pk.real(F16)])
        d.tensors = [Tensor(b"w", (20, 5), [s.part(d.encodings[0], 0, 1, 20, 5)], None, None, r,
                            s.low_rank(I8, 1, 20, 5, r))]
        c.add(f"together.rank.{r}.of.5.columns", rule, build(d))
    wrapped(c)


def wrapped(c):
    """Sizes that add up to 2^64: 8192 times 2^45 matrices of two rows, each padded to 64 bytes."""
    d = Description(seeds.meta(), [pk.real(F32)])
    s = Source(3)
    d.tensors = [Tensor(b"a", (1, 16), [s.part(d.encodings[0], 0, 1, 1, 16)])]

    def edit(r):
        tensor, part, component = r.tensors[0], r.parts[0], r.components[0]
        for i in range(8192):
            name = b"b%04d" % i
            r.tensors.append({**tensor, "name_offset": len(r.names), "name_size": len(name), "rank": 3,
                              "shape0": 1 << 45, "shape1": 2, "shape2": 1, "part_first": i + 1})
            r.names += name
            r.parts.append({**part, "plane0": i + 1})
            r.components.append({**component, "packing": TILE_VALUES, "rows": 1 << 49, "cols": 1})
            r.bodies.append(b"")

    image = build(d, edit_records=edit)
    begin = image.get("component", 0, "offset")
    for i in range(8192):
        image.set("component", i + 1, "offset", (begin + 64 + (i << 51)) % (1 << 64))
        image.set("component", i + 1, "size", 1 << 51)
    c.add("together.sizes.that.wrap", 411, image.seal(("components",)))


def values(c):
    d = Description(seeds.meta(), [pk.affine(4, 32, F32, ZERO_U8, row_factor=1)])
    part = Source(4).part(d.encodings[0], 0, 1, 16, 32)
    part.scales.body = np.full(16, 3e38, "<f4").tobytes()
    part.row_factors.body = np.full(16, 3e38, "<f4").tobytes()
    d.tensors = [Tensor(b"w", (16, 32), [part])]
    c.add("together.scale.times.factor", 603, build(d))


def vectors(c):
    """Test vectors that decode to just what stands beside them, which is no number."""
    d = Description(seeds.meta(), [pk.real(F16)])
    d.tensors = [Tensor(b"w", (2, 8), [Source(5).part(d.encodings[0], 0, 1, 2, 8)])]
    stored = np.zeros((16, 36), "<f2")
    stored[3, 7] = np.inf
    d.encv = pk.values(stored, F16).body + stored.astype("<f4").tobytes()
    c.add("together.encv.infinite", 306, build(d))
    d = Description(seeds.meta(), [pk.levels([-1, 0, 1], [4], 32, F16)])
    d.tensors = [Tensor(b"w", (2, 32), [Source(6).part(d.encodings[0], 0, 1, 2, 32)])]
    encv = bytearray(test_vectors(d.encodings, Source(7)))
    columns, words = 68, 3 * 2  # three groups of 32 columns, 16 columns a word
    values_at = -(-(words * 64 + 3 * 16 * 2) // 64) * 64
    encv[0] |= 3  # row 0, column 0: code 3 of three levels
    encv[values_at:values_at + 4] = bytes(4)
    assert len(encv) == values_at + 16 * columns * 4
    c.add("together.encv.code.without.value", 306, _with(d, encv))


def _with(d, encv):
    d.encv = bytes(encv)
    return build(d)


def frames(c):
    """A dictionary field that says 0: decoders take it for none."""
    d = texts_description()
    raw = d.texts["LICN"]
    for size in (1, 2, 4):
        d.frames = {"LICN": frame(raw, dictionary=bytes(size))}
        c.add(f"together.dictionary.field.of.{size}.zeros", 304, build(d))


def tokenizers(c):
    """Each stands behind one condition: what it lacks, the rest of the tokenizer would forgive."""
    def bad(name, **changes):
        c.add(f"together.tokn.{name}", 703, build(model_description(
            tokenizer=seeds.text(seeds.tokenizer(**changes)))))

    bad("merge.without.space", vocab={"a": 0, "aa": 1}, merges=["a"])
    bad("merge.with.two.spaces", vocab={"a": 0, " b": 1, "a b": 2}, merges=["a  b"])
    bad("merge.of.an.object", merges=[{"a": 1, "b": 2}])
    for name, token in (("without.content", {"id": 1}), ("content.of.a.number", {"id": 1, "content": 2})):
        t = seeds.tokenizer()
        t["added_tokens"].append(token)
        c.add(f"together.tokn.{name}", 703, build(model_description(tokenizer=seeds.text(t))))


def many_values(c):
    """2^20 values are the most in META; as many again would be a gigabyte of tree."""
    for more, rule in ((0, None), (1, 301)):
        meta = seeds.meta()
        known = 15  # meta() has 14 values, and the list is one
        assert _count(meta) + 1 == known, _count(meta)
        meta["x"] = [0] * ((1 << 20) - known + more)
        d = Description(meta, [pk.real(F16)])
        d.tensors = [Tensor(b"w", (2, 8), [Source(8).part(d.encodings[0], 0, 1, 2, 8)])]
        c.add(f"together.values.2^20+{more}", rule, build(d))


def _count(value):
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_count, inside))
