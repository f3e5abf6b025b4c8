"""Step 13 (sqf.md, 6): ENCV, a test vector for each encoding (section 5)."""

import numpy as np

from . import decode, layout
from .layout import align_up


def _columns(encoding):
    if encoding.grid == layout.REAL or not encoding.group:
        return 36
    return min(2 * encoding.group + 4, 260)


def _blocks(encoding):
    """The components of a test vector and its expected values, as names and bytes, in order."""
    columns = _columns(encoding)
    groups = encoding.groups(columns)
    if encoding.grid == layout.REAL:
        yield "values", layout.component_size(encoding.value_type, layout.TILE16_VALUES, 16, columns)
    else:
        for radix in encoding.radices:
            yield "plane", encoding.words(radix, columns) * 64
        yield "scales", layout.component_size(encoding.scale_type, layout.TILE16_GROUPS, 16, groups)
        if encoding.row_factor:
            yield "row factors", 64
        if encoding.zero in decode.STORED_ZEROS:
            yield "zeros", layout.component_size(decode.STORED_ZEROS[encoding.zero], layout.TILE16_GROUPS, 16,
                                                 groups)
    yield "expected", 64 * columns


def _digit_strings(encoding, radix, plane):
    """Whether each byte that holds a column's digit is a digit string; plane: u8 [1, words, 16, 4]."""
    if radix not in (3, 5):
        return True
    real = encoding.real_columns(radix, _columns(encoding), 0, plane.shape[1])
    # Byte i of a word holds its columns i, i + 4, ...; one without any is padding, which nobody looks at.
    holds = np.arange(4) < real[:, None]
    bad = plane >= radix ** decode.DIGITS_PER_BYTE[radix]
    return not (bad & holds[:, None, :]).any()


def _decode(encoding, blocks):
    """(values f32 [16, columns], whether every code has one) of a test vector's blocks [(name, uint8
    array)]."""
    columns = _columns(encoding)
    if encoding.grid == layout.REAL:
        rows = decode.value_rows(decode.value_tiles(blocks[0][1], 1, 16))
        return decode.stored_values(rows, encoding.value_type, columns), True
    groups = encoding.groups(columns)
    planes, scales, factors, zeros = [], None, None, None
    valid = True
    for name, data in blocks[:-1]:
        if name == "plane":
            radix = encoding.radices[len(planes)]
            planes.append(data.reshape(1, -1, 16, 4))
            valid &= _digit_strings(encoding, radix, planes[-1])
        elif name == "scales":
            scales = decode.group_elements(data, encoding.scale_type, 1, groups)
        elif name == "row factors":
            factors = data.view("<f4")
        else:
            zeros = decode.group_elements(data, decode.STORED_ZEROS[encoding.zero], 1, groups)
    with_value = encoding.valid_codes()
    if with_value is not None:
        valid &= bool(with_value[decode.codes(encoding, planes, columns)].all())
    return decode.values(encoding, planes, scales, factors, zeros, columns), valid


def check(file):
    """R305, R306"""
    raw = file.raw.get(b"ENCV")
    if raw is None:
        return
    at = 0
    for encoding in file.encodings:
        for _, size in _blocks(encoding):
            at = align_up(at, 64) + size
    if at != len(raw):
        return file.report(305, f"ENCV has {len(raw)} bytes, a test vector for each encoding needs {at}")
    data = np.frombuffer(raw, dtype=np.uint8)
    at = 0
    vectors = []
    for encoding in file.encodings:
        blocks = []
        for name, size in _blocks(encoding):
            start = align_up(at, 64)
            if data[at:start].any():
                return file.report(305, "ENCV: bytes between its blocks are not zero")
            at = start + size
            blocks.append((name, data[start:at]))
        vectors.append(blocks)
    for i, (encoding, blocks) in enumerate(zip(file.encodings, vectors)):
        expected = blocks[-1][1].view("<f4").reshape(16, -1)
        values, valid = _decode(encoding, blocks)
        if not valid:
            file.report(306, f"the test vector of encoding {i} has codes without a value")
        elif not np.isfinite(expected).all():
            file.report(306, f"the test vector of encoding {i} expects values that are not finite")
        elif (values.view(np.uint32) != expected.view("<u4")).any():
            file.report(306, f"the test vector of encoding {i} decodes to other values")
