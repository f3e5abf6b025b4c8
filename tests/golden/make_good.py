"""Makes tests/golden/good: small valid files that between them use everything SQF 1.0 has, and
expected.json with the values they hold, computed by decoder.py.

    make_good.py            writes the folder again; the bytes never change
    make_good.py --frames   first compresses frames/*.zst again (needs the zstandard module, and a
                            newer one may well compress differently)
"""

import json
import pathlib
import sys

import numpy as np

import decoder
import packing as pk
import seeds
from builder import (BF16, E4M3, E8M0, F16, F32, I8, OCP, SATURATING, U8, ZERO_CONSTANT,
                     ZERO_MINIMUM, ZERO_U4, ZERO_U8, Description, Input, Part, Tensor, build,
                     hash64)
from parts import Source, test_vectors
from seeds import columns_all, columns_list, columns_rest, finish

HERE = pathlib.Path(__file__).parent
GOOD = HERE / "good"


def plain(d, source, name, encoding, rows, columns, experts=1, **part):
    """A tensor of one part that reads no input record, with an encoding of its own."""
    d.encodings.append(encoding)
    shape = (rows, columns) if experts == 1 else (experts, rows, columns)
    made = source.part(encoding, len(d.encodings) - 1, experts, rows, columns, **part)
    d.tensors.append(Tensor(name.encode(), shape, [made]))


def with_vectors(d, source):
    d.encv = test_vectors(d.encodings, source)
    return finish(d)


def real():
    s, d = Source(1), Description(seeds.meta())
    for name, element in (("f32", F32), ("f16", F16), ("bf16", BF16)):
        plain(d, s, name, pk.real(element), 5, 37)
        index = len(d.encodings) - 1
        d.tensors.append(Tensor(f"{name}.rank1".encode(), (33,), [s.real_part(element, index, 1, 33)]))
        d.tensors.append(Tensor(f"{name}.rank3".encode(), (3, 2, 32),
                                [s.real_part(element, index, 6, 32, experts=3)]))
    extremes = np.array([[-0.0, 1e-45, -1e-45, 3.4028235e38, -3.4028235e38, 1.1754942e-38]], "<f4")
    d.tensors.append(Tensor("größe.⊕".encode(), (6,), [Part(0, [pk.values(extremes, F32)])]))
    return with_vectors(d, s)


def affine_narrow():
    """1 to 4 bits, each zero kind, groups whole and ragged."""
    s, d = Source(2), Description(seeds.meta())
    plain(d, s, "bits1.minimum.g32", pk.affine(1, 32, F16, ZERO_MINIMUM), 18, 70, row_sums=True)
    plain(d, s, "bits2.constant.row", pk.affine(2, 0, F32, ZERO_CONSTANT, constant=2), 17, 45)
    plain(d, s, "bits3.u4.g32", pk.affine(3, 32, U8, ZERO_U4, row_factor=1), 16, 64, row_sums=True)
    plain(d, s, "bits4.u4.g16", pk.affine(4, 16, BF16, ZERO_U4), 3, 40)
    plain(d, s, "bits4.u8.g64", pk.affine(4, 64, E4M3, ZERO_U8, row_factor=1), 5, 100, row_sums=True)
    return with_vectors(d, s)


def affine_wide():
    """4 to 8 bits, each scale type."""
    s, d = Source(3), Description(seeds.meta())
    plain(d, s, "bits4.constant0.row", pk.affine(4, 0, E8M0, ZERO_CONSTANT), 2, 31)
    plain(d, s, "bits5.u8.g32", pk.affine(5, 32, U8, ZERO_U8, row_factor=1), 16, 33, row_sums=True)
    plain(d, s, "bits6.constant.g64", pk.affine(6, 64, F16, ZERO_CONSTANT, constant=63), 4, 96)
    plain(d, s, "bits7.u8.row", pk.affine(7, 0, BF16, ZERO_U8), 2, 50)
    plain(d, s, "bits8.minimum.g16", pk.affine(8, 16, F32, ZERO_MINIMUM, row_factor=1), 7, 48)
    plain(d, s, "bits8.constant.g32", pk.affine(8, 32, E4M3, ZERO_CONSTANT, constant=128), 2, 70,
          row_sums=True)
    plain(d, s, "bits8.rank1", pk.affine(8, 32, U8, ZERO_U8), 1, 40)
    d.tensors[-1].shape = (40,)
    return with_vectors(d, s)


def bit_planes():
    """The same widths as other sums of planes."""
    s, d = Source(4), Description(seeds.meta())
    plain(d, s, "planes.1111", pk.affine(4, 32, F16, ZERO_U8, radices=[2, 2, 2, 2]), 17, 64)
    plain(d, s, "planes.11111111", pk.affine(8, 0, F16, ZERO_U8, radices=[2] * 8), 2, 40)
    plain(d, s, "planes.22", pk.affine(4, 64, F16, ZERO_U4, radices=[4, 4]), 3, 70, row_sums=True)
    plain(d, s, "planes.44", pk.affine(8, 16, F16, ZERO_CONSTANT, constant=7, radices=[16, 16]), 3, 52)
    plain(d, s, "planes.211", pk.affine(4, 32, F32, ZERO_MINIMUM, radices=[4, 2, 2]), 2, 33)
    d.component_order = lambda c: (-c.element, c.rows)  # any order of components will do
    d.encv = None
    return finish(d)


def minifloats_ocp():
    """The five OCP formats; no code without a number."""
    s, d = Source(5), Description(seeds.meta())
    for exponent, mantissa, bias, group in ((5, 2, 15, 16), (4, 3, 7, 16), (3, 2, 3, 0), (2, 3, 1, 32),
                                            (2, 1, 1, 16)):
        plain(d, s, f"e{exponent}m{mantissa}",
              pk.minifloat(exponent, mantissa, bias, group, E8M0, OCP), 3, 64)
    return with_vectors(d, s)


def minifloats():
    """Saturating ones: every code is a number. Row sums where the integer levels fit a byte."""
    s, d = Source(16), Description(seeds.meta())
    for exponent, mantissa, bias, group, scale, factor, sums in (
            (2, 1, 1, 16, F16, 0, True), (3, 4, 3, 0, F32, 1, False), (1, 6, 1, 16, BF16, 0, True),
            (4, 3, 11, 64, E4M3, 0, False), (5, 0, -3, 0, F16, 0, False), (1, 1, 0, 32, U8, 1, True)):
        plain(d, s, f"e{exponent}m{mantissa}",
              pk.minifloat(exponent, mantissa, bias, group, scale, SATURATING, factor), 5, 40,
              row_sums=sums)
    return with_vectors(d, s)


NF4 = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
       -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
       0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
       0.7229568362236023, 1.0]


def levels():
    s, d = Source(6), Description(seeds.meta())
    plain(d, s, "binary", pk.levels([-1, 1], [2], 0, F32), 18, 40, row_sums=True)
    plain(d, s, "five", pk.levels([-2, -1, 0, 1, 2], [5], 0, BF16), 16, 50, row_sums=True)
    plain(d, s, "five.g10", pk.levels([-2, -1, 0, 1, 2], [5], 10, F16), 3, 24)
    plain(d, s, "nf4", pk.levels(NF4, [16], 64, F32), 4, 96)
    plain(d, s, "seven", pk.levels([-5, -2.5, -1, 0, 0.5, 2, 6], [4, 2], 32, U8, row_factor=1), 4, 40)
    plain(d, s, "sixteen.planes", pk.levels(list(range(-8, 8)), [4, 4], 32, E4M3), 2, 40,
          row_sums=True)
    plain(d, s, "ternary", pk.levels([-1, 0, 1], [3], 0, F16), 17, 45, row_sums=True)
    plain(d, s, "ternary.g7", pk.levels([0, 1, -1], [3], 7, F16, row_factor=1), 2, 30)
    return with_vectors(d, s)


def column_parts():
    s, d = Source(7), Description(seeds.meta())
    d.encodings = [pk.affine(4, 32, F16, ZERO_U8), pk.real(F16),
                   pk.affine(8, 0, F32, ZERO_CONSTANT, constant=128),
                   pk.affine(1, 0, F16, ZERO_MINIMUM), pk.levels([-1, 0, 1], [3], 0, F16)]
    e = d.encodings
    d.inputs = [
        Input(70, [columns_list([0, 7, 33, 69], quantizer=1, bits=8), columns_rest(66, quantizer=1, bits=4)]),
        Input(64, [columns_rest(58), columns_list([1, 2, 3]), columns_list([0, 62, 63])]),
        Input(80, [columns_list(list(range(3, 80, 4))), columns_rest(60)]),
        Input(32, [columns_list([31]), columns_list([0]), columns_list([1]), columns_rest(29)])]
    add = d.tensors.append
    # Outlier columns as f16, the rest in 4 bits with factors for its activations.
    add(Tensor(b"outliers", (20, 70), [
        s.part(e[1], 1, 1, 20, 4, 0),
        s.part(e[0], 0, 1, 20, 66, 1, column_factors=True, row_sums=True)], 0))
    # Two lists and the rest, parts in another order than the sets.
    add(Tensor(b"two.lists", (5, 64), [
        s.part(e[2], 2, 1, 5, 3, 2), s.part(e[0], 0, 1, 5, 58, 0), s.part(e[1], 1, 1, 5, 3, 1)], 1))
    # Binary columns with a minimum each row, the salient ones in 4 bits.
    add(Tensor(b"binary.and.4", (17, 80), [
        s.part(e[0], 0, 1, 17, 20, 0), s.part(e[3], 3, 1, 17, 60, 1, row_sums=True)], 2))
    add(Tensor(b"four.sets", (3, 32), [
        s.part(e[1], 1, 1, 3, 1, i) for i in range(3)] + [s.part(e[4], 4, 1, 3, 29, 3)], 3))
    # A residual: two parts over the same columns, and one more over the list.
    add(Tensor(b"residual", (4, 70), [
        s.part(e[4], 4, 1, 4, 66, 1), s.part(e[1], 1, 1, 4, 4, 0),
        s.part(e[4], 4, 1, 4, 66, 1, column_factors=True), s.part(e[2], 2, 1, 4, 4, 0)], 0))
    return finish(d)


def activations():
    """Smoothing, low-rank pairs, biases, every activation quantizer."""
    s, d = Source(8), Description(seeds.meta())
    d.encodings = [pk.affine(4, 32, F16, ZERO_U4), pk.minifloat(2, 1, 1, 32, E8M0, OCP)]
    smooth = [pk.vector(s.uniform(-2, 2, (1, 36)) + np.float32(0.001)) for _ in range(2)]
    quantizers = [
        {"quantizer": 0}, {"quantizer": 1, "bits": 8}, {"quantizer": 1, "bits": 4, "asymmetric": 1},
        {"quantizer": 1, "bits": 8, "is_static": 1, "scale": 0.03125, "low": 0.0},
        {"quantizer": 1, "bits": 8, "asymmetric": 1, "is_static": 1, "scale": 0.0625, "low": -3.5},
        {"quantizer": 1, "bits": 2, "per_tensor": 1},
        {"quantizer": 2, "exponent_bits": 4, "mantissa_bits": 3},
        {"quantizer": 2, "exponent_bits": 2, "mantissa_bits": 1, "per_tensor": 1}]
    d.inputs = [Input(36, [columns_all(36, **q)]) for q in quantizers]
    for state, vector in ((1, smooth[0]), (2, smooth[1])):
        d.inputs[state].smooth, d.inputs[state].smooth_state = vector, state
    for i in range(len(quantizers)):
        t = Tensor(f"layer.{i}".encode(), (6, 36), [s.part(d.encodings[i % 2], i % 2, 1, 6, 36)], i)
        if i % 2:
            t.bias = pk.vector(s.uniform(-1, 1, (1, 6)))
        if i in (1, 2):
            t.rank_pair, t.low_rank = 3, s.low_rank(F16 if i == 1 else I8, 1, 6, 36, 3)
        d.tensors.append(t)
    # A low-rank pair without an input record, as wide as it may be.
    t = Tensor(b"alone", (4, 33), [s.part(d.encodings[0], 0, 1, 4, 33)])
    t.rank_pair, t.low_rank = 4, s.low_rank(I8, 1, 4, 33, 4)
    d.tensors.append(t)
    return finish(d)


def experts():
    s, d = Source(9), Description(seeds.meta())
    d.encodings = [pk.affine(4, 32, U8, ZERO_U4, row_factor=1), pk.levels([-1, 0, 1], [3], 0, F32),
                   pk.real(BF16), pk.affine(3, 32, F16, ZERO_MINIMUM)]
    e = d.encodings
    d.inputs = [Input(40, [columns_list([5, 39]), columns_rest(38)])]
    t = Tensor(b"experts.lowrank", (3, 5, 40), [s.part(e[0], 0, 3, 5, 40, row_sums=True)])
    t.rank_pair, t.low_rank = 2, s.low_rank(I8, 3, 5, 40, 2)
    t.bias = pk.vector(s.uniform(-1, 1, (3, 5)))
    d.tensors.append(t)
    t = Tensor(b"experts.parts", (2, 17, 40), [
        s.part(e[2], 2, 2, 17, 2, 0), s.part(e[1], 1, 2, 17, 38, 1, row_sums=True),
        s.part(e[3], 3, 2, 17, 38, 1)], 0)
    t.rank_pair, t.low_rank = 1, s.low_rank(F16, 2, 17, 40, 1)
    d.tensors.append(t)
    return finish(d)


def aligned():
    """The widest component alignment, DATA aligned beyond the least, small chunks."""
    s, d = Source(10), Description(seeds.meta())
    d.header = {"comp_align_log2": 12, "data_align_log2": 13, "chunk_log2": 16}
    plain(d, s, "a", pk.affine(4, 32, F16, ZERO_U8), 4, 40)
    plain(d, s, "b", pk.real(F32), 2, 20)
    return finish(d)


TEMPLATE = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}".encode()
LICENCE = "Do what you like with it. © nobody\n".encode()
CALIBRATION = {"datasets": [{"name": "none", "rows": 0}], "nested": [[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}


def sections():
    """Every text, a section nobody knows, unknown features that need no knowing, a minor version."""
    s = Source(11)
    d = Description(seeds.meta(unknown={"kept": [None, True, 1e308, -0.0, "\u007f 𝄞"]}), texts={
        "TOKN": b"\xef\xbb\xbf no JSON here, which a file without a model may have",
        "TMPL": TEMPLATE, "XTRA": b"\xff\x00\xfe", "LICN": LICENCE,
        "CALB": b" \t\r\n" + seeds.text(CALIBRATION) + b"\n"})
    d.header = {"minor": 7, "feature_compat": 1 << 63 | 5, "feature_ro_compat": 1 << 40 | 2,
                "comp_align_log2": 7, "chunk_log2": 24}
    plain(d, s, "w", pk.affine(4, 32, F16, ZERO_U8), 4, 40)
    return with_vectors(d, s)


def reversed_sections():
    """The head's sections in another order: any will do."""
    s = Source(12)
    d = Description(seeds.meta(), texts={"TMPL": TEMPLATE, "LICN": LICENCE}, reverse_head=True)
    plain(d, s, "w", pk.affine(2, 32, F16, ZERO_U8), 4, 40)
    return with_vectors(d, s)


def model_tied():
    members = seeds.model_members(qk_norm="per_head", eos_ids=1)
    return seeds.llama(Source(13), members, seeds.DEFAULT4, seeds.DEFAULT8,
                       {"TOKN": seeds.text(seeds.tokenizer()), "TMPL": TEMPLATE})


def model_tables():
    """A tokenizer as tables beside its text: the reference reader compiled it."""
    sys.path.insert(0, str(HERE.parent.parent / "spec"))
    from reference.tokenizer import compile_tokens

    d = model_tied()
    d.texts = {"TOKN": d.texts["TOKN"], "TOKB": compile_tokens(d.texts["TOKN"]), "TMPL": TEMPLATE}
    return d


def model_untied():
    members = seeds.model_members(
        tied=False, qkv_bias=True, output_bias=True, mlp_bias=True, heads=4, kv_heads=2, head_dim=8,
        bos_id=-1, eos_ids=[1, 23], architecture="anything", layers=2,
        rope={"theta": 5e5, "pairing": "half", "scaling": "llama3", "factor": 8.0,
              "low_frequency": 1.0, "high_frequency": 4.0, "original_context": 32})
    return seeds.llama(Source(14), members, pk.affine(2, 32, F16, ZERO_U8), pk.real(BF16),
                       {"TOKN": seeds.text(seeds.tokenizer(merge_pairs=True)), "LICN": LICENCE})


def model_bare():
    """What may be absent is absent, or null."""
    members = seeds.model_members(bos_id=None, qkv_bias=None)
    for name in ("eos_ids", "output_bias", "mlp_bias"):
        del members[name]
    members["rope"] = {"theta": 1, "pairing": "half", "scaling": "linear", "factor": 0.001}
    return seeds.llama(Source(15), members, pk.levels([-1, 0, 1], [3], 0, F16), pk.real(F16), {})


FRAMED = ("META", "TOKN", "TMPL", "CALB", "LICN")


def compressed():
    """All five texts as zstd frames."""
    d = model_tied()
    d.meta = seeds.text(d.meta)
    d.texts = {"TOKN": d.texts["TOKN"], "TMPL": TEMPLATE * 9, "CALB": seeds.text(CALIBRATION),
               "LICN": LICENCE * 40}
    d.frames = {kind: (HERE / "frames" / f"{kind}.zst").read_bytes() for kind in FRAMED}
    return d


def compressed_one():
    """One text compressed, the others not."""
    d = sections()
    d.texts["LICN"] = LICENCE * 40
    d.frames = {"LICN": (HERE / "frames" / "LICN.zst").read_bytes()}
    return d


MAKERS = {f.__name__: f for f in (
    real, affine_narrow, affine_wide, bit_planes, minifloats_ocp, minifloats, levels, column_parts,
    activations,
    experts, aligned, sections, reversed_sections, model_tied, model_tables, model_untied, model_bare,
    compressed, compressed_one)}


# ---- expected values -----------------------------------------------------------------------------


def expectations(image):
    reader, out = decoder.Reader(image), {}
    for t in reader.tensors:
        pair = reader.dequantize(t)
        out[reader.name(t)] = {
            "shape": list(pair[0].shape),
            **{name: {"xxh3_64": f"{hash64(w.astype('<f4').tobytes()):016x}",
                      "first": [float(v).hex() for v in w.reshape(-1)[:4]]}
               for name, w in zip(("dequantized", "effective"), pair)}}
    return out


def make_frames():
    import zstandard
    (HERE / "frames").mkdir(exist_ok=True)
    for kind in FRAMED:  # compressed() reads them, so they must be there
        (HERE / "frames" / f"{kind}.zst").touch()
    d = compressed()
    for kind in FRAMED:
        raw = d.meta if kind == "META" else d.texts[kind]
        frame = zstandard.ZstdCompressor(level=19, write_checksum=kind == "TOKN").compress(raw)
        (HERE / "frames" / f"{kind}.zst").write_bytes(frame)


def images():
    return {name: build(make()) for name, make in MAKERS.items()}


def main():
    if "--frames" in sys.argv:
        make_frames()
    GOOD.mkdir(exist_ok=True)
    expected = {}
    for name, image in images().items():
        assert len(image.bytes) <= 65536, (name, len(image.bytes))
        (GOOD / f"{name}.sqf").write_bytes(image.bytes)
        expected[f"{name}.sqf"] = expectations(image)
        print(f"{name:20} {len(image.bytes):6} bytes {len(expected[name + '.sqf'])} tensors")
    (GOOD / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
