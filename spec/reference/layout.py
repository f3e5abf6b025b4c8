"""The tables of sqf.md, sections 2 and 3, as records: name, type and count of each field, in order."""

import struct
from collections import namedtuple

MAGIC = bytes.fromhex("89 53 51 46 0d 0a 1a 0a")
COMPLETE = b"SQFDONE\n"
NONE = 0xFFFFFFFF

HEADER_SIZE = 256
SECTION_SIZE = 64
TABLE_OFFSET = 256
SECTIONS_OFFSET = 4096

MIB = 1 << 20
GIB = 1 << 30
HEAD_LIMIT = GIB

# kind: (limit of raw_size and stored_size, may be compressed, must be critical)
KINDS = {
    b"META": (64 * MIB, True, True),
    b"TDIR": (HEAD_LIMIT, False, True),
    b"ENCV": (HEAD_LIMIT, False, False),
    b"TOKN": (64 * MIB, True, False),
    b"TOKB": (64 * MIB, False, False),
    b"TMPL": (1 * MIB, True, False),
    b"CALB": (64 * MIB, True, False),
    b"LICN": (16 * MIB, True, False),
    b"CHKS": (HEAD_LIMIT, False, True),
    b"DATA": (1 << 48, False, True),
}

CRITICAL, COMPRESSED = 1, 2  # flags of a section
COMPAT_ZSTD = 1  # the one known bit of feature_incompat


class Table:
    """A record of fixed size: `Table("Name", "field:format ...")`, the format as in struct ("I", "8H",
    "24s")."""

    def __init__(self, name, size, fields):
        parts = [field.split(":") for field in fields.split()]
        self.names = [part[0] for part in parts]
        formats = [part[1] for part in parts]
        self._struct = struct.Struct("<" + "".join(formats))
        assert self._struct.size == size, (name, self._struct.size)
        self.size = size
        self.record = namedtuple(name, self.names)
        # Arrays of numbers become tuples; "24s" is one value, bytes.
        self._places = []
        at = 0
        for form in formats:
            count = int(form[:-1]) if form[:-1] and form[-1] != "s" else 0
            self._places.append(slice(at, at + count) if count else at)
            at += count or 1

    def unpack(self, data, offset=0):
        """The record at `offset` of `data`, which holds it in full."""
        flat = self._struct.unpack_from(data, offset)
        return self.record._make([flat[place] for place in self._places])

    def pack(self, **fields):
        """The bytes of a record; fields that are not named are zero."""
        flat = list(self._struct.unpack(bytes(self.size)))
        for name, place in zip(self.names, self._places):
            if name in fields:
                value = fields.pop(name)
                if isinstance(place, slice):
                    value = [*value, *flat[place][len(value):]]
                flat[place] = value
        assert not fields, fields
        return self._struct.pack(*flat)


class Records:
    """`count` records of a table in a row, unpacked when asked for: a long directory costs no more than its
    bytes."""

    def __init__(self, table, data, offset, count):
        self._table, self._data, self._offset, self._count = table, data, offset, count

    def __len__(self):
        return self._count

    def __getitem__(self, index):
        if not 0 <= index < self._count:
            raise IndexError(index)
        return self._table.unpack(self._data, self._offset + index * self._table.size)


HEADER = Table("Header", 256, """
    magic:8s major:H minor:H header_size:I feature_compat:Q feature_ro_compat:Q feature_incompat:Q
    file_size:Q section_table_offset:Q section_count:I section_entry_size:I comp_align_log2:B
    data_align_log2:B chunk_log2:B hash_kind:B tensor_count:I reserved_72:24s head_size:Q
    section_table_hash:Q reserved_112:128s complete:8s header_hash:Q""")

SECTION = Table("Section", 64, """
    kind:4s flags:I offset:Q stored_size:Q raw_size:Q stored_hash:Q raw_hash:Q ordinal:I codec:I
    reserved:Q""")

DIRECTORY = Table("Directory", 96, """
    encoding_count:I input_count:I tensor_count:I part_count:I component_count:I name_bytes:I
    record_sizes:5H reserved:62s""")

ENCODING = Table("Encoding", 128, """
    grid:B zero:B plane_count:B row_factor:B value_type:H scale_type:H radices:8H group:I zero_constant:I
    exponent_bits:B mantissa_bits:B minifloat:B level_count:B exponent_bias:i levels:64s reserved:24s""")

INPUT = Table("Input", 160, "columns:Q smooth:I smooth_state:B set_count:B reserved:18s sets:128s")

COLUMN_SET = Table("ColumnSet", 32, """
    kind:B quantizer:B bits:B per_tensor:B asymmetric:B is_static:B exponent_bits:B mantissa_bits:B
    count:Q columns:I scale:f low:f reserved:I""")

TENSOR = Table("Tensor", 96, """
    name_offset:I name_size:H rank:B flags:B shape:3Q input:I part_first:I part_count:I rank_pair:I
    low_rank_a:I low_rank_b:I low_rank_a_scales:I low_rank_b_scales:I bias:I reserved:28s""")

PART = Table("Part", 64, """
    encoding:I column_set:I planes:8I scales:I row_factors:I zeros:I column_factors:I row_sums:I
    reserved:I""")

COMPONENT = Table("Component", 64, """
    offset:Q size:Q hash:Q element:H packing:H reserved_28:I rows:Q cols:Q reserved_48:16s""")

RECORD_SIZES = (128, 160, 96, 64, 64)

# Element types.
F32, F16, BF16, E8M0, E4M3, U8, I8, I32, U32, U4 = range(1, 11)
ELEMENT_NAMES = {1: "f32", 2: "f16", 3: "bf16", 4: "e8m0", 5: "e4m3", 6: "u8", 7: "i8", 8: "i32", 9: "u32",
                 10: "u4",
                 16: "radix 2", 17: "radix 3", 18: "radix 4", 19: "radix 5", 20: "radix 16", 21: "radix 256"}
ELEMENT_SIZES = {F32: 4, F16: 2, BF16: 2, E8M0: 1, E4M3: 1, U8: 1, I8: 1, I32: 4, U32: 4}
RADIX_ELEMENTS = {2: 16, 3: 17, 4: 18, 5: 19, 16: 20, 256: 21}

# Packings.
TILE16_VALUES, TILE16_CODES, TILE16_GROUPS, VECTOR = range(4)
PACKING_NAMES = ("tile16 values", "tile16 codes", "tile16 groups", "vector")

# Grids, zero kinds, kinds of column sets, smoothing states.
REAL, AFFINE, MINIFLOAT, LEVELS = range(4)
ZERO_NONE, ZERO_CONSTANT, ZERO_U4, ZERO_U8, ZERO_MINIMUM = range(5)
SATURATING, OCP = 1, 2
SET_ALL, SET_LIST, SET_REST = 1, 2, 3
SMOOTH_NONE, SMOOTH_FOLDED, SMOOTH_APPLY = 0, 1, 2


def align_up(offset, alignment):
    return (offset + alignment - 1) // alignment * alignment


def value_shape(matrices, n):
    """(packing, rows) of the values of matrices of n rows: of the real grid, and of low-rank factors."""
    return (VECTOR, matrices) if n == 1 else (TILE16_VALUES, matrices * align_up(n, 16))


def component_size(element, packing, rows, cols):
    """Bytes of a component (sqf.md, 3.5), for an element that its packing can have."""
    if packing == TILE16_VALUES:
        return rows * align_up(cols * ELEMENT_SIZES[element], 4)
    if packing == TILE16_CODES:
        return rows // 16 * cols * 64
    if packing == TILE16_GROUPS:
        return rows // 16 * cols * (8 if element == U4 else 16 * ELEMENT_SIZES[element])
    return rows * cols * ELEMENT_SIZES[element]
