"""R402 and R403 in full, the first rule of each item, and what exit codes tell"""

import struct
import unittest

import numpy as np

import reference
from reference import decode, layout, zstd_frame
from reference.__main__ import MALFORMED, UNSUPPORTED, _code
from reference.layout import NONE

from .build import Sample, sample


def rules(change, make=sample):
    s = make()
    change(s)
    return [finding.rule for finding in reference.check(s.bytes())]


def encoding(**fields):
    levels = np.array(fields.pop("levels", ()), dtype="<f4").tobytes()
    fields = dict(plane_count=len(fields.get("radices", ()))) | fields
    return decode.Encoding(layout.ENCODING.unpack(layout.ENCODING.pack(levels=levels, **fields)))


AFFINE = dict(grid=1, zero=1, scale_type=1, radices=(16,), group=32)
MINIFLOAT = dict(grid=2, scale_type=1, radices=(16,), minifloat=1, exponent_bits=2, mantissa_bits=1,
                 exponent_bias=1)
LEVELS = dict(grid=3, scale_type=1, radices=(4,), level_count=3, levels=(-1, 0, 1))
REAL = dict(grid=0, value_type=2)


class Encodings(unittest.TestCase):
    def test_good(self):
        for fields in (AFFINE, MINIFLOAT, LEVELS, REAL, AFFINE | dict(group=16), AFFINE | dict(zero=2),
                       AFFINE | dict(radices=(256,), group=16), AFFINE | dict(radices=(3,), group=65536),
                       AFFINE | dict(zero_constant=15), AFFINE | dict(group=65536),
                       MINIFLOAT | dict(exponent_bias=149), MINIFLOAT | dict(exponent_bias=-124),
                       MINIFLOAT | dict(minifloat=2)):
            self.assertIsNone(encoding(**fields).wrong(), fields)

    def test_bad(self):
        for fields in (AFFINE | dict(zero=0), AFFINE | dict(zero=2, radices=(16, 2)),
                       AFFINE | dict(zero_constant=16),
                       AFFINE | dict(zero=5), AFFINE | dict(zero=3, zero_constant=1), AFFINE | dict(group=48),
                       AFFINE | dict(group=16, radices=(16, 2)), AFFINE | dict(group=16, radices=(4,)),
                       AFFINE | dict(group=65568), AFFINE | dict(radices=(5, 2)),
                       AFFINE | dict(radices=(256, 2)),
                       AFFINE | dict(radices=(2, 4)), AFFINE | dict(radices=()), AFFINE | dict(radices=(8,)),
                       AFFINE | dict(value_type=1), AFFINE | dict(scale_type=7), AFFINE | dict(row_factor=2),
                       AFFINE | dict(exponent_bias=1), AFFINE | dict(levels=(-0.0,)),
                       AFFINE | dict(reserved=b"\1"),
                       MINIFLOAT | dict(zero=1), MINIFLOAT | dict(exponent_bias=150),
                       MINIFLOAT | dict(exponent_bias=-125), MINIFLOAT | dict(minifloat=0),
                       MINIFLOAT | dict(minifloat=2, exponent_bias=0), MINIFLOAT | dict(radices=(4, 2)),
                       MINIFLOAT | dict(exponent_bits=1, mantissa_bits=0, radices=(4,)),
                       LEVELS | dict(zero=1), LEVELS | dict(level_count=1), LEVELS | dict(level_count=5),
                       LEVELS | dict(radices=(16, 2)), LEVELS | dict(levels=(0, 1, 2, -0.0)),
                       LEVELS | dict(levels=(0, 1, np.inf)), REAL | dict(value_type=4), REAL | dict(group=32),
                       REAL | dict(scale_type=1), REAL | dict(radices=(2,), plane_count=0),
                       REAL | dict(row_factor=1)):
            self.assertIsNotNone(encoding(**fields).wrong(), fields)

    def test_groups_of_16(self):
        """Any group that holds exactly 16 columns takes 16 in planes of radix 16 and 256; one of 15 takes 32."""
        for group, columns, words in ((16, 32, 4), (16, 40, 8), (32, 48, 6), (32, 47, 8), (0, 16, 2), (0,
                                                                                                       15,
                                                                                                       4)):
            self.assertEqual(encoding(**AFFINE | dict(group=group)).words(16, columns), words)
        self.assertEqual(encoding(**AFFINE | dict(radices=(4,))).words(4, 48), 4)


class Inputs(unittest.TestCase):
    def record(self, smooth=NONE, smooth_state=0, columns=8, sets=None, **column_set):
        s = Sample()
        everything = dict(kind=1, count=8, columns=NONE)
        s.inputs.append(dict(columns=columns, smooth=smooth, smooth_state=smooth_state,
                             set_count=len(sets or [1]),
                             sets=sets or [everything | column_set]))
        raw = layout.INPUT.pack(**{**s.inputs[0], "sets": b"".join(
            layout.COLUMN_SET.pack(**each) for each in s.inputs[0]["sets"])})
        record = layout.INPUT.unpack(raw)
        return reference._directory._input(record, [layout.COLUMN_SET.unpack(record.sets, 32 * i)
                                                    for i in range(record.set_count)])

    def test_good(self):
        for fields in ({}, dict(smooth=0, smooth_state=1), dict(smooth=0, smooth_state=2), dict(quantizer=1,
                                                                                                bits=2),
                       dict(quantizer=1, bits=8, is_static=1, scale=1e-40, low=-1.0, asymmetric=1,
                            per_tensor=1),
                       dict(quantizer=2, exponent_bits=1, mantissa_bits=1), dict(columns=1 << 40,
                                                                                 count=1 << 40),
                       dict(quantizer=2, exponent_bits=7)):
            if "count" in fields:
                fields = dict(columns=1 << 40, sets=[dict(kind=1, count=1 << 40, columns=NONE)])
            self.assertIsNone(self.record(**fields), fields)

    def test_bad(self):
        listed = dict(kind=2, count=4, columns=0)
        for fields in (dict(columns=0), dict(smooth=0), dict(smooth_state=1), dict(smooth_state=2),
                       dict(smooth=0, smooth_state=3), dict(kind=0), dict(kind=4), dict(count=0),
                       dict(count=9),
                       dict(kind=2), dict(quantizer=3), dict(per_tensor=1), dict(bits=8), dict(is_static=1,
                                                                                               scale=1.0),
                       dict(quantizer=1), dict(quantizer=1, bits=9), dict(quantizer=1, bits=1),
                       dict(quantizer=1, bits=8, asymmetric=2), dict(quantizer=1, bits=8, exponent_bits=1),
                       dict(quantizer=2, bits=4, exponent_bits=2), dict(quantizer=2, mantissa_bits=3),
                       dict(quantizer=2, exponent_bits=1), dict(quantizer=2, exponent_bits=4,
                                                                mantissa_bits=4),
                       dict(quantizer=1, bits=8, is_static=1), dict(quantizer=1, bits=8, is_static=1,
                                                                    scale=-1.0),
                       dict(quantizer=1, bits=8, is_static=1, scale=np.inf),
                       dict(quantizer=1, bits=8, is_static=1, scale=1.0, low=np.nan),
                       dict(quantizer=1, bits=8, low=-0.0), dict(sets=[listed]),
                       dict(sets=[listed, dict(kind=1, count=4, columns=NONE)]),
                       dict(sets=[dict(kind=3, count=4, columns=NONE)] * 2)):
            self.assertIsNotNone(self.record(**fields), fields)


class First(unittest.TestCase):
    """Of each item the first rule that it breaks."""

    def test_sections(self):
        def encv(**fields):
            return lambda s: s.section.__setitem__(b"ENCV", fields)
        self.assertEqual(rules(encv(flags=4, raw_hash=1, kind=b"TDIR")), [207, 204])
        self.assertEqual(rules(encv(raw_hash=1, kind=b"META")), [206])
        self.assertEqual(rules(lambda s: s.header.update(hash_kind=2, chunk_log2=9, reserved_72=b"\1")),
                         [108, 108, 109])

    def test_directory(self):
        def change(s):
            s.inputs[0].update(reserved=b"\1", smooth_state=9)
        self.assertEqual(rules(change), [413])
        self.assertEqual(rules(lambda s: s.tensors[3].update(flags=1, rank_pair=17)), [413])
        # The second set of columns loses its only part, whose record itself stays good but for its shapes.
        self.assertEqual(rules(lambda s: s.parts[4].update(column_set=0)), [410, 407])
        self.assertEqual(rules(lambda s: s.tensors[0].update(name="\u0085".encode())), [405])
        self.assertEqual(rules(lambda s: s.tensors[0].update(name=b"\x7f")), [404, 405])

    def test_low_rank_types(self):
        a, b = sample().tensors[4]["low_rank_a"], sample().tensors[3]["low_rank_b"]
        self.assertEqual(rules(lambda s: s.components[a].update(element=layout.F16)), [410])
        self.assertEqual(rules(lambda s: s.components[b].update(element=layout.I8)), [410])

    def test_data(self):
        def data(s, component, at, value):
            raw = bytearray(s.components[component]["data"])
            raw[at:at + len(value)] = value
            s.components[component]["data"] = bytes(raw)
        part = sample().parts[1]
        scales, factors, planes = part["scales"], part["row_factors"], part["planes"]

        def product(s):
            data(s, scales, 0, struct.pack("<e", 60000.0))
            data(s, factors, 0, struct.pack("<f", 3e38))
        self.assertEqual(rules(product), [603])
        # A padding row that is not finite is named for that, one beside it for not being zero.
        self.assertEqual(rules(lambda s: data(s, factors, 80, struct.pack("<f", np.inf))), [603])
        self.assertEqual(rules(lambda s: data(s, factors, 80, struct.pack("<2f", np.inf, -0.0))), [603, 601])
        # One finding for each plane; row sums are of real columns alone.
        self.assertEqual(rules(lambda s: [data(s, plane, len(s.components[plane]["data"]) - 1, b"\1")
                                          for plane in planes[:2]]), [601, 601])

        def gap(s):
            # Four bytes behind the list, and a wrong hash before and behind them.
            s.components[1]["data"] += b"\1" * 4
            s.components[1].update(size=12, hash=0)
            s.components[2]["hash"] = 0
        self.assertEqual(rules(gap), [503, 504])


class ExitCodes(unittest.TestCase):
    def code(self, change):
        s = sample()
        change(s)
        file = reference.open_file(s.bytes(), reference.FULL)
        return _code(file), [finding.rule for finding in file.findings]

    def test_unknown_critical(self):
        def unknown(s, **fields):
            s.section[b"ENCV"] = dict(kind=b"XXXX", flags=1) | fields
        self.assertEqual(self.code(unknown), (UNSUPPORTED, [204]))
        self.assertEqual(self.code(lambda s: (unknown(s), s.header.update(head_size=1))), (MALFORMED, [204,
                                                                                                       209]))
        self.assertEqual(self.code(lambda s: unknown(s, reserved=1)), (MALFORMED, [207]))
        self.assertEqual(self.code(lambda s: s.header.update(major=2)), (UNSUPPORTED, [106]))


class Frames(unittest.TestCase):
    def test_dictionary_field(self):
        """Not even one of zeros, which means that there is no dictionary."""
        block = bytes([1 | 8, 0, 0]) + b"x"
        zstd_frame.check(b"\x28\xb5\x2f\xfd\x20\x01" + block, 1)
        with self.assertRaises(zstd_frame.FrameError):
            zstd_frame.check(b"\x28\xb5\x2f\xfd\x21\0\x01" + block, 1)


if __name__ == "__main__":
    unittest.main()
