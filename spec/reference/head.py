"""Steps 1 to 6 (sqf.md, 6): header, section table, the sections before DATA, their texts."""

from . import layout, strict_json, zstd_frame
from .layout import align_up
from .xxh3 import hash64


def _not_zero(data):
    return data.count(0) != len(data)


# 1

def first_bytes(file):
    """R102, R101, R103, R104, R105, R106, R107: each of them ends the reading."""
    start = bytes(file.view[:layout.HEADER_SIZE])
    if len(start) >= 4 and start[:4] not in (b"\x89SQF", b"\x09SQF"):
        return file.report(102, "the file does not start with the magic of SQF")
    if len(start) < layout.HEADER_SIZE:
        return file.report(101, f"the file has {len(start)} bytes, its header alone 256")
    header = layout.HEADER.unpack(start)
    if header.magic != layout.MAGIC:
        return file.report(103, "the magic is damaged, as a transfer as text does it")
    if header.complete != layout.COMPLETE:
        return file.report(104, "no completion marker: the file was never finished")
    if header.header_hash != hash64(start[:248]):
        return file.report(105, "the header's hash does not match its bytes")
    if header.major != 1:
        return file.refuse(106, f"major version {header.major}, this reader knows 1")
    unknown = header.feature_incompat & ~layout.COMPAT_ZSTD
    if unknown:
        return file.refuse(107, f"unknown incompatible features {unknown:#x}")
    file.header = header


# 2

def header_fields(file):
    """Each field: R108, R109, R110, R201; then, by itself, R203 for a file that ends before byte 4096."""
    header = file.header
    for name, low, high in (
            ("header_size", 256, 256), ("section_table_offset", 256, 256), ("section_entry_size", 64, 64),
            ("comp_align_log2", 6, 12), ("data_align_log2", 12, 21), ("chunk_log2", 16, 24),
            ("hash_kind", 1, 1)):
        if not low <= getattr(header, name) <= high:
            file.report(108, f"{name} is {getattr(header, name)}, out of its range")
    for name in ("reserved_72", "reserved_112"):
        if any(getattr(header, name)):
            file.report(109, f"the header's {name} is not zero")
    if header.file_size != file.size:
        file.report(110, f"the header states {header.file_size} bytes, the file has {file.size}")
    if not 4 <= header.section_count <= 60:
        file.report(201, f"{header.section_count} sections")
    if not file.findings and file.size < layout.SECTIONS_OFFSET:
        file.report(203, "the file ends before byte 4096, where sections start")


# 3

def table_hash(file):
    """R202"""
    size = file.header.section_count * layout.SECTION_SIZE
    table = bytes(file.view[layout.TABLE_OFFSET:layout.TABLE_OFFSET + size])
    if hash64(table) != file.header.section_table_hash:
        return file.report(202, "the section table's hash does not match its bytes")
    file.sections = [layout.SECTION.unpack(table, at) for at in range(0, size, layout.SECTION_SIZE)]


# 4

def _flags(section):
    compressed = section.flags & layout.COMPRESSED
    if section.flags & ~3:
        return f"unknown flags {section.flags:#x}"
    if section.codec > 1:
        return f"unknown codec {section.codec}"
    if (section.codec == 1) != bool(compressed):
        return "flags and codec disagree about compression"
    if section.ordinal or section.reserved:
        return "ordinal or reserved bytes are not zero"
    if compressed and not layout.KINDS.get(section.kind, (0, False, False))[1]:
        return "this kind is never compressed"
    return None


def _sizes(section):
    limit = layout.KINDS.get(section.kind, (layout.HEAD_LIMIT,))[0]
    if not section.flags & layout.COMPRESSED:
        if section.raw_size != section.stored_size or section.raw_hash != section.stored_hash:
            return "raw and stored size or hash differ without compression"
    if not section.stored_size or not section.raw_size:
        return "a size of 0"
    if max(section.stored_size, section.raw_size) > limit:
        return f"larger than {limit} bytes"
    return None


def _kind(section, seen):
    critical = section.flags & layout.CRITICAL
    if section.kind in layout.KINDS and layout.KINDS[section.kind][2] and not critical:
        return "this kind must be flagged critical"
    if section.kind in seen:
        return "the kind is there twice"
    return None


def _record(file, i, end, seen):
    """The first rule that the record of section i breaks, where the section before it ends at `end`: R207,
    R206, R204, R203."""
    header, section = file.header, file.sections[i]
    name = f"section {i} ({section.kind.decode('ascii', 'backslashreplace')!r})"
    for rule, wrong in ((207, _flags(section)), (206, _sizes(section))):
        if wrong:
            return file.report(rule, f"{name}: {wrong}")
    if section.kind not in layout.KINDS and section.flags & layout.CRITICAL:
        return file.refuse(204, f"{name}: an unknown kind that is critical")
    wrong = _kind(section, seen)
    if wrong:
        return file.report(204, f"{name}: {wrong}")
    is_data = section.kind == b"DATA"
    place = align_up(end, 1 << (header.data_align_log2 if is_data else header.comp_align_log2))
    if section.offset != place:
        return file.report(203, f"{name} starts at {section.offset}, not at {place}")
    if section.stored_size > file.size - place:
        return file.report(203, f"{name} ends behind the file")
    if is_data and i != len(file.sections) - 1:
        file.report(203, f"{name} is not the last")


def section_records(file):
    """Each record: R207, R206, R204, R203; of the table: R206, R205, R110, R209, R207."""
    header, sections = file.header, file.sections
    seen = set()
    end = layout.SECTIONS_OFFSET
    for i, section in enumerate(sections):
        _record(file, i, end, seen)
        seen.add(section.kind)
        end = section.offset + section.stored_size

    data = next((i for i, section in enumerate(sections) if section.kind == b"DATA"), None)
    if data is not None:
        before = sections[data - 1] if data else None
        head_end = before.offset + before.stored_size if before else layout.SECTIONS_OFFSET
        if head_end > layout.HEAD_LIMIT:
            file.report(206, f"the head has {head_end} bytes")
    missing = [kind.decode() for kind,
               (_, _, required) in layout.KINDS.items() if required and kind not in seen]
    if missing:
        file.report(205, "missing: " + ", ".join(missing))
    if data is not None:
        end = sections[data].offset + sections[data].stored_size
        if end != file.size:
            file.report(110, f"DATA ends at {end}, the file at {file.size}")
        if header.head_size != head_end:
            file.report(209,
                        f"head_size is {header.head_size}, the last section before DATA ends at {head_end}")
    any_compressed = any(section.flags & layout.COMPRESSED for section in sections)
    if bool(header.feature_incompat & layout.COMPAT_ZSTD) != any_compressed:
        file.report(207, "the header's bit 0 of feature_incompat is not what the sections need")


# 5

def _raw(file, section, name, stored):
    """The raw bytes of a section whose stored bytes are given, or None where they cannot be had."""
    if not section.flags & layout.COMPRESSED:
        return stored
    try:
        zstd_frame.check(stored, section.raw_size)
        raw = zstd_frame.decompress(stored, section.raw_size)
    except zstd_frame.FrameError as error:
        file.report(304, f"{name}: {error}")
        return None
    except zstd_frame.NoDecompressor:
        file.unsupported.append(f"{name} is a zstd frame, and no decompressor is installed")
        return None
    if hash64(raw) != section.raw_hash:
        file.report(208, f"{name}: the hash of the raw bytes does not match")
        return None
    return raw


def bytes_before_data(file):
    """Each section: R210, R208, R304, R208; of DATA: R210, R501, R208. The head is copied before it is
    judged."""
    *sections, data = file.sections
    head = bytes(file.view[:data.offset])
    end = layout.TABLE_OFFSET + len(file.sections) * layout.SECTION_SIZE
    for section in sections:
        name = section.kind.decode("ascii", "backslashreplace")
        gap = head[end:section.offset]
        end = section.offset + section.stored_size
        if _not_zero(gap):
            file.report(210, f"the bytes before {name} are not zero")
            continue
        stored = head[section.offset:end]
        if hash64(stored) != section.stored_hash:
            file.report(208, f"{name}: the hash of the stored bytes does not match")
            continue
        raw = _raw(file, section, name, stored)
        if raw is not None:
            file.raw[section.kind] = raw
    if _not_zero(head[end:]):
        return file.report(210, "the bytes before DATA are not zero")
    chunks = align_up(data.stored_size, 1 << file.header.chunk_log2) >> file.header.chunk_log2
    checksums = file.section(b"CHKS")
    if checksums.stored_size != 8 * chunks:
        return file.report(501, f"CHKS has {checksums.stored_size} bytes, {chunks} chunks need {8 * chunks}")
    # A CHKS whose bytes are not those of its own hash has been named above; DATA's hash must still be that of
    # the bytes.
    if hash64(head[checksums.offset:checksums.offset + checksums.stored_size]) != data.stored_hash:
        file.report(208, "DATA: its stored_hash is not that of CHKS")


# 6

def _object(file, kind):
    """The strict JSON object in a section, or None after a finding of R301."""
    try:
        value = strict_json.parse(file.raw[kind])
    except strict_json.JsonError as error:
        return file.report(301, f"{kind.decode()} is not strict JSON: {error}")
    if type(value) is not dict:
        return file.report(301, f"{kind.decode()} is no JSON object")
    return value


def texts(file):
    """R303 for TOKN, TMPL, CALB, LICN; R301, R302 for META; R301 for CALB."""
    broken = set()
    for kind in (b"TOKN", b"TMPL", b"CALB", b"LICN"):
        try:
            str(file.raw.get(kind, b""), "utf-8")
        except UnicodeDecodeError as error:
            file.report(303, f"{kind.decode()} is not UTF-8 at byte {error.start}")
            broken.add(kind)
    meta = _object(file, b"META")
    if meta is not None:
        wrong = [name
                 for name in ("format", "model", "source", "quantization")
                 if type(meta.get(name)) is not dict]
        if type(meta.get("format")) is dict:
            wrong += [f"format.{name}"
                      for name in ("writer", "spec") if type(meta["format"].get(name)) is not str]
        if wrong:
            file.report(302, "META has no " + ", ".join(wrong) + " of the type it must have")
        file.meta = meta
    if b"CALB" in file.raw and b"CALB" not in broken:
        _object(file, b"CALB")
