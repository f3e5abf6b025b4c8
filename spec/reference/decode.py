"""How stored bits become numbers: encodings.md, in its order."""

import numpy as np

from . import layout
from .layout import (AFFINE, BF16, E4M3, E8M0, F16, F32, LEVELS, MINIFLOAT, OCP, REAL, SATURATING, U4, U8,
                     ZERO_CONSTANT, ZERO_MINIMUM, ZERO_U4, ZERO_U8, align_up)

# Zero kinds that have a component, and its element type.
STORED_ZEROS = {ZERO_U4: U4, ZERO_U8: U8, ZERO_MINIMUM: F16}

VALUE_TYPES = (F32, F16, BF16)
SCALE_TYPES = (F32, F16, BF16, E8M0, E4M3, U8)

# (exponent bits, mantissa bits): bias
OCP_BIASES = {(5, 2): 15, (4, 3): 7, (3, 2): 3, (2, 3): 1, (2, 1): 1}

DIGITS_PER_BYTE = {256: 1, 16: 2, 5: 3, 4: 4, 3: 5, 2: 8}

STORED_TYPES = {F32: np.dtype("<f4"), F16: np.dtype("<f2"), BF16: np.dtype("<u2"), E8M0: np.dtype("u1"),
                E4M3: np.dtype("u1"), U8: np.dtype("u1"), layout.I8: np.dtype("i1"),
                layout.I32: np.dtype("<i4"),
                layout.U32: np.dtype("<u4")}


def _minifloat_numbers(exponent_bits, mantissa_bits, bias):
    """(numbers f32 [codes], integer levels int64 [codes]) of a minifloat whose codes all stand for a
    number."""
    codes = np.arange(1 << (1 + exponent_bits + mantissa_bits), dtype=np.int64)
    sign = codes >> (exponent_bits + mantissa_bits)
    exponent = codes >> mantissa_bits & ((1 << exponent_bits) - 1)
    fraction = codes & ((1 << mantissa_bits) - 1)
    significand = np.where(exponent == 0, fraction, fraction + (1 << mantissa_bits))
    power = np.maximum(exponent, 1) - bias - mantissa_bits
    # A product of at most 8 bits and a power of two between 2^-261 and 2^254 is exact in f64: one rounding,
    # to f32.
    numbers = np.ldexp(significand.astype(np.float64), power.astype(np.int32))
    with np.errstate(over="ignore", under="ignore"):
        numbers = np.where(sign == 1, -numbers, numbers).astype(np.float32)
    # Integer levels beyond i64 are beyond every use of them: anything large will do.
    levels = significand << np.minimum(np.maximum(exponent, 1) - 1, 40)
    return numbers, np.where(sign == 1, -levels, levels)


_E4M3_NUMBERS, _ = _minifloat_numbers(4, 3, 7)
_E4M3_NUMBERS[[0x7F, 0xFF]] = np.nan
with np.errstate(over="ignore"):
    _E8M0_NUMBERS = np.ldexp(1.0, np.arange(256) - 127).astype(np.float32)
_E8M0_NUMBERS[255] = np.nan


def to_f32(stored, element):
    """Stored elements (an array of STORED_TYPES[element]) as f32 of the same shape, exactly."""
    if element == BF16:
        return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
    if element == E4M3:
        return _E4M3_NUMBERS[stored]
    if element == E8M0:
        return _E8M0_NUMBERS[stored]
    with np.errstate(invalid="ignore"):
        return stored.astype(np.float32)


def all_finite(stored, element):
    """Whether no stored element is infinite or no number."""
    if element in (F32, F16, BF16):
        bits = stored.view(np.dtype(f"<u{stored.dtype.itemsize}"))
        exponent = bits.dtype.type({F32: 0x7F800000, F16: 0x7C00, BF16: 0x7F80}[element])
        return not ((bits & exponent) == exponent).any()
    if element == E4M3:
        return not ((stored & 0x7F) == 0x7F).any()
    if element == E8M0:
        return not (stored == 255).any()
    return True


class Encoding:
    """An encoding record (sqf.md, 3.1) with what follows from it."""

    def __init__(self, record):
        self.record = record
        self.grid, self.zero, self.row_factor = record.grid, record.zero, record.row_factor
        self.value_type, self.scale_type, self.group = record.value_type, record.scale_type, record.group
        self.radices = record.radices[:min(record.plane_count, 8)]
        self._codes = None

    # Whether the record is one (R402).

    def wrong(self):
        """What is wrong with the record, or None. Fields that a grid does not use are zero."""
        record = self.record
        if record.grid > LEVELS:
            return f"grid {record.grid}"
        if record.zero > ZERO_MINIMUM:
            return f"zero kind {record.zero}"
        if record.row_factor > 1:
            return f"row_factor {record.row_factor}"
        if any(record.reserved):
            return "reserved bytes are not zero"
        return self._wrong_real() or self._wrong_planes() or self._wrong_grid() or self._wrong_group()

    def _wrong_real(self):
        record = self.record
        if record.grid == REAL:
            if record.value_type not in VALUE_TYPES:
                return f"values of type {record.value_type}"
            if record.plane_count or record.scale_type or record.zero or record.row_factor or record.group:
                return "planes, scales, zeros, row factors or groups on the real grid"
        elif record.value_type:
            return "a value type beside codes"
        elif record.scale_type not in SCALE_TYPES:
            return f"scales of type {record.scale_type}"
        return None

    def _wrong_planes(self):
        record, radices = self.record, self.radices
        if record.plane_count > 8 or (record.grid != REAL and not record.plane_count):
            return f"{record.plane_count} planes"
        if any(record.radices[len(radices):]):
            return "radices of planes that are not there"
        if any(radix not in DIGITS_PER_BYTE for radix in radices):
            return f"radices {radices}"
        if any(a < b for a, b in zip(radices, radices[1:])):
            return "the widest radix is not first"
        if len(radices) > 1 and (3 in radices or 5 in radices):
            return "radix 3 or 5 beside another"
        if self.code_count > 256:
            return f"{self.code_count} codes"
        return None

    def _wrong_grid(self):
        record = self.record
        if bool(record.zero) != (record.grid == AFFINE):
            return "a zero point off the affine grid, or none on it"
        if record.zero == ZERO_U4 and self.code_count > 16:
            return f"zeros of 4 bits for {self.code_count} codes"
        if record.zero_constant and record.zero != ZERO_CONSTANT:
            return "a zero constant without being one"
        if record.zero == ZERO_CONSTANT and record.zero_constant >= self.code_count:
            return f"zero constant {record.zero_constant} of {self.code_count} codes"
        exponent, mantissa, bias = record.exponent_bits, record.mantissa_bits, record.exponent_bias
        if record.grid == MINIFLOAT:
            if not 1 <= exponent <= 8 or mantissa > 7 or not 3 <= 1 + exponent + mantissa <= 8:
                return f"a minifloat of {exponent} exponent and {mantissa} mantissa bits"
            # The smallest and the largest number are f32.
            if 1 - bias - mantissa < -149 or (1 << exponent) - 1 - bias > 127:
                return f"a minifloat of bias {bias}"
            if 1 << (1 + exponent + mantissa) != self.code_count:
                return f"a minifloat of {1 + exponent + mantissa} bits and {self.code_count} codes"
            if record.minifloat not in (SATURATING, OCP):
                return f"minifloat {record.minifloat}"
            if record.minifloat == OCP and OCP_BIASES.get((exponent, mantissa)) != bias:
                return "none of the OCP formats"
        elif exponent or mantissa or bias or record.minifloat:
            return "minifloat fields off its grid"
        levels = self.stored_levels
        if record.grid == LEVELS:
            if self.code_count > 16 or not 2 <= record.level_count <= self.code_count:
                return f"{record.level_count} levels of {self.code_count} codes"
            if not np.isfinite(levels).all():
                return "a level that is not finite"
        elif record.level_count:
            return "levels off their grid"
        if any(record.levels[4 * record.level_count:]):
            return "unused levels are not 0"
        return None

    def _wrong_group(self):
        group, radices = self.group, self.radices
        if group > 65536:
            return f"groups of {group} columns"
        if group % 32 and not (group == 16 and all(radix in (16, 256) for radix in radices)):
            if radices not in ((3,), (5,)):
                return f"groups of {group} columns with radices {radices}"
        return None

    # What follows.

    @property
    def code_count(self):
        count = 1
        for radix in self.radices:
            count *= radix
        return count

    @property
    def stored_levels(self):
        return np.frombuffer(self.record.levels, dtype="<f4")

    def _tables(self):
        """(numbers f32 [256], valid bool [256], integer levels int64 [256]) of codes on minifloat and levels
        grids."""
        if self._codes is None:
            record = self.record
            numbers = np.zeros(256, dtype=np.float32)
            valid = np.zeros(256, dtype=bool)
            integers = np.zeros(256, dtype=np.int64)
            if self.grid == LEVELS:
                numbers[:16] = self.stored_levels
                valid[:record.level_count] = True
                integers[:16] = np.clip(self.stored_levels, -1e6, 1e6)
            else:
                exponent, mantissa, bias = record.exponent_bits, record.mantissa_bits, record.exponent_bias
                count = self.code_count
                numbers[:count], integers[:count] = _minifloat_numbers(exponent, mantissa, bias)
                valid[:count] = True
                if record.minifloat == OCP and exponent == 5:
                    valid[:count] = (np.arange(count) >> mantissa & 31) != 31
                elif record.minifloat == OCP and exponent == 4:
                    valid[[0x7F, 0xFF]] = False
            self._codes = numbers, valid, integers
        return self._codes

    def valid_codes(self):
        """bool [256]: which codes have a value; or None where every code of the planes has one."""
        if self.grid in (REAL, AFFINE):
            return None
        valid = self._tables()[1]
        return None if valid[:self.code_count].all() else valid

    def has_row_sums(self):
        """Whether a part may have row sums (sqf.md, 3.4)."""
        if self.grid in (REAL, AFFINE):
            return self.grid == AFFINE
        numbers, valid, integers = self._tables()
        if self.grid == LEVELS and (numbers[valid] != np.floor(numbers[valid])).any():
            return False
        integers = integers[valid]
        return bool((integers >= -128).all() and (integers <= 127).all())

    # Groups and words (encodings.md, 2 and 3).

    def group_columns(self, columns):
        """Columns of a group of a part with `columns` columns; the last group may be shorter."""
        return self.group or columns

    def groups(self, columns):
        return -(-columns // self.group_columns(columns))

    def _padded(self, radix, columns):
        """The columns of one group, rounded up to what it takes in a plane."""
        if radix in (3, 5):
            return align_up(columns, 4 * DIGITS_PER_BYTE[radix])
        # Any group of exactly 16 columns, a shorter last one too; one of 15 takes 32.
        if columns == 16 and radix in (16, 256):
            return 16
        return align_up(columns, 32)

    def words(self, radix, columns):
        """Words of a row of a part with `columns` columns, in the plane of `radix`."""
        full, rest = divmod(columns, self.group_columns(columns))
        taken = full * self._padded(radix, self.group_columns(columns))
        return (taken + (self._padded(radix, rest) if rest else 0)) // (4 * DIGITS_PER_BYTE[radix])

    def stored_columns(self, radix, columns, first, last):
        """Where the columns first..last-1 are, counted in digits of a row of the plane: int64 [last -
        first]."""
        k = np.arange(first, last, dtype=np.int64)
        group = self.group_columns(columns)
        return k // group * self._padded(radix, group) + k % group

    def real_columns(self, radix, columns, first, last):
        """How many columns the words first..last-1 hold, past which digits are 0: int64 [last - first]."""
        group = self.group_columns(columns)
        word = np.arange(first, last, dtype=np.int64)
        per_word = 4 * DIGITS_PER_BYTE[radix]
        per_group = self._padded(radix, group) // per_word
        in_group = np.minimum(group, columns - word // per_group * group)
        return np.clip(in_group - word % per_group * per_word, 0, per_word)


# tile16 (encodings.md, 4)

def digits(words, radix):
    """The digits of code-plane words u8 [tiles, words, 16, 4]: u8 [tiles, 16, words, columns of a word]."""
    words = np.ascontiguousarray(words.transpose(0, 2, 1, 3))
    tiles, rows, count, _ = words.shape
    per_byte = DIGITS_PER_BYTE[radix]
    out = np.empty((tiles, rows, count, per_byte, 4), dtype=np.uint8)
    # Column j of a word is digit j div 4 of byte j mod 4.
    for d in range(per_byte):
        if radix == 256:
            out[:, :, :, d] = words
        elif radix in (3, 5):
            out[:, :, :, d] = words // np.uint8(radix ** d) % np.uint8(radix)
        else:
            bits = 8 // per_byte
            out[:, :, :, d] = words >> np.uint8(d * bits) & np.uint8(radix - 1)
    return out.reshape(tiles, rows, count, 4 * per_byte)


def codes(encoding, planes, columns, first=0, last=None):
    """The codes of the columns first..last-1 of a part with `columns` columns: u8 [16 * tiles, last - first].

    `planes`: for each plane u8 [tiles, words of a row, 16, 4]. Codes are below 256, as radices multiply to at
    most 256.
    """
    last = columns if last is None else last
    total = None
    weight = 1
    for plane, radix in zip(planes, encoding.radices):
        places = encoding.stored_columns(radix, columns, first, last)
        per_word = 4 * DIGITS_PER_BYTE[radix]
        low, high = int(places[0]) // per_word, int(places[-1]) // per_word + 1
        digit = digits(plane[:, low:high], radix)
        digit = digit.reshape(digit.shape[0] * 16, (high - low) * per_word)
        start = int(places[0]) - low * per_word
        if int(places[-1]) - int(places[0]) == last - first - 1:
            digit = digit[:, start:start + last - first]
        else:
            digit = digit[:, places - low * per_word]
        total = digit if total is None else total + digit * np.uint8(weight)
        weight *= radix
    return total


def rows_of_groups(stored):
    """Elements [tiles, groups, 16] of scales, zeros, minimums or row sums as rows: [16 * tiles, groups]."""
    return np.ascontiguousarray(stored.transpose(0, 2, 1)).reshape(stored.shape[0] * 16, stored.shape[1])


def group_elements(data, element, tiles, groups):
    """The bytes of a tile16-groups component (or some of its tiles) as stored elements [tiles, groups,
    16]."""
    if element == U4:
        nibbles = data.reshape(tiles, groups, 8)
        return np.concatenate((nibbles & 15, nibbles >> 4), axis=2)
    return data.view(STORED_TYPES[element]).reshape(tiles, groups, 16)


def integer_levels(encoding, code, zeros):
    """The integer levels (encodings.md, 7) of codes [rows, n]; zeros: stored integers [rows, n] or None.
    i32."""
    if encoding.grid == AFFINE:
        level = code.astype(np.int32)
        if encoding.zero == ZERO_CONSTANT:
            level -= np.int32(encoding.record.zero_constant)
        elif encoding.zero in (ZERO_U4, ZERO_U8):
            level -= zeros
        return level
    return encoding._tables()[2][code].astype(np.int32)


def values(encoding, planes, scales, row_factors, zeros, columns, first=0, last=None):
    """The values of the columns first..last-1 of rows of a part: f32 [16 * tiles, last - first].

    planes        for each plane u8 [tiles, words of a row, 16, 4]
    scales        stored elements [tiles, groups of a row, 16]
    row_factors   f32 [16 * tiles], or None
    zeros         stored elements [tiles, groups of a row, 16], or None
    columns       of the part

    Codes without a value give anything: the caller looks for them before (Encoding.valid_codes).
    """
    last = columns if last is None else last
    code = codes(encoding, planes, columns, first, last)
    group = encoding.group_columns(columns)
    of_column = np.arange(first, last, dtype=np.int64) // group
    low, high = int(of_column[0]), int(of_column[-1]) + 1
    of_column -= low
    with np.errstate(all="ignore"):
        scale = to_f32(rows_of_groups(scales[:, low:high]), encoding.scale_type)
        if row_factors is not None:
            scale = scale * row_factors.astype(np.float32, copy=False)[:, None]
        scale = scale[:, of_column]
        if encoding.grid != AFFINE:
            return scale * encoding._tables()[0][code]
        if encoding.zero == ZERO_MINIMUM:
            minimum = to_f32(rows_of_groups(zeros[:, low:high]), F16)[:, of_column]
            return scale * code.astype(np.float32) + minimum
        if encoding.zero in (ZERO_U4, ZERO_U8):
            zeros = rows_of_groups(zeros[:, low:high]).astype(np.int32)[:, of_column]
        return scale * integer_levels(encoding, code, zeros).astype(np.float32)


def value_tiles(data, matrices, n):
    """The bytes of a component of values (tile16 values, or a vector for each matrix of one row): u8 [tiles,
    words, rows of a tile, bytes of a word]."""
    if n == 1:
        return data.reshape(matrices, -1, 1, 1)
    return data.reshape(matrices * (align_up(n, 16) // 16), -1, 16, 4)


def value_rows(tiles):
    """The same bytes row by row: u8 [rows, bytes]."""
    return np.ascontiguousarray(tiles.transpose(0, 2, 1, 3)).reshape(len(tiles) * tiles.shape[2], -1)


def stored_values(rows, element, columns):
    """The values in bytes of rows as of `value_rows`, padding left out: f32 [rows, columns]."""
    stored_type = STORED_TYPES[element]
    stored = rows[:, :columns * stored_type.itemsize]
    return to_f32(np.ascontiguousarray(stored).view(stored_type), element)
