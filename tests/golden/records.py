"""Numbers and record layouts of SQF 1.0, as spec/sqf.md tables them."""

import struct

import xxhash

NONE = 0xFFFFFFFF
MAGIC = b"\x89SQF\r\n\x1a\n"
COMPLETE = b"SQFDONE\n"
F32, F16, BF16, E8M0, E4M3, U8, I8, I32, U32, U4 = range(1, 11)
PLANE_ELEMENT = {2: 16, 3: 17, 4: 18, 5: 19, 16: 20, 256: 21}
ELEMENT_BITS = {F32: 32, F16: 16, BF16: 16, E8M0: 8, E4M3: 8, U8: 8, I8: 8, I32: 32, U32: 32, U4: 4}
TILE_VALUES, TILE_CODES, TILE_GROUPS, VECTOR = range(4)
REAL, AFFINE, MINIFLOAT, LEVELS = range(4)
ZERO_NONE, ZERO_CONSTANT, ZERO_U4, ZERO_U8, ZERO_MINIMUM = range(5)
SATURATING, OCP = 1, 2
ALL, LIST, REST = 1, 2, 3
CRITICAL, COMPRESSED = 1, 2
REQUIRED = ("META", "TDIR", "CHKS", "DATA")


def _run(name, offset, form, count):
    size = struct.calcsize("<" + form)
    return {f"{name}{i}": (offset + i * size, form) for i in range(count)}


def _sets():
    fields = {}
    one = {"kind": (0, "B"), "quantizer": (1, "B"), "bits": (2, "B"), "per_tensor": (3, "B"),
           "asymmetric": (4, "B"), "is_static": (5, "B"), "exponent_bits": (6, "B"),
           "mantissa_bits": (7, "B"), "count": (8, "Q"), "columns": (16, "I"), "scale": (20, "f"),
           "low": (24, "f"), "reserved": (28, "I")}
    for i in range(4):
        fields |= {f"set{i}.{name}": (32 + 32 * i + at, form) for name, (at, form) in one.items()}
    return fields


# Record kind -> (size, {field: (offset, struct format)}). Reserved runs of bytes are not fields: poke().
RECORDS = {
    "header": (256, {
        "magic": (0, "8s"), "major": (8, "H"), "minor": (10, "H"), "header_size": (12, "I"),
        "feature_compat": (16, "Q"), "feature_ro_compat": (24, "Q"), "feature_incompat": (32, "Q"),
        "file_size": (40, "Q"), "section_table_offset": (48, "Q"), "section_count": (56, "I"),
        "section_entry_size": (60, "I"), "comp_align_log2": (64, "B"), "data_align_log2": (65, "B"),
        "chunk_log2": (66, "B"), "hash_kind": (67, "B"), "tensor_count": (68, "I"),
        "head_size": (96, "Q"), "section_table_hash": (104, "Q"), "complete": (240, "8s"),
        "header_hash": (248, "Q")}),
    "section": (64, {
        "kind": (0, "4s"), "flags": (4, "I"), "offset": (8, "Q"), "stored_size": (16, "Q"),
        "raw_size": (24, "Q"), "stored_hash": (32, "Q"), "raw_hash": (40, "Q"), "ordinal": (48, "I"),
        "codec": (52, "I"), "reserved": (56, "Q")}),
    "directory": (96, {
        "encoding_count": (0, "I"), "input_count": (4, "I"), "tensor_count": (8, "I"),
        "part_count": (12, "I"), "component_count": (16, "I"), "name_bytes": (20, "I"),
        **_run("size", 24, "H", 5)}),
    "encoding": (128, {
        "grid": (0, "B"), "zero": (1, "B"), "plane_count": (2, "B"), "row_factor": (3, "B"),
        "value_type": (4, "H"), "scale_type": (6, "H"), **_run("radix", 8, "H", 8),
        "group": (24, "I"), "zero_constant": (28, "I"), "exponent_bits": (32, "B"),
        "mantissa_bits": (33, "B"), "minifloat": (34, "B"), "level_count": (35, "B"),
        "exponent_bias": (36, "i"), **_run("level", 40, "f", 16)}),
    "input": (160, {
        "columns": (0, "Q"), "smooth": (8, "I"), "smooth_state": (12, "B"), "set_count": (13, "B"),
        **_sets()}),
    "tensor": (96, {
        "name_offset": (0, "I"), "name_size": (4, "H"), "rank": (6, "B"), "flags": (7, "B"),
        **_run("shape", 8, "Q", 3), "input": (32, "I"), "part_first": (36, "I"),
        "part_count": (40, "I"), "rank_pair": (44, "I"), "low_rank_a": (48, "I"),
        "low_rank_b": (52, "I"), "low_rank_a_scales": (56, "I"), "low_rank_b_scales": (60, "I"),
        "bias": (64, "I")}),
    "part": (64, {
        "encoding": (0, "I"), "column_set": (4, "I"), **_run("plane", 8, "I", 8),
        "scales": (40, "I"), "row_factors": (44, "I"), "zeros": (48, "I"),
        "column_factors": (52, "I"), "row_sums": (56, "I"), "reserved": (60, "I")}),
    "component": (64, {
        "offset": (0, "Q"), "size": (8, "Q"), "hash": (16, "Q"), "element": (24, "H"),
        "packing": (26, "H"), "reserved": (28, "I"), "rows": (32, "Q"), "cols": (40, "Q")}),
}


def hash64(data):
    return xxhash.xxh3_64_intdigest(bytes(data))


def align_up(value, align):
    return (value + align - 1) // align * align


def pack_record(kind, values):
    size, fields = RECORDS[kind]
    out = bytearray(size)
    for name, value in values.items():
        at, form = fields[name]
        struct.pack_into("<" + form, out, at, value)
    return bytes(out)
