"""Bad bytes of DATA: hashes, gaps, padding, codes, scales, values (R502..R504, R601..R607)."""

import struct

import numpy as np

import packing as pk
import seeds
from builder import (BF16, E4M3, E8M0, F16, F32, NONE, ZERO_MINIMUM, Description, build)
from corpus import chunks, tiny, wide
from make_good import plain
from parts import Source
from wide_records import PART, A, B, I

# Bits of what is no finite number, by element.
NOT_FINITE = {
    F32: {"nan": 0x7FC00000, "snan": 0x7F800001, "-nan": 0xFFC00000, "inf": 0x7F800000,
          "-inf": 0xFF800000},
    F16: {"nan": 0x7E00, "snan": 0x7C01, "-nan": 0xFE00, "inf": 0x7C00, "-inf": 0xFC00},
    BF16: {"nan": 0x7FC0, "snan": 0x7F81, "-nan": 0xFFC0, "inf": 0x7F80, "-inf": 0xFF80},
    E4M3: {"nan": 0x7F, "-nan": 0xFF}, E8M0: {"nan": 0xFF}}
WIDTH = {F32: "<I", F16: "<H", BF16: "<H", E4M3: "<B", E8M0: "<B"}


def add_all(c):
    hashes(c)
    planes(c)
    code_values(c)
    group_values(c)
    reals(c)
    vectors(c)
    inputs(c)
    orders(c)


def place(image, part, field):
    """Offset of a part's component in the file."""
    index = image.get("part", PART[part], field)
    return image.get("component", index, "offset")


def tensor_place(image, tensor, field):
    return image.get("component", image.get("tensor", tensor, field), "offset")


def changed(seed, at, data, stale=()):
    image = seed().copy()
    return image.put(at, data).seal(stale)


def hashes(c):
    for seed in (tiny, wide):
        components = seed().components
        for i, (at, size) in enumerate(components):
            for where in sorted({0, size // 2, size - 1}):
                image = seed().copy()
                image.bytes[at + where] ^= 0x40
                c.add(f"data.{seed.__name__}.flip.{i}.{where}", 502, image)
            image = seed().copy().set("component", i, "hash", 1).seal(("components",))
            c.add(f"data.{seed.__name__}.hash.{i}", 503, image)
            flipped = seed().copy()
            flipped.bytes[at] ^= 0x40
            c.add(f"data.{seed.__name__}.flip.{i}.leaves.sealed", 503, flipped.seal(("components",)))
            end = at + size
            following = components[i + 1][0] if i + 1 < len(components) else end
            for gap in sorted({end, following - 1} if end < following else ()):
                image = seed().copy()
                image.bytes[gap] = 1
                c.add(f"data.{seed.__name__}.gap.{gap}", 502, image.copy())
                c.add(f"data.{seed.__name__}.gap.{gap}.sealed", 504, image.seal())
    last = len(chunks().bytes)
    for at in (0, 65535, 65536, 65537):
        image = chunks().copy()
        image.bytes[chunks().components[0][0] + at] ^= 1
        c.add(f"data.chunk.flip.{at}", 502, image)
    image = chunks().copy()
    image.bytes[last - 1] ^= 1
    c.add("data.chunk.flip.last", 502, image)
    image = chunks().copy()
    i, at, size = image.section("CHKS")
    image.put(at, bytes(image.bytes[at + 8:at + 16]) + bytes(image.bytes[at:at + 8]))
    c.add("data.chunk.hashes.exchanged", 502, image.seal(("leaves",)))
    for leaf in range(2):
        image = chunks().copy()
        image.bytes[at + 8 * leaf] ^= 1
        c.add(f"data.chunk.hash.{leaf}", 502, image.seal(("leaves",)))


def planes(c):
    """Digit strings, padding rows, ends of groups."""
    for part, limit in (("b1", 243), ("j0", 243), ("f", 125)):
        at = place(wide(), part, "plane0")
        for value in {limit, limit + 1, 254, 255}:
            c.add(f"digits.{part}.{value}", 602, changed(wide, at, bytes([value])))
            c.add(f"digits.{part}.padding.row.{value}", 602, changed(wide, at + 63, bytes([value])))
        size = wide().get("component", wide().get("part", PART[part], "plane0"), "size")
        c.add(f"digits.{part}.last", 602, changed(wide, at + size - 64, bytes([255])))
    # A padding row's word is bytes 4 row .. 4 row + 3 of each 64.
    for part, rows in (("a", 5), ("b1", 5), ("c", 3), ("d", 2), ("e2", 3), ("f", 2), ("g", 2), ("i", 3),
                       ("j0", 2)):
        for field in ("plane0", "plane1"):
            index = wide().get("part", PART[part], field)
            if index == NONE:
                continue
            at, size = (wide().get("component", index, f) for f in ("offset", "size"))
            tile = at + size - size // (wide().get("component", index, "rows") // 16)
            for row in (rows, 15):
                for word in (0, (at + size - tile) // 64 - 1):
                    for byte in (0, 3):
                        where = tile + word * 64 + row * 4 + byte
                        c.add(f"padding.row.{part}.{field}.{row}.{word}.{byte}", 601,
                              changed(wide, where, b"\1"))
    ends(c)


def ends(c):
    """Digits behind the columns of a group, one encoding at a time."""
    shapes = (
        ("affine4.g32.40", pk.affine(4, 32, F16, ZERO_MINIMUM), 40),
        ("affine1.row.33", pk.affine(1, 0, F16, ZERO_MINIMUM), 33),
        ("affine3.g64.70", pk.affine(3, 64, F16, ZERO_MINIMUM), 70),
        ("affine8.g16.20", pk.affine(8, 16, F16, ZERO_MINIMUM), 20),
        ("affine6.row.1", pk.affine(6, 0, F16, ZERO_MINIMUM), 1),
        ("ternary.g7.16", pk.levels([-1, 0, 1], [3], 7, F16), 16),
        ("five.row.25", pk.levels([-2, -1, 0, 1, 2], [5], 0, F16), 25))
    for name, encoding, columns in shapes:
        for plane, radix in enumerate(pk.radices_of(encoding)):
            at = 0
            for g, length in enumerate(pk.group_lengths(encoding, columns)):
                slots = pk.slots(radix, length)
                for slot in sorted({length, slots - 1} if length < slots else ()):
                    s, d = Source(107), Description(seeds.meta())
                    plain(d, s, "w", encoding, 16, columns)
                    image = build(d)
                    word, j = divmod(at + slot, 4 * pk.DIGITS[radix])
                    row = (3 * slot) % 16
                    where = image.components[plane][0] + word * 64 + row * 4 + j % 4
                    image.bytes[where] += radix ** (j // 4)
                    c.add(f"padding.end.{name}.plane{plane}.group{g}.slot{slot}", 601, image.seal())
                at += slots


def code_values(c):
    """Codes that stand for nothing."""
    at = place(wide(), "c", "plane0")
    for code in (0x7F, 0xFF):
        for where in (0, 3, 4, 64, 2 * 4 + 1):
            c.add(f"code.ocp.{code:#x}.{where}", 602, changed(wide, at + where, bytes([code])))
    # The seventh level is the last: code 7 is radix 4's digit 3 with radix 2's digit 1.
    image = wide().copy()
    image.bytes[place(image, "g", "plane0")] |= 3
    image.bytes[place(image, "g", "plane1")] |= 1
    c.add("code.levels.7.of.7", 602, image.seal())
    for code in (0x7C, 0x7D, 0x7E, 0x7F, 0xFC, 0xFF):  # exponent field 31
        s, d = Source(108), Description(seeds.meta())
        codes = np.zeros((1, 2, 33), np.uint32)
        codes[0, 1, 32] = code
        plain(d, s, "w", pk.minifloat(5, 2, 15, 32, F16, 2), 2, 33, codes=codes)
        c.add(f"code.e5m2.{code:#x}", 602, build(d))
    for radices, count, bad in (([3], 2, (2,)), ([5], 3, (3, 4)), ([16], 9, (9, 15)), ([4], 3, (3,)),
                                ([2, 2, 2, 2], 15, (15,)), ([4, 4], 13, (13, 14, 15))):
        for code in bad:
            for column in (0, 39):
                s, d = Source(109), Description(seeds.meta())
                codes = np.zeros((1, 3, 40), np.uint32)
                codes[0, 2, column] = code
                plain(d, s, "w", pk.levels(range(1, count + 1), radices, 0, F16), 3, 40, codes=codes)
                c.add(f"code.levels.{'.'.join(map(str, radices))}.{code}.of.{count}.{column}", 602,
                      build(d))


def group_values(c):
    scales = {"b1": F16, "c": F16, "d": F16, "e2": BF16, "f": E8M0, "g": E4M3}
    for part, element in scales.items():
        at, width = place(wide(), part, "scales"), struct.calcsize(WIDTH[element])
        for name, bits in NOT_FINITE[element].items():
            for index in (0, 1, 15):  # row 15 is padding: not finite comes before not zero
                c.add(f"scale.{part}.{index}.{name}", 603,
                      changed(wide, at + index * width, struct.pack(WIDTH[element], bits)))
        for index, value in ((15, 1), (14, 0x80 if width == 1 else 0x3C00)):
            if part != "d":  # whose first 16 rows are all real
                c.add(f"scale.{part}.padding.{index}", 601,
                      changed(wide, at + index * width, struct.pack(WIDTH[element], value)))
    for element in (F32, F16, BF16, E4M3, E8M0):
        for name, bits in NOT_FINITE[element].items():
            s, d = Source(110), Description(seeds.meta())
            plain(d, s, "w", pk.affine(4, 32, element, ZERO_MINIMUM, row_factor=1), 17, 40)
            image = build(d)
            last = image.components[1][0] + image.components[1][1] - struct.calcsize(WIDTH[element])
            first = image.copy().put(image.components[1][0], struct.pack(WIDTH[element], bits)).seal()
            c.add(f"scale.type{element}.first.{name}", 603, first)
            c.add(f"scale.type{element}.last.{name}", 603,
                  image.put(last, struct.pack(WIDTH[element], bits)).seal())
    at = place(wide(), "a", "row_factors")
    for name, bits in NOT_FINITE[F32].items():
        for row in (0, 4, 5, 15):
            c.add(f"row.factor.{row}.{name}", 603, changed(wide, at + 4 * row, struct.pack("<I", bits)))
    for row in (5, 15):
        c.add(f"row.factor.padding.{row}", 601, changed(wide, at + 4 * row, struct.pack("<f", 1)),
              "row factors of padding rows are zero")
    for part, field, offset, bits in (("c", "scales", 30, b"\0\x80"), ("d", "zeros", 126, b"\0\x80"),
                                      ("a", "row_factors", 60, b"\0\0\0\x80")):
        c.add(f"minus.zero.padding.{part}.{field}", 601,
              changed(wide, place(wide(), part, field) + offset, bits), "zero in padding is not -0")
    at = place(wide(), "d", "zeros")
    for name, bits in NOT_FINITE[F16].items():
        for index in (0, 17, 32 + 2, 63):
            c.add(f"minimum.{index}.{name}", 603, changed(wide, at + 2 * index, struct.pack("<H", bits)))
    for index in (32 + 2, 32 + 15, 48 + 2, 63):  # the second tile has two rows
        c.add(f"minimum.padding.{index}", 601, changed(wide, at + 2 * index, struct.pack("<H", 0x3C00)))
        c.add(f"scale.d.padding.{index}", 601,
              changed(wide, place(wide(), "d", "scales") + 2 * index, struct.pack("<H", 0x3C00)))
    at = place(wide(), "a", "zeros")  # u4: byte i holds rows i and i + 8
    for byte, value in ((5, 0x01), (7, 0x0F), (0, None), (7, 0x10), (13, 0x01), (15, 0xF0)):
        old = wide().bytes[at + byte]
        c.add(f"zero.u4.padding.{byte}.{value}", 601,
              changed(wide, at + byte, bytes([old | (0x10 if value is None else value)])))
    at = place(wide(), "a", "scales")  # u8
    for index in (5, 15, 16 + 5, 31):
        c.add(f"scale.u8.padding.{index}", 601, changed(wide, at + index, b"\1"))
    at = place(wide(), "i", "row_factors")  # two matrices of three rows, each padded to 16
    for row in (3, 15, 16 + 3, 31):
        c.add(f"row.factor.expert.padding.{row}", 601, changed(wide, at + 4 * row, struct.pack("<f", 1)),
              "row factors of padding rows are zero")


def value_place(rows, columns, width, row, column):
    """The byte of a stored value in its component, of one matrix."""
    if rows == 1:
        return column * width
    words, byte = -(-columns * width // 4), column * width
    return (row // 16 * words + byte // 4) * 64 + row % 16 * 4 + byte % 4


def padding_of_values(rows, columns, width):
    """(row, byte of the row) of padding: behind the columns, and rows."""
    if rows == 1:
        return []
    end, stored = columns * width, -(-columns * width // 4) * 4
    behind = [(row, byte) for row in (0, rows - 1) for byte in {end, stored - 1} if end < stored]
    return behind + [(row, byte) for row in (rows, 15) for byte in {0, end - 1, stored - 1}]


def reals(c):
    for part, element, rows, columns in (("b0", F32, 5, 2), ("e0", F16, 3, 2), ("e1", BF16, 3, 2),
                                         ("h", F32, 1, 33)):
        at, width = place(wide(), part, "plane0"), struct.calcsize(WIDTH[element])
        for name, bits in NOT_FINITE[element].items():
            places = [*{(0, 0), (rows - 1, columns - 1)}]
            if rows > 1:
                places.append((15, columns - 1))  # a padding row: not finite comes before not zero
            for row, column in places:
                c.add(f"value.{part}.{row}.{column}.{name}", 604, changed(
                    wide, at + value_place(rows, columns, width, row, column),
                    struct.pack(WIDTH[element], bits)))
        for row, byte in padding_of_values(rows, columns, width):
            c.add(f"value.{part}.padding.{row}.{byte}", 601,
                  changed(wide, at + value_place(rows, columns * width, 1, row, byte), b"\1"))


def vectors(c):
    """Factors of columns, sums of rows, biases, low-rank pairs."""
    at = place(wide(), "b1", "column_factors")
    for name, bits in NOT_FINITE[F32].items():
        for column in (0, 37):
            c.add(f"column.factor.{column}.{name}", 603,
                  changed(wide, at + 4 * column, struct.pack("<I", bits)))
    for part, rows in (("a", 5), ("b1", 5)):
        at = place(wide(), part, "row_sums")
        for row in (0, rows - 1):
            old = struct.unpack_from("<i", wide().bytes, at + 4 * row)[0]
            for value in (old + 1, old - 1, old + (1 << 24), -old - 1, (1 << 31) - 1, -(1 << 31)):
                c.add(f"row.sum.{part}.{row}.{value}", 606,
                      changed(wide, at + 4 * row, struct.pack("<i", value)))
        for row in (rows, 15):
            c.add(f"row.sum.{part}.padding.{row}", 606, changed(wide, at + 4 * row, b"\1\0\0\0"))
    for tensor, count in ((A, 5), (I, 6)):
        at = tensor_place(wide(), tensor, "bias")
        for name, bits in NOT_FINITE[F32].items():
            for row in (0, count - 1):
                c.add(f"bias.{tensor}.{row}.{name}", 604,
                      changed(wide, at + 4 * row, struct.pack("<I", bits)))
    for field, rows, columns in (("low_rank_a", 5, 1), ("low_rank_b", 1, 40)):
        at = tensor_place(wide(), B, field)
        for name, bits in NOT_FINITE[F16].items():
            for row in {0, rows - 1}:
                c.add(f"{field}.f16.{row}.{name}", 604, changed(
                    wide, at + value_place(rows, columns, 2, row, columns - 1), struct.pack("<H", bits)))
        for row, byte in padding_of_values(rows, columns, 2):
            c.add(f"{field}.f16.padding.{row}.{byte}", 601,
                  changed(wide, at + value_place(rows, columns * 2, 1, row, byte), b"\1"))
    for field, rows, columns in (("low_rank_a", 5, 2), ("low_rank_b", 2, 40)):
        at = tensor_place(wide(), A, field)
        for row, byte in padding_of_values(rows, columns, 1):
            c.add(f"{field}.i8.padding.{row}.{byte}", 601,
                  changed(wide, at + value_place(rows, columns, 1, row, byte), b"\1"))
        at = tensor_place(wide(), A, field + "_scales")
        for name, bits in NOT_FINITE[F32].items():
            for row in (0, rows - 1):
                c.add(f"{field}.scales.{row}.{name}", 604,
                      changed(wide, at + 4 * row, struct.pack("<I", bits)))


def inputs(c):
    def component(image, index, field):
        return image.get("component", image.get("input", index, field), "offset")

    for index in (0, 1):
        at = component(wide(), index, "smooth")
        for name, bits in {**NOT_FINITE[F32], "zero": 0, "-zero": 0x80000000}.items():
            for column in (0, 39):
                c.add(f"smooth.{index}.{column}.{name}", 607,
                      changed(wide, at + 4 * column, struct.pack("<I", bits)))
    at = component(wide(), 0, "set0.columns")  # 5, 39
    for values in ((39, 5), (5, 5), (39, 39), (5, 40), (5, 41), (40, 41), (5, 0xFFFFFFFF), (0xFFFFFFFF, 5),
                   (5, 1 << 31), (0, 0), (1 << 31, 1 << 31), (5, 4)):
        c.add(f"list.{values[0]}.{values[1]}", 605, changed(wide, at, struct.pack("<II", *values)))
    at = component(wide(), 2, "set1.columns")  # 0, 3; the other list is 1, 2
    for values in ((1, 3), (0, 1), (0, 2), (2, 3), (1, 2), (1, 40), (3, 0)):
        c.add(f"list.shared.{values[0]}.{values[1]}", 605, changed(wide, at, struct.pack("<II", *values)))


def orders(c):
    """Two rules broken: the one that is looked for first."""
    image = wide().copy()
    image.bytes[place(image, "f", "plane0")] = 255
    c.add("order.R502.before.R602", 502, image.copy())
    c.add("order.R503.before.R602", 503, image.copy().seal(("components",)))
    image.bytes[image.components[0][0] + image.components[0][1]] = 1
    c.add("order.R504.before.R602", 504, image.seal())
    plane = place(wide(), "f", "plane0")
    image = wide().copy().put(plane, b"\xff")  # a bad string of digits, then a padding row
    c.add("order.R602.before.R601", 602, image.put(plane + 60, b"\1").seal())
    image = wide().copy().put(place(wide(), "c", "plane0") + 63, b"\1")
    image.put(place(wide(), "c", "plane0"), b"\x7f")  # padding row, then a code without a value
    c.add("order.R601.before.R602", 601, image.seal())
    image = wide().copy().put(place(wide(), "c", "plane0"), b"\x7f")
    image.put(place(wide(), "c", "scales"), b"\0\x7e")
    c.add("order.R602.before.R603", 602, image.seal())
    image = wide().copy().put(place(wide(), "a", "scales") + 15, b"\1")
    image.put(tensor_place(image, A, "bias"), b"\0\0\xc0\x7f")
    c.add("order.R601.before.R604", 601, image.seal())
    image = wide().copy().put(place(wide(), "b1", "row_sums"), b"\1\2\3\4")
    image.put(place(wide(), "b1", "column_factors"), b"\0\0\xc0\x7f")
    c.add("order.R603.before.R606", 603, image.seal())
    image = wide().copy().put(image.get("component", image.get("input", 0, "smooth"), "offset"), bytes(4))
    image.put(place(image, "h", "plane0"), b"\0\0\xc0\x7f")
    c.add("order.R604.before.R607", 604, image.seal())
    image = wide().copy()
    image.put(image.get("component", image.get("input", 0, "smooth"), "offset"), bytes(4))
    image.put(image.get("component", image.get("input", 0, "set0.columns"), "offset"), b"\xff" * 4)
    c.add("order.R607.before.R605", 607, image.seal())
