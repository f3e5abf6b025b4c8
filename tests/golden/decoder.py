"""What a tensor's bytes mean, element by element, as spec/encodings.md words it. Slow on purpose:
each value is found by the formula for its byte, none of the packers' array tricks is used.

Takes records as dicts and components with a `body`, from the builder or read back from a file.
"""

import numpy as np

from builder import (AFFINE, BF16, E4M3, E8M0, F16, F32, I8, MINIFLOAT, NONE, REAL, RECORDS,
                     U4, U8, VECTOR, ZERO_CONSTANT, ZERO_MINIMUM, Component)

f32 = np.float32


def scalar(element, body, index):
    """Element `index` of packed bytes, as f32."""
    if element == F32:
        return np.frombuffer(body, "<f4", 1, 4 * index)[0]
    if element == F16:
        return f32(np.frombuffer(body, "<f2", 1, 2 * index)[0])
    if element == BF16:
        bits = np.frombuffer(body, "<u2", 1, 2 * index)[0]
        return np.array([int(bits) << 16], "<u4").view("<f4")[0]
    byte = body[index]
    if element == U8:
        return f32(byte)
    if element == I8:
        return f32(byte - 256 if byte > 127 else byte)
    if element == E8M0:
        return f32(2.0 ** (byte - 127))
    if element == E4M3:
        return f32(minifloat_number(byte, 4, 3, 7))
    raise ValueError(f"element {element}")


def minifloat_number(code, exponent_bits, mantissa_bits, bias):
    """m(c), exact in a Python float."""
    fraction = code % 2**mantissa_bits
    exponent = code // 2**mantissa_bits % 2**exponent_bits
    sign = -1.0 if code // 2 ** (mantissa_bits + exponent_bits) else 1.0
    if exponent == 0:
        return sign * 2.0 ** (1 - bias - mantissa_bits) * fraction
    return sign * 2.0 ** (exponent - bias - mantissa_bits) * (2**mantissa_bits + fraction)


DIGITS = {256: 1, 16: 2, 5: 3, 4: 4, 3: 5, 2: 8}


def group_of(encoding, columns, column):
    """(group, column in it, length of it)"""
    group = encoding.get("group", 0) or columns
    at = column // group
    return at, column % group, min(group, columns - at * group)


def words_of_group(radix, length):
    per_word = 4 * DIGITS[radix]
    if radix in (3, 5):
        return -(-length // per_word)
    if length == 16 and radix >= 16:
        return 16 // per_word
    return -(-length // 32) * 32 // per_word


def code_at(encoding, planes, row, column, columns):
    """The code of a weight; `row` counts the padded rows of all matrices."""
    group, inside, _ = group_of(encoding, columns, column)
    full = encoding.get("group", 0) or columns
    code, weight = 0, 1
    for i in range(encoding["plane_count"]):
        radix = encoding[f"radix{i}"]
        word = group * words_of_group(radix, full) + inside // (4 * DIGITS[radix])
        j = inside % (4 * DIGITS[radix])
        at = ((row // 16) * planes[i].cols + word) * 64 + row % 16 * 4 + j % 4
        code += weight * (planes[i].body[at] // radix ** (j // 4) % radix)
        weight *= radix
    return code


def level_of(encoding, code, zero):
    """The integer level of a code (encodings.md, 7), or None."""
    if encoding["grid"] == AFFINE:
        return code - zero
    if encoding["grid"] == MINIFLOAT:
        unit = 2.0 ** (1 - encoding["exponent_bias"] - encoding["mantissa_bits"])
        value = minifloat_number(code, encoding["exponent_bits"], encoding["mantissa_bits"],
                                 encoding["exponent_bias"]) / unit
    else:
        value = encoding[f"level{code}"]
    return int(value) if value == int(value) else None


def zero_at(encoding, zeros, at):
    """Zero point (or minimum) of a row's group, `at` its place in the tiles."""
    kind = encoding.get("zero", 0)
    if kind == ZERO_CONSTANT:
        return encoding["zero_constant"]
    if zeros is None:
        return 0
    if kind == ZERO_MINIMUM:
        return scalar(F16, zeros.body, at)
    if zeros.element == U4:
        byte = zeros.body[at // 16 * 8 + at % 8]
        return byte % 16 if at % 16 < 8 else byte // 16
    return zeros.body[at]


def stored_value(component, row, column):
    """Of the real grid or a low-rank factor; `row` counts the padded rows of all matrices."""
    if component.packing == VECTOR:
        return scalar(component.element, component.body, row * component.cols + column)
    in_word = {F32: 1, F16: 2, BF16: 2, I8: 4}[component.element]
    words = -(-component.cols // in_word)
    word = (row // 16 * words + column // in_word) * 16 + row % 16
    return scalar(component.element, component.body, word * in_word + column % in_word)


def padded(component, rows):
    """Rows from matrix to matrix of values."""
    return rows if component.packing == VECTOR else -(-rows // 16) * 16


def value_at(encoding, part, row, column, columns):
    """The f32 value of one weight. part: dict of planes (list), scales, row_factors, zeros."""
    if encoding["grid"] == REAL:
        return stored_value(part["planes"][0], row, column)
    code = code_at(encoding, part["planes"], row, column, columns)
    scales = part["scales"]
    group = group_of(encoding, columns, column)[0]
    at = (row // 16 * scales.cols + group) * 16 + row % 16
    scale = scalar(scales.element, scales.body, at)
    if encoding.get("row_factor"):
        scale = f32(scale * scalar(F32, part["row_factors"].body, row))
    if encoding["grid"] == AFFINE:
        zero = zero_at(encoding, part["zeros"], at)
        if encoding["zero"] == ZERO_MINIMUM:
            return f32(f32(scale * f32(code)) + zero)
        return f32(scale * f32(code - zero))
    if encoding["grid"] == MINIFLOAT:
        number = minifloat_number(code, encoding["exponent_bits"], encoding["mantissa_bits"],
                                  encoding["exponent_bias"])
        return f32(scale * f32(number))
    return f32(scale * f32(encoding[f"level{code}"]))


def part_dict(part):
    return {"planes": part.planes, "scales": part.scales, "row_factors": part.row_factors,
            "zeros": part.zeros}


# ---- a whole file --------------------------------------------------------------------------------


def records_of(image, kind, count):
    return [{name: image.get(kind, i, name) for name in RECORDS[kind][1]} for i in range(count)]


class Reader:
    """Reads records and components back from an Image's bytes."""

    def __init__(self, image):
        counts = {k: image.get("directory", 0, f"{k}_count")
                  for k in ("encoding", "input", "tensor", "part", "component")}
        self.encodings, self.inputs, self.tensors, self.parts, components = (
            records_of(image, kind, count) for kind, count in counts.items())
        self.components = [
            Component(c["element"], c["packing"], c["rows"], c["cols"],
                      bytes(image.bytes[c["offset"]:c["offset"] + c["size"]])) for c in components]
        self.names = bytes(image.bytes[image.starts["names", 0]:])

    def name(self, t):
        return self.names[t["name_offset"]:t["name_offset"] + t["name_size"]].decode()

    def component(self, index):
        return None if index == NONE else self.components[index]

    def set_columns(self, record, index):
        """Columns of a column set, ascending."""
        lists = {}
        for i in range(record["set_count"]):
            if record[f"set{i}.kind"] == 2:
                body = self.components[record[f"set{i}.columns"]].body
                lists[i] = [int.from_bytes(body[at:at + 4], "little")
                            for at in range(0, len(body), 4)]
        if record[f"set{index}.kind"] == 1:
            return list(range(record["columns"]))
        if record[f"set{index}.kind"] == 2:
            return lists[index]
        named = {c for columns in lists.values() for c in columns}
        return [c for c in range(record["columns"]) if c not in named]

    def dequantize(self, t):
        """(weights f32 [E][N][K], the same for the unsmoothed input)"""
        shape = [t[f"shape{i}"] for i in range(t["rank"])]
        experts = shape[0] if len(shape) == 3 else 1
        rows = shape[-2] if len(shape) > 1 else 1
        width = shape[-1]
        record = None if t["input"] == NONE else self.inputs[t["input"]]
        w = np.zeros((experts, rows, width), f32)
        for p in self.parts[t["part_first"]:t["part_first"] + t["part_count"]]:
            columns = (list(range(width)) if record is None
                       else self.set_columns(record, p["column_set"]))
            encoding = self.encodings[p["encoding"]]
            planes = 1 if encoding["grid"] == REAL else encoding["plane_count"]
            part = {"planes": [self.component(p[f"plane{i}"]) for i in range(planes)],
                    **{k: self.component(p[k]) for k in ("scales", "row_factors", "zeros")}}
            factors = self.component(p["column_factors"])
            stride = padded(part["planes"][0], rows)
            for e in range(experts):
                for n in range(rows):
                    for j, c in enumerate(columns):
                        v = value_at(encoding, part, e * stride + n, j, len(columns))
                        if factors is not None:
                            v = f32(v * scalar(F32, factors.body, j))
                        w[e, n, c] = f32(w[e, n, c] + v)
        if t["rank_pair"]:
            self.add_low_rank(t, w)
        effective = w.copy()
        if record is not None and record["smooth_state"] == 2:
            smooth = self.components[record["smooth"]].body
            for c in range(width):
                effective[:, :, c] = w[:, :, c] / scalar(F32, smooth, c)
        return w, effective

    def factor(self, t, name, rows):
        """Element (matrix, row, column) of a low-rank factor, as a function."""
        component, scales = self.component(t[name]), self.component(t[name + "_scales"])
        stride = padded(component, rows)

        def at(e, row, column):
            value = stored_value(component, e * stride + row, column)
            return value if scales is None else f32(value * scalar(F32, scales.body, e * rows + row))

        return at

    def add_low_rank(self, t, w):
        experts, rows, width = w.shape
        r = t["rank_pair"]
        a, b = self.factor(t, "low_rank_a", rows), self.factor(t, "low_rank_b", r)
        for e in range(experts):
            left = [[a(e, n, k) for k in range(r)] for n in range(rows)]
            right = [[b(e, k, c) for c in range(width)] for k in range(r)]
            for n in range(rows):
                for c in range(width):
                    total = f32(0)
                    for k in range(r):
                        total = f32(total + f32(left[n][k] * right[k][c]))
                    w[e, n, c] = f32(w[e, n, c] + total)
