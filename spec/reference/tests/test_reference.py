"""python -m unittest discover -s reference (run from spec/)"""

import random
import struct
import unittest

import numpy as np

import reference
from reference import decode, layout, strict_json
from reference.layout import NONE
from reference.xxh3 import hash64

from .build import Sample, sample
from .coded import integer_level, random_matrix

try:
    import xxhash
except ImportError:
    xxhash = None


def rules(data):
    return [finding.rule for finding in reference.check(data)]


class Hash(unittest.TestCase):
    def test_known(self):
        self.assertEqual(hash64(b""), 0x2D06800538D394C2)

    @unittest.skipUnless(xxhash, "needs xxhash")
    def test_lengths(self):
        data = random.Random(1).randbytes(3 << 20)
        lengths = [*range(2001), 256 * 1024, 256 * 1024 + 1, 257 * 1024, (1 << 20) + 63, (1 << 20) + 64,
                   3 << 20]
        for n in lengths:
            self.assertEqual(hash64(data[7:7 + n]), xxhash.xxh3_64_intdigest(data[7:7 + n]), n)


class Json(unittest.TestCase):
    def test_good(self):
        for text, value in (
                (b' {"a": [1, -0.5e2, true, null, "x\\u00e9\\ud83d\\ude00\\n"]} ',
                 {"a": [1, -50.0, True, None, "xé😀\n"]}),
                (b"[]", []), (b"{}", {}), (b"0", 0), (b"-0", 0), (b'"\x7f"', "\x7f"), (b"[[],{}]", [[], {}]),
                (b"1E5", 1e5), (b'{"":{"":[]}}', {"": {"": []}}), (b"1" + b"0" * 308, 10 ** 308),
                (b"1e-999", 0.0),
                (b"[" * 16 + b"]" * 16, None), ("\"\u2028\"".encode(), "\u2028")):
            parsed = strict_json.parse(text)
            if value is not None:
                self.assertEqual(parsed, value)
                self.assertIs(type(parsed), type(value))

    def test_bad(self):
        for text in (b"", b" ", b"\xef\xbb\xbf{}", b"{} {}", b"[1,]", b"{,}", b'{"a":1,}', b"[1 2]", b"NaN",
                     b"Infinity",
                     b"-Infinity", b"01", b"+1", b"1.", b".5", b"1e", b"1e400", b"-1e400", b"1" + b"0" * 309,
                     b"1" + b"0" * 100000, b'"\\ud800"', b'"\\ude00"', b'"\\ud800\\u0041"',
                     b'"\\ude00\\ud83d"',
                     b'"\\ud800x"', b'"\x00"', b'"\n"', b'"\x1f"', b'"\\x41"', b'"\\u12g4"', b'"\\u 123"',
                     b'"a', b'"\\',
                     b'"\\u', b'{"a":1,"a":2}', b'{"a":1,"\\u0061":2}', b"{1:2}", b"{\"a\"}", b'"\xff"',
                     b'"\xed\xa0\x80"',
                     b'"\xc0\x80"', b"[" * 17 + b"]" * 17, b"[" * 100000, b"[}", b"{]", b"tru", b"truefalse",
                     b"'a'",
                     b"[1]]", b"\x0b1", "\u00a01".encode(), "１".encode(), b"1_0", b"/**/1", b"[", b"{",
                     b'{"a":'):
            with self.assertRaises(strict_json.JsonError, msg=text[:40]):
                strict_json.parse(text)


class Tile(unittest.TestCase):
    def test_worked_example(self):
        """encodings.md, 5"""
        words = np.zeros((1, 4, 16, 4), dtype=np.uint8)
        words[0, 0, 0] = list(bytes.fromhex("40516273"))
        words[0, 0, 1] = list(bytes.fromhex("738495a6"))
        words[0, 1, 0] = list(bytes.fromhex("c8d9eafb"))
        high = np.zeros((1, 1, 16, 4), dtype=np.uint8)
        high[0, 0, 0] = list(bytes.fromhex("f0f0f0f0"))
        encoding = decode.Encoding(layout.ENCODING.unpack(layout.ENCODING.pack(
            grid=1, zero=1, plane_count=2, radices=(16, 2), group=32, scale_type=layout.F32)))
        self.assertIsNone(encoding.wrong())
        code = decode.codes(encoding, [words, high], 32)
        self.assertEqual(code[0, :16].tolist(), list(range(16)))
        self.assertEqual((code[0, 16:] >> 4).tolist(), [1] * 16)
        self.assertEqual(code[1, :8].tolist(), list(range(3, 11)))

    def test_all_encodings(self):
        """Every radix, grid, zero kind and scale type against the formulas, element after element."""
        random_values = np.random.default_rng(3)
        widths = [((256,), 16), ((16,), 16), ((16,), 32), ((5,), 7), ((3,), 1), ((3,), 50), ((4,), 32),
                  ((2,), 64),
                  ((4, 2), 32), ((16, 2), 0), ((16, 4), 96), ((16, 4, 2), 32), ((2,) * 8, 32), ((256,), 0),
                  ((3,), 0)]
        tried = 0
        for radices, group in widths:
            for scale_type in decode.SCALE_TYPES:
                for zero in range(1, 5):
                    if zero == layout.ZERO_U4 and np.prod(radices) > 16:
                        continue
                    self.one(dict(grid=1, zero=zero, zero_constant=1 if zero == 1 else 0,
                                  row_factor=tried & 1,
                                  scale_type=scale_type, radices=radices, group=group), 37, random_values)
                    tried += 1
        for e, m, bias, kind in ((5, 2, 15, 2), (4, 3, 7, 2), (3, 2, 3, 2), (2, 3, 1, 2), (2, 1, 1, 2),
                                 (4, 3, -3, 1),
                                 (2, 0, 0, 1), (7, 0, 63, 1), (1, 6, 9, 1)):
            radices = {3: (4, 2), 4: (16,), 6: (16, 4), 8: (256,)}[1 + e + m]
            self.one(dict(grid=2, scale_type=1, radices=radices, group=32, exponent_bits=e, mantissa_bits=m,
                          exponent_bias=bias, minifloat=kind), 70, random_values)
        for count, radices in ((16, (16,)), (3, (3,)), (2, (2,)), (5, (5,)), (3, (4,)), (7, (4, 2))):
            self.one(dict(grid=3, scale_type=2, radices=radices, group=0, level_count=count,
                          level_values=random_values.normal(size=count).astype("f4")), 70, random_values)

    def one(self, fields, columns, random_values):
        s = Sample()
        record = {k: v for k, v in fields.items() if k != "level_values"}
        levels = np.array(fields.get("level_values", ()), dtype="<f4").tobytes()
        encoding = decode.Encoding(layout.ENCODING.unpack(layout.ENCODING.pack(
            plane_count=len(fields["radices"]), levels=levels, **record)))
        self.assertIsNone(encoding.wrong())
        matrix = random_matrix(fields, 18, columns, random_values)
        if fields.get("exponent_bits") == 5:
            matrix["codes"] = [[code & 0xFB for code in row] for row in matrix["codes"]]
        planes, rest = [], []
        for data, _, packing, *_ in s.blocks(fields, [matrix]):
            data = np.frombuffer(data, dtype=np.uint8)
            (planes if packing == layout.TILE16_CODES else rest).append(data)
        planes = [plane.reshape(2, -1, 16, 4) for plane in planes]
        groups = encoding.groups(columns)
        scales = decode.group_elements(rest.pop(0), encoding.scale_type, 2, groups)
        factors = rest.pop(0).view("<f4") if encoding.row_factor else None
        zeros = decode.group_elements(rest.pop(0), decode.STORED_ZEROS[encoding.zero], 2,
                                      groups) if rest else None
        self.assertEqual(decode.codes(encoding, planes, columns)[:18].tolist(), matrix["codes"])
        for first, last in ((0, columns), (3, columns - 1), (5, 6)):
            part = decode.values(encoding, planes, scales, factors, zeros, columns, first, last)[:18]
            if fields.get("exponent_bits") != 5:
                expected = np.ascontiguousarray(matrix["values"][:, first:last])
                self.assertTrue((np.ascontiguousarray(part).view("u4") == expected.view("u4")).all(), fields)
        if encoding.grid != layout.MINIFLOAT and encoding.has_row_sums() and zeros is None:
            level = decode.integer_levels(encoding, np.array(matrix["codes"], dtype=np.uint8), None)
            self.assertEqual(level[0].tolist(),
                             [integer_level(fields, code, 0) for code in matrix["codes"][0]])


class Good(unittest.TestCase):
    def test_sample(self):
        self.assertEqual(reference.check(sample().bytes()), [])

    def test_weights(self):
        s = sample()
        file = reference.open_file(s.bytes())
        for name, weights in s.weights.items():
            for expert in range(len(weights)):
                got = reference.dequantize(file, name, expert)
                expected = weights[expert] + np.float32(0)
                self.assertTrue((got.view("u4") == np.ascontiguousarray(expected).view("u4")).all(), name)
        rows = reference.dequantize(file, "b", rows=(3, 19))
        self.assertTrue((rows == s.weights["b"][0][3:19]).all())
        self.assertTrue((reference.effective(file, "b") == s.weights["b"][0] / s.smooth).all())
        with self.assertRaises(KeyError):
            reference.dequantize(file, "x")
        with self.assertRaises(IndexError):
            reference.dequantize(file, "b", rows=(0, 21))

    def test_small_blocks(self):
        """Blocks of a tile and a few columns find what large ones do."""
        most = reference._data.MOST_CODES
        try:
            for codes in (16, 48, 16 * 19):
                reference._data.MOST_CODES = codes
                self.assertEqual(reference.check(sample().bytes()), [])
        finally:
            reference._data.MOST_CODES = most

    def test_not_opened(self):
        with self.assertRaises(reference.Malformed):
            reference.dequantize(reference.open_file(b""), "a")

    def test_compressed(self):
        try:
            import zstandard
        except ImportError:
            self.skipTest("needs zstandard")
        compressor = zstandard.ZstdCompressor(write_checksum=True)
        s = sample()
        s.meta["text"] = "again " * 1000
        self.assertEqual(rules(s.bytes({b"META": compressor.compress})), [])
        unsized = zstandard.ZstdCompressor(write_content_size=False)
        for broken in (lambda raw: compressor.compress(raw) + b"\0",
                       lambda raw: compressor.compress(raw)[:-1],
                       lambda raw: compressor.compress(raw) + compressor.compress(b""), unsized.compress,
                       lambda raw: compressor.compress(raw + b" "), lambda raw: b"\x50\x2a\x4d\x18\0\0\0\0",
                       lambda raw: compressor.compress(raw)[:-6] + b"\0" * 6):
            self.assertEqual(rules(sample_like(s).bytes({b"META": broken})), [304])


def sample_like(s):
    again = sample()
    again.meta = s.meta
    return again


def changed(change):
    s = sample()
    change(s)
    return s.bytes()


def put(container, key, value):
    def change(s):
        getattr(s, container)[key[0]][key[1]] = value
    return change


class Mutations(unittest.TestCase):
    def expect(self, expected, change):
        self.assertEqual(sorted(set(rules(changed(change)))),
                         sorted(expected if type(expected) is list else [expected]))

    def test_bytes(self):
        good = sample().bytes()
        for at, rule in ((0, 102), (4, 103), (240, 104), (100, 105), (8, 105), (300, 202), (3000, 210),
                         (4097, 208)):
            self.assertEqual(rules(good[:at] + bytes([good[at] ^ 0x40]) + good[at + 1:]), [rule], at)
        self.assertEqual(rules(good[:255]), [101])
        self.assertEqual(rules(b""), [101])
        self.assertEqual(rules(b"GGUF"), [102])
        self.assertEqual(rules(good[:4000]), [110])
        self.assertEqual(rules(good[:-1]), [110])
        self.assertEqual(rules(good[:-200] + bytes([good[-200] ^ 1]) + good[-199:])[:2], [502, 503])

    def test_header(self):
        for rule, fields in ((106, dict(major=2)), (107, dict(feature_incompat=4)), (108, dict(hash_kind=2)),
                             (108, dict(chunk_log2=15)), (109, dict(reserved_112=b"\1")),
                             (110, dict(file_size=1)),
                             ([201], dict(section_count=3)), (209, dict(head_size=1)),
                             (207, dict(feature_incompat=1)),
                             (401, dict(tensor_count=1)),
                             ([], dict(minor=7, feature_compat=1, feature_ro_compat=9))):
            self.expect(rule, lambda s: s.header.update(fields))

    def test_sections(self):
        for kind, fields, expected in (
                (b"META", dict(flags=0), 204), (b"ENCV", dict(flags=1), []),
                (b"ENCV", dict(kind=b"XXXX"), []),
                (b"ENCV", dict(kind=b"XXXX", flags=1), 204), (b"META", dict(kind=b"XXXX", flags=0), 205),
                (b"ENCV", dict(ordinal=1), 207), (b"ENCV", dict(reserved=1), 207),
                (b"ENCV", dict(flags=4), 207),
                (b"ENCV", dict(codec=2), 207), (b"ENCV", dict(raw_size=1), 206),
                (b"ENCV", dict(raw_hash=1), 206),
                (b"ENCV", dict(kind=b"TDIR", flags=1), 204), (b"META", dict(offset=4160), 203),
                (b"DATA", dict(stored_hash=1, raw_hash=1), 208)):
            self.expect(expected, lambda s: s.section.__setitem__(kind, fields))

    def test_texts(self):
        self.expect(301, lambda s: setattr(s, "meta", b"[]"))
        self.expect(301, lambda s: setattr(s, "meta", b"{"))
        self.expect(302, lambda s: s.meta.pop("source"))
        self.expect(302, lambda s: s.meta["format"].pop("spec"))
        self.expect(303, lambda s: s.texts.update({b"TMPL": b"\xff"}))
        self.expect(303, lambda s: s.texts.update({b"CALB": b"\xff"}))
        self.expect(501, lambda s: s.raw.update({b"CHKS": b"12345678" * 3}))
        self.expect([],
                    lambda s: s.texts.update({b"TMPL": "é".encode(), b"CALB": b"{}", b"LICN": b"x",
                                              b"TOKN": b"x"}))

    def test_directory(self):
        self.expect([401, 413], lambda s: s.directory.update(reserved=b"\1", name_bytes=99))
        self.expect(401, lambda s: s.directory.update(component_count=1 << 31))
        for expected, change in (
                (402, put("encodings", (1, "scale_type"), 10)),
                (402, put("encodings", (1, "radices"), (2, 16))),
                (402, put("encodings", (1, "group"), 48)), (402, put("encodings", (3, "exponent_bias"), 8)),
                (402, put("encodings", (2, "level_values"), (-1, 0, 1, 1))),
                (402, put("encodings", (0, "group"), 32)),
                (402, put("encodings", (2, "level_values"), (-1, 0, float("nan")))),
                (403, put("inputs", (0, "columns"), 47)), (403, put("inputs", (0, "smooth_state"), 0)),
                (413, put("inputs", (0, "reserved"), b"\1")), (409, put("inputs", (0, "smooth"), 99)),
                ([409, 410], put("inputs", (0, "smooth"), 1)), (404, put("tensors", (0, "name"), b"\n")),
                ([404, 405], put("tensors", (0, "name"), b"\xff")), (405, put("tensors", (1, "name"), b"a")),
                (404, put("tensors", (1, "name_offset"), 0)), (406, put("tensors", (0, "rank"), 2)),
                (406, put("tensors", (0, "rank"), 4)), (406, put("tensors", (0, "shape"), [1 << 47])),
                (407, put("tensors", (1, "input"), 9)), (407, put("tensors", (1, "part_first"), 0)),
                (413, put("tensors", (1, "flags"), 1)), (409, put("tensors", (1, "bias"), 0)),
                (410, put("tensors", (1, "shape"), [33, 48])), (407, put("tensors", (3, "rank_pair"), 17)),
                (407, put("tensors", (4, "low_rank_b_scales"), NONE)),
                (408, put("parts", (1, "encoding"), 9)),
                (408, put("parts", (0, "column_set"), 1)), (408, put("parts", (1, "row_factors"), NONE)),
                (408, put("parts", (3, "row_sums"), 0)), (413, put("parts", (1, "reserved"), 1)),
                (409, put("parts", (1, "zeros"), 2)), (411, put("components", (2, "offset"), 64))):
            self.expect(expected, change)
        for field, value in (("element", 3), ("packing", 2), ("rows", 5), ("cols", 6), ("size", 5)):
            self.expect(410, put("components", (2, field), value))
        self.expect(413, put("components", (2, "reserved_28"), 1))
        self.expect(413, lambda s: s.components[2].update(reserved_48=b"\1"))
        self.expect(411, lambda s: setattr(s, "tail", b"\0"))
        self.expect(412, lambda s: s.parts.append(s.parts[0]))
        self.expect(412, lambda s: s.component(bytes(64), 1, 3, 1, 16))

    def test_vectors(self):
        self.expect([], lambda s: setattr(s, "encv", False))
        self.expect(305, lambda s: s.vectors.pop())

        def other(s):
            s.vectors[1][-1] = struct.pack("<f", 1e9) + s.vectors[1][-1][4:]
        self.expect(306, other)

    def test_data(self):
        def data(component, at, value):
            def change(s):
                raw = bytearray(s.components[component]["data"])
                raw[at:at + len(value)] = value
                s.components[component]["data"] = bytes(raw)
            return change
        s = sample()
        part_b, part_c, part_d = s.parts[1], s.parts[2], s.parts[3]
        real, pair_e = s.parts[0]["planes"][0], s.parts[-1]["planes"]
        nan = struct.pack("<f", float("nan"))
        for expected, change in (
                (604, data(real, 0, b"\0\x7c")), (607, data(0, 0, bytes(4))),
                (605, data(1, 0, struct.pack("<I", 5))), (605, data(1, 8, struct.pack("<I", 36))),
                (602, data(part_c["planes"][0], 0, b"\xf3")), (602, data(part_d["planes"][0], 0, b"\x7f")),
                (601, data(part_b["planes"][0], 6 * 64 + 63, b"\1")),
                (603, data(part_b["scales"], 0, b"\0\x7c")),
                (603, data(part_b["row_factors"], 0, nan)), (601, data(part_b["row_factors"], 20 * 4, b"\1")),
                (601, data(part_b["zeros"], 2 * 8 + 7, b"\1")), (603, data(part_d["column_factors"], 0, nan)),
                (606, data(part_b["row_sums"], 1, b"\x55")), (606, data(part_b["row_sums"], 191, b"\1")),
                (604, data(s.tensors[1]["bias"], 0, nan)),
                (604, data(s.tensors[3]["low_rank_a"], 0, b"\0\x7c")),
                (604, data(pair_e[0], 15 * 4, b"\0\x7c")), (601, data(pair_e[0], 64 + 2, b"\1")),
                (601, data(pair_e[0], 2 * 4, b"\1")), (601, data(s.tensors[3]["low_rank_b"], 2 * 4, b"\1")),
                (604, data(s.tensors[4]["low_rank_b_scales"], 0, nan)),
                (601, data(s.tensors[4]["low_rank_a"], 1, b"\1")),
                (603, data(part_d["scales"], 0, b"\xff"))):
            self.expect(expected, change)
        self.expect(503, put("components", (2, "hash"), 1))
        # The ends of a ternary group of 7 columns: column 19 of the word is none, column 3 stays what it is.
        plane = part_c["planes"][0]
        self.expect(601, data(plane, 3, bytes([s.components[plane]["data"][3] % 3 + 2 * 81])))

    def test_model(self):
        def model(**fields):
            def change(s):
                s.meta["model"] = dict(architecture="test", vocab_size=8, hidden_size=4, intermediate_size=4,
                                       layers=1,
                                       heads=2, kv_heads=1, head_dim=2, context_length=9, activation="silu",
                                       norm=dict(kind="rms", epsilon=0), qk_norm="none",
                                       rope=dict(theta=1e4, pairing="half", scaling="none")) | fields
            return change
        self.expect(702, model())
        for fields in (dict(vocab_size=1.0), dict(layers=9), dict(kv_heads=3), dict(head_dim=3), dict(tied=1),
                       dict(bos_id=8), dict(eos_ids=[1, 8]),
                       dict(rope=dict(theta=1, pairing="half", scaling="linear")),
                       dict(norm=None), dict(vocab_size=True), dict(norm=dict(kind="rms", epsilon=2))):
            self.expect(701, model(**fields))
        self.expect(702, model(bos_id=None, eos_ids=[], tied=None))
        file = reference.open_file(changed(model(activation="gelu")), reference.FULL)
        self.assertEqual((file.findings, file.unsupported, file.good), ([], ["activation 'gelu'"], False))


class Hostile(unittest.TestCase):
    def test_anything(self):
        """No byte anywhere, whether the hashes hold or not, makes the reader fail."""
        dice = random.Random(5)
        good = sample().bytes()
        for _ in range(300):
            data = bytearray(good)
            for _ in range(dice.randint(1, 4)):
                data[dice.randrange(len(data))] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
            reference.check(bytes(data))
            reference.check(good[:dice.randrange(len(good))])

    def test_directory(self):
        """The same inside the directory, hashes renewed."""
        dice = random.Random(6)
        for _ in range(400):
            s = sample()
            container = dice.choice((s.encodings, s.inputs, s.tensors, s.parts, s.components))
            record = dice.choice(container)
            name = dice.choice([key for key, value in record.items() if type(value) is int])
            record[name] = dice.choice((0, 1, 2, 3, 15, 16, 17, 255))
            file = reference.open_file(s.bytes(), reference.FULL)
            if file.opened:
                for name in file.names:
                    try:
                        reference.dequantize(file, name.decode())
                    except reference.Malformed:
                        pass


if __name__ == "__main__":
    unittest.main()
