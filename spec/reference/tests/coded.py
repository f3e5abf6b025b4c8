"""The stored bytes of coded matrices and the values they stand for, element after element from the formulas."""

import numpy as np

from reference import layout
from reference.layout import align_up

PER_BYTE = {256: 1, 16: 2, 5: 3, 4: 4, 3: 5, 2: 8}
f32 = np.float32


def padded_group(radix, columns):
    if radix in (3, 5):
        return align_up(columns, 4 * PER_BYTE[radix])
    if columns == 16 and radix in (16, 256):
        return 16
    return align_up(columns, 32)


def groups_of(encoding, columns):
    """[(first column, columns)] of the groups."""
    group = encoding.get("group", 0) or columns
    return [(first, min(group, columns - first)) for first in range(0, columns, group)]


def plane_bytes(encoding, index, codes):
    """One plane of codes [N][K] (lists), tile16."""
    radices = encoding["radices"]
    radix, weight = radices[index], 1
    for before in radices[:index]:
        weight *= before
    n, k = len(codes), len(codes[0])
    starts, words = [], 0
    for _, columns in groups_of(encoding, k):
        starts.append(words)
        words += padded_group(radix, columns) // (4 * PER_BYTE[radix])
    data = bytearray(align_up(n, 16) // 16 * words * 64)
    for row in range(n):
        for (first, columns), start in zip(groups_of(encoding, k), starts):
            for j in range(columns):
                digit = codes[row][first + j] // weight % radix
                word, in_word = divmod(j, 4 * PER_BYTE[radix])
                at = ((row // 16) * words + start + word) * 64 + row % 16 * 4 + in_word % 4
                data[at] += digit * radix ** (in_word // 4)
    return bytes(data), words


def group_bytes(dtype, rows):
    """tile16 groups of elements [N][groups]; dtype "u4" packs nibbles."""
    n, groups = len(rows), len(rows[0])
    tiles = align_up(n, 16) // 16
    table = np.zeros((tiles, groups, 16), dtype="u1" if dtype == "u4" else dtype)
    for row in range(n):
        for g in range(groups):
            table[row // 16, g, row % 16] = rows[row][g]
    if dtype == "u4":
        table = table[:, :, :8] | table[:, :, 8:] << 4
    return table.tobytes()


def minifloat(encoding, code):
    e_bits, m_bits, bias = encoding["exponent_bits"], encoding["mantissa_bits"], encoding["exponent_bias"]
    s, e, f = code >> (e_bits + m_bits), code >> m_bits & ((1 << e_bits) - 1), code & ((1 << m_bits) - 1)
    size = 2.0 ** (1 - bias - m_bits) * f if e == 0 else 2.0 ** (e - bias - m_bits) * ((1 << m_bits) + f)
    return f32(-size if s else size)


def scale_value(scale_type, stored):
    if scale_type == layout.E8M0:
        return f32(2.0 ** (int(stored) - 127))
    if scale_type == layout.E4M3:
        return minifloat({"exponent_bits": 4, "mantissa_bits": 3, "exponent_bias": 7}, int(stored))
    if scale_type == layout.BF16:
        return np.array([int(stored) << 16], dtype="<u4").view("<f4")[0]
    return f32(stored)


def value(encoding, code, scale, factor, zero):
    scale = scale_value(encoding["scale_type"], scale)
    if factor is not None:
        scale = f32(scale * f32(factor))
    grid, kind = encoding["grid"], encoding.get("zero", 0)
    if grid == layout.MINIFLOAT:
        return f32(scale * minifloat(encoding, code))
    if grid == layout.LEVELS:
        return f32(scale * f32(encoding["level_values"][code]))
    if kind == layout.ZERO_MINIMUM:
        return f32(f32(scale * f32(code)) + f32(zero))
    minus = encoding.get("zero_constant", 0) if kind == layout.ZERO_CONSTANT else zero if kind else 0
    return f32(scale * f32(code - int(minus)))


SCALE_DTYPES = {layout.F32: "<f4", layout.F16: "<f2", layout.BF16: "<u2", layout.E8M0: "u1",
                layout.E4M3: "u1",
                layout.U8: "u1"}
ZERO_DTYPES = {layout.ZERO_U4: "u4", layout.ZERO_U8: "u1", layout.ZERO_MINIMUM: "<f2"}


def code_count(encoding):
    count = 1
    for radix in encoding["radices"]:
        count *= radix
    return count


def random_matrix(encoding, n, k, random):
    """Everything that [n, k] codes of an encoding need: codes, scales, factors, zeros, and the values, as
    lists."""
    groups = len(groups_of(encoding, k))
    group = encoding.get("group", 0) or k
    most = encoding.get("level_count") or code_count(encoding)
    codes = random.integers(0, most, (n, k))
    if encoding.get("minifloat") == layout.OCP and encoding["exponent_bits"] == 4:
        codes[codes & 0x7F == 0x7F] = 1
    codes = codes.tolist()
    kind = encoding["scale_type"]
    if kind in (layout.F32, layout.F16):
        scales = random.normal(size=(n, groups)).astype(SCALE_DTYPES[kind])
    elif kind == layout.BF16:
        scales = random.integers(0x3C00, 0x4100, (n, groups))
    else:
        scales = random.integers(100, 126, (n, groups))
    factors = random.normal(size=n).astype(f32) if encoding.get("row_factor") else None
    zeros = None
    if encoding.get("zero", 0) in ZERO_DTYPES:
        zeros = random.integers(0, 16, (n, groups)) if encoding["zero"] != layout.ZERO_MINIMUM \
            else random.normal(size=(n, groups)).astype("<f2")
    values = [[value(encoding, codes[r][c], scales[r][c // group], None if factors is None else factors[r],
                     None if zeros is None else zeros[r][c // group]) for c in range(k)] for r in range(n)]
    return {"codes": codes, "scales": scales, "factors": factors, "zeros": zeros,
            "values": np.array(values, dtype=f32)}


def integer_level(encoding, code, zero):
    if encoding["grid"] == layout.LEVELS:
        return int(encoding["level_values"][code])
    if encoding["grid"] == layout.MINIFLOAT:
        e_bits, m_bits = encoding["exponent_bits"], encoding["mantissa_bits"]
        e, f = code >> m_bits & ((1 << e_bits) - 1), code & ((1 << m_bits) - 1)
        size = f if not e else ((1 << m_bits) + f) << (e - 1)
        return -size if code >> (e_bits + m_bits) else size
    kind = encoding.get("zero", 0)
    if kind == layout.ZERO_CONSTANT:
        return code - encoding["zero_constant"]
    return code - int(zero) if kind in (layout.ZERO_U4, layout.ZERO_U8) else code
