"""Random but valid contents: codes, scales, parts of tensors, test vectors. Everything comes from a
seeded generator, so the same program makes the same bytes."""

import numpy as np

import decoder
import packing as pk
from builder import (E4M3, E8M0, F16, F32, I32, I8, LEVELS, MINIFLOAT, OCP, REAL, U8, ZERO_MINIMUM, ZERO_U4,
                     ZERO_U8, Part)


def bf16(values):
    """Truncated, which is all that test data needs."""
    return (np.asarray(values, "<f4").view("<u4") >> 16).astype("<u2")


class Source:
    def __init__(self, seed):
        # PCG64's raw output is fixed by its definition; the distributions built on it are not.
        self.bits = np.random.PCG64(seed)

    def integers(self, low, high, shape):
        """In low..high, both included."""
        raw = self.bits.random_raw(int(np.prod(shape))).astype(np.uint64)
        return (low + (raw >> np.uint64(33)).astype(np.int64) % (high - low + 1)).reshape(shape)

    def uniform(self, low, high, shape):
        return (low + self.integers(0, 65535, shape) / 65536 * (high - low)).astype("<f4")

    # ---- scales, codes ----

    def stored(self, element, low, high, shape):
        """Floats as the element stores them."""
        values = self.uniform(low, high, shape)
        if element == F32:
            return values
        return values.astype("<f2") if element == F16 else bf16(values)

    def scales(self, element, shape):
        if element == U8:
            return self.integers(0, 255, shape).astype(np.uint8)
        if element == E8M0:
            return self.integers(116, 124, shape).astype(np.uint8)
        if element == E4M3:  # all but the two that are no numbers
            codes = self.integers(0, 253, shape)
            return (codes + (codes >= 127)).astype(np.uint8)
        return self.stored(element, -0.02, 0.125, shape)

    def codes(self, encoding, shape):
        valid = valid_codes(encoding)
        return np.array(valid, np.uint32)[self.integers(0, len(valid) - 1, shape)]

    # ---- parts ----

    def part(self, encoding, index, experts, rows, columns, column_set=0, column_factors=False,
             row_sums=False, codes=None):
        """A part of random contents; `index` is the encoding's."""
        if encoding["grid"] == REAL:
            values = self.stored(encoding["value_type"], -2, 2, (experts * rows, columns))
            part = Part(index, [pk.values(values, encoding["value_type"], experts)], column_set)
        else:
            part = self.coded(encoding, index, experts, rows, columns, codes, row_sums)
            part.column_set = column_set
        if column_factors:
            part.column_factors = pk.vector(self.uniform(0.5, 2, (1, columns)))
        return part

    def coded(self, encoding, index, experts, rows, columns, codes, row_sums):
        if codes is None:
            codes = self.codes(encoding, (experts, rows, columns))
        per_group = (experts, rows, len(pk.group_lengths(encoding, columns)))
        scales = self.scales(encoding["scale_type"], per_group)
        part = Part(index, pk.code_planes(codes, encoding),
                    scales=pk.groups(scales, encoding["scale_type"]))
        if encoding.get("row_factor"):
            part.row_factors = pk.row_factors(self.uniform(-0.01, 0.02, (experts, rows)))
        zeros = np.full(per_group, encoding.get("zero_constant", 0), np.int64)
        kind = encoding.get("zero", 0)
        if kind in (ZERO_U4, ZERO_U8):
            zeros = self.integers(0, min(15 if kind == ZERO_U4 else 255, code_count(encoding) - 1),
                                  per_group)
            part.zeros = pk.groups(zeros.astype(np.uint8), pk.ZERO_ELEMENT[kind])
        elif kind == ZERO_MINIMUM:
            zeros[:] = 0
            part.zeros = pk.groups(self.stored(F16, -0.5, 0.25, per_group), F16)
        if row_sums:
            part.row_sums = pk.groups(sums_of_levels(encoding, codes, zeros), I32)
        return part

    def real_part(self, element, index, rows, columns, low=-2, high=2, experts=1):
        """`rows` of all experts."""
        return Part(index, [pk.values(self.stored(element, low, high, (rows, columns)), element, experts)])

    def low_rank(self, element, experts, rows, columns, r):
        """(A, B, scales of A, scales of B)"""
        if element == F16:
            return (pk.values(self.stored(F16, -1, 1, (experts * rows, r)), F16, experts),
                    pk.values(self.stored(F16, -0.1, 0.1, (experts * r, columns)), F16, experts), None, None)
        return (pk.values(self.integers(-127, 127, (experts * rows, r)).astype(np.int8), I8, experts),
                pk.values(self.integers(-128, 127, (experts * r, columns)).astype(np.int8), I8, experts),
                pk.vector(self.uniform(0.001, 0.01, (experts * rows, 1))),
                pk.vector(self.uniform(0.0001, 0.001, (experts * r, 1))))


def code_count(encoding):
    return int(np.prod(pk.radices_of(encoding)))


def valid_codes(encoding):
    """Codes that have a value."""
    if encoding["grid"] == LEVELS:
        return list(range(encoding["level_count"]))
    codes = range(code_count(encoding))
    if encoding["grid"] == MINIFLOAT and encoding["minifloat"] == OCP:
        kind = encoding["exponent_bits"], encoding["mantissa_bits"]
        if kind == (5, 2):
            return [c for c in codes if c // 4 % 32 != 31]
        if kind == (4, 3):
            return [c for c in codes if c % 128 != 127]
    return list(codes)


def sums_of_levels(encoding, codes, zeros):
    sums = np.zeros(zeros.shape, np.int32)
    at = 0
    for g, length in enumerate(pk.group_lengths(encoding, codes.shape[2])):
        for e in range(codes.shape[0]):
            for n in range(codes.shape[1]):
                sums[e, n, g] = sum(
                    decoder.level_of(encoding, int(c), int(zeros[e, n, g]))
                    for c in codes[e, n, at:at + length])
        at += length
    return sums


# ---- ENCV ----------------------------------------------------------------------------------------


def vector_columns(encoding):
    group = encoding.get("group", 0)
    if group == 0 or encoding["grid"] == REAL:
        return 36
    return min(2 * group + 4, 260)


def test_vectors(encodings, source):
    """The ENCV section: for each encoding its components and the values they decode to."""
    out = bytearray()
    for encoding in encodings:
        columns = vector_columns(encoding)
        part = source.part(encoding, 0, 1, 16, columns)
        contents = decoder.part_dict(part)
        values = np.array([[decoder.value_at(encoding, contents, n, c, columns)
                            for c in range(columns)] for n in range(16)], "<f4")
        bodies = [c.body for c in (*part.planes, part.scales, part.row_factors, part.zeros)
                  if c is not None]
        for body in (*bodies, values.tobytes()):
            out += b"\0" * (-len(out) % 64) + body
    return bytes(out)
