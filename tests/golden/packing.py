"""Components from arrays: code planes, tiles of 16 rows (spec/encodings.md, 2 to 4).

Arrays are [matrices][rows][columns] throughout. Floats come as what is stored: f32 and f16 as such,
bf16 as u16, e4m3 and e8m0 as u8.
"""

import numpy as np

from builder import (AFFINE, BF16, E4M3, E8M0, ELEMENT_BITS, F16, F32, I32, LEVELS, MINIFLOAT,
                     PLANE_ELEMENT, REAL, TILE_CODES, TILE_GROUPS, TILE_VALUES, U32, U4, U8, VECTOR,
                     ZERO_MINIMUM, ZERO_U4, ZERO_U8, Component)

DTYPE = {F32: "<f4", F16: "<f2", BF16: "<u2", E8M0: "u1", E4M3: "u1", U8: "u1", I32: "<i4",
         U32: "<u4"}
DIGITS = {256: 1, 16: 2, 5: 3, 4: 4, 3: 5, 2: 8}


# ---- encodings as records ------------------------------------------------------------------------


def _planes(radices):
    return {"plane_count": len(radices), **{f"radix{i}": r for i, r in enumerate(radices)}}


BITS = {1: [2], 2: [4], 3: [4, 2], 4: [16], 5: [16, 2], 6: [16, 4], 7: [16, 4, 2], 8: [256]}


def real(value_type):
    return {"grid": REAL, "value_type": value_type}


def affine(bits, group, scale=F16, zero=ZERO_U8, row_factor=0, constant=0, radices=None):
    return {"grid": AFFINE, "zero": zero, "row_factor": row_factor, "scale_type": scale,
            "group": group, "zero_constant": constant, **_planes(radices or BITS[bits])}


def minifloat(exponent, mantissa, bias, group, scale=F16, kind=1, row_factor=0, radices=None):
    return {"grid": MINIFLOAT, "row_factor": row_factor, "scale_type": scale, "group": group,
            "exponent_bits": exponent, "mantissa_bits": mantissa, "minifloat": kind,
            "exponent_bias": bias, **_planes(radices or BITS[1 + exponent + mantissa])}


def levels(values, radices, group, scale=F16, row_factor=0):
    return {"grid": LEVELS, "row_factor": row_factor, "scale_type": scale, "group": group,
            "level_count": len(values), **_planes(radices),
            **{f"level{i}": float(np.float32(v)) for i, v in enumerate(values)}}


def radices_of(encoding):
    return [encoding[f"radix{i}"] for i in range(encoding.get("plane_count", 0))]


def group_lengths(encoding, columns):
    group = encoding.get("group", 0) or columns
    return [min(group, columns - at) for at in range(0, columns, group)]


# ---- packings ------------------------------------------------------------------------------------


def slots(radix, length):
    """Columns that a group of `length` takes in a plane, with its padding."""
    if radix in (3, 5):
        return -(-length // (4 * DIGITS[radix])) * 4 * DIGITS[radix]
    if length == 16 and radix >= 16:
        return 16
    return -(-length // 32) * 32


def pad_rows(array):
    """[E][N][...] with N padded to whole tiles, as [E * padded N][...]."""
    e, n = array.shape[:2]
    padded = np.zeros((e, -(-n // 16) * 16, *array.shape[2:]), array.dtype)
    padded[:, :n] = array
    return padded.reshape(-1, *array.shape[2:])


def code_plane(digits, radix, encoding):
    columns = digits.shape[2]
    rows = pad_rows(digits.astype(np.uint32))
    pieces, at = [], 0
    for length in group_lengths(encoding, columns):
        piece = np.zeros((rows.shape[0], slots(radix, length)), np.uint32)
        piece[:, :length] = rows[:, at:at + length]
        pieces.append(piece)
        at += length
    line = np.concatenate(pieces, axis=1).reshape(rows.shape[0], -1, DIGITS[radix], 4)
    weights = np.array([radix**d for d in range(DIGITS[radix])], np.uint32)
    words = (line * weights[None, None, :, None]).sum(axis=2).astype(np.uint8)  # [rows][words][4]
    tiles = words.reshape(-1, 16, words.shape[1], 4).transpose(0, 2, 1, 3)
    return Component(PLANE_ELEMENT[radix], TILE_CODES, rows.shape[0], words.shape[1],
                     tiles.tobytes())


def code_planes(codes, encoding):
    planes, rest = [], codes.astype(np.uint32)
    for radix in radices_of(encoding):
        planes.append(code_plane(rest % radix, radix, encoding))
        rest = rest // radix
    return planes


def groups(array, element):
    rows = pad_rows(array)
    tiles = rows.reshape(-1, 16, rows.shape[1]).transpose(0, 2, 1)
    if element == U4:
        body = (tiles[:, :, :8] | tiles[:, :, 8:] << 4).astype(np.uint8)
    else:
        body = tiles.astype(DTYPE[element])
    return Component(element, TILE_GROUPS, rows.shape[0], rows.shape[1], body.tobytes())


def values(array, element, experts=1):
    """[E * N][cols] of the element's own type: tiles of words, or rows that stand alone."""
    rows, cols = array.shape
    if rows == experts:
        return vector(array, element)
    width = array.dtype.itemsize * cols
    words = -(-width // 4)
    out = np.zeros((rows, words * 4), np.uint8)
    out[:, :width] = np.ascontiguousarray(array).view(np.uint8).reshape(rows, width)
    padded = pad_rows(out.reshape(experts, -1, words * 4))
    tiles = padded.reshape(-1, 16, words, 4).transpose(0, 2, 1, 3)
    return Component(element, TILE_VALUES, len(padded), cols, tiles.tobytes())


def vector(array, element=F32):
    rows, cols = array.shape
    return Component(element, VECTOR, rows, cols, np.ascontiguousarray(array).tobytes())


def row_factors(array):
    """f32 [E][N]"""
    return vector(pad_rows(array.astype("<f4")).reshape(-1, 1))


def component_bytes(c):
    """The size that a component's fields imply."""
    if c.packing == TILE_CODES:
        return c.rows * c.cols * 4
    if c.packing == TILE_VALUES:
        return c.rows * (-(-c.cols * ELEMENT_BITS[c.element] // 32) * 4)
    return c.rows * c.cols * ELEMENT_BITS[c.element] // 8


ZERO_ELEMENT = {ZERO_U4: U4, ZERO_U8: U8, ZERO_MINIMUM: F16}
