"""Writes SQF 1.0 files from plain data, from spec/sqf.md alone; nothing here is shared with the C++.

Four steps, and a hook after each, so that a test can break what it wants and keep the rest whole:

    description   dataclasses below: encodings, inputs, tensors with parts, texts
    lower()       records (dicts of fields) and components in order; `edit_records(records)` may
                  change, add, drop or reorder any of them
    assemble()    sections with their bytes; `edit_sections(sections)` likewise
    place()       an Image: the file's bytes and where each record stands in them. image.set(...)
                  overrides a field, image.poke(...) a byte; then image.seal() computes the hashes
                  again, bottom up, except for the levels that are to be left stale.

A field is never checked here: a writer that refuses bad files could not make any.
"""

import copy
import json
import struct
from dataclasses import dataclass, field

from records import *  # noqa: F403: the names of the format

# ---- description ---------------------------------------------------------------------------------


@dataclass(eq=False)
class Component:
    """Bytes in DATA. The same object named twice is one component used twice."""
    element: int
    packing: int
    rows: int
    cols: int
    body: bytes


@dataclass
class Part:
    encoding: int
    planes: list
    column_set: int = 0
    scales: Component = None
    row_factors: Component = None
    zeros: Component = None
    column_factors: Component = None
    row_sums: Component = None


@dataclass
class ColumnSet:
    kind: int
    count: int
    columns: Component = None
    fields: dict = field(default_factory=dict)  # the activation quantizer


@dataclass
class Input:
    columns: int
    sets: list
    smooth: Component = None
    smooth_state: int = 0


@dataclass
class Tensor:
    name: bytes
    shape: tuple
    parts: list
    input: int = None
    bias: Component = None
    rank_pair: int = 0
    low_rank: tuple = (None, None, None, None)  # A, B, scales of A, scales of B


@dataclass
class Section:
    kind: bytes
    raw: bytes
    stored: bytes
    flags: int = 0
    codec: int = 0


@dataclass
class Description:
    meta: object  # a dict, or the section's bytes
    encodings: list = field(default_factory=list)  # dicts of encoding fields
    inputs: list = field(default_factory=list)
    tensors: list = field(default_factory=list)
    texts: dict = field(default_factory=dict)  # section kind -> bytes, in table order
    encv: bytes = None
    frames: dict = field(default_factory=dict)  # section kind -> zstd frame to store it as
    header: dict = field(default_factory=dict)  # header fields that differ from the usual
    spare_components: list = field(default_factory=list)  # that no record names
    component_order: object = None  # sort key of a component; otherwise the order of their uses
    reverse_head: bool = False  # CHKS first, META last


# ---- step 1: records -----------------------------------------------------------------------------


@dataclass
class Records:
    encodings: list
    inputs: list
    tensors: list
    parts: list
    components: list  # dicts; their bytes are in bodies
    bodies: list
    names: bytes
    directory: dict = field(default_factory=dict)  # overrides of the directory header
    tail: bytes = b""  # bytes behind the directory


def lower(d):
    order = []

    def visit(component):
        if component is not None and not any(component is c for c in order):
            order.append(component)

    for record in d.inputs:
        visit(record.smooth)
        for s in record.sets:
            visit(s.columns)
    for t in d.tensors:
        for p in t.parts:
            for c in (*p.planes, p.scales, p.row_factors, p.zeros, p.column_factors, p.row_sums):
                visit(c)
        for c in (t.bias, *t.low_rank):
            visit(c)
    for c in d.spare_components:
        visit(c)
    if d.component_order:
        order.sort(key=d.component_order)

    def index(component):
        if component is None:
            return NONE
        return next(i for i, c in enumerate(order) if c is component)

    inputs, tensors, parts, names = [], [], [], b""
    for record in d.inputs:
        values = {"columns": record.columns, "smooth": index(record.smooth),
                  "smooth_state": record.smooth_state, "set_count": len(record.sets)}
        for i, s in enumerate(record.sets):
            values |= {f"set{i}.kind": s.kind, f"set{i}.count": s.count,
                       f"set{i}.columns": index(s.columns)}
            values |= {f"set{i}.{name}": value for name, value in s.fields.items()}
        inputs.append(values)
    for t in d.tensors:
        a, b, a_scales, b_scales = map(index, t.low_rank)
        tensors.append({
            "name_offset": len(names), "name_size": len(t.name), "rank": len(t.shape),
            **{f"shape{i}": n for i, n in enumerate(t.shape)},
            "input": NONE if t.input is None else t.input, "part_first": len(parts),
            "part_count": len(t.parts), "rank_pair": t.rank_pair, "low_rank_a": a, "low_rank_b": b,
            "low_rank_a_scales": a_scales, "low_rank_b_scales": b_scales, "bias": index(t.bias)})
        names += t.name
        for p in t.parts:
            planes = [index(c) for c in p.planes] + [NONE] * (8 - len(p.planes))
            parts.append({
                "encoding": p.encoding, "column_set": p.column_set,
                **{f"plane{i}": c for i, c in enumerate(planes)}, "scales": index(p.scales),
                "row_factors": index(p.row_factors), "zeros": index(p.zeros),
                "column_factors": index(p.column_factors), "row_sums": index(p.row_sums)})
    components = [{"size": len(c.body), "element": c.element, "packing": c.packing, "rows": c.rows,
                   "cols": c.cols} for c in order]
    return Records([dict(e) for e in d.encodings], inputs, tensors, parts, components,
                   [c.body for c in order], names)


# ---- step 2: sections ----------------------------------------------------------------------------

ARRAYS = (("encoding", "encodings"), ("input", "inputs"), ("tensor", "tensors"), ("part", "parts"),
          ("component", "components"))


def directory_bytes(r):
    header = {f"{kind}_count": len(getattr(r, name)) for kind, name in ARRAYS}
    header |= {f"size{i}": RECORDS[kind][0] for i, (kind, _) in enumerate(ARRAYS)}
    header |= {"name_bytes": len(r.names), **r.directory}
    out = pack_record("directory", header)
    for kind, name in ARRAYS:
        out += b"".join(pack_record(kind, values) for values in getattr(r, name))
    return out + r.names + b"\0" * (-len(r.names) % 8) + r.tail


def json_bytes(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def assemble(d, records):
    """All sections but DATA, which place() makes. CHKS has its size, not yet its bytes."""
    meta = d.meta if isinstance(d.meta, bytes) else json_bytes(d.meta)
    bodies = {"META": meta, "TDIR": directory_bytes(records)}
    if d.encv is not None:
        bodies["ENCV"] = d.encv
    bodies |= d.texts
    bodies["CHKS"] = None
    kinds = list(bodies)
    if d.reverse_head:
        kinds.reverse()
    sections = []
    for kind in kinds:
        raw = bodies[kind]
        s = Section(kind.encode(), raw, raw, CRITICAL if kind in REQUIRED else 0)
        if kind in d.frames:
            s.stored, s.flags, s.codec = d.frames[kind], s.flags | COMPRESSED, 1
        sections.append(s)
    return sections


# ---- step 3: bytes -------------------------------------------------------------------------------


class Image:
    """A file's bytes, and where the parts of it were laid out (whatever its fields say later)."""

    def __init__(self):
        self.bytes = bytearray()
        self.starts = {}  # (record kind, index) -> offset
        self.sections = []  # (kind, offset, size, raw bytes where compressed)
        self.components = []  # (offset, size)
        self.chunk = 1 << 20

    def copy(self):
        return copy.deepcopy(self)

    def get(self, kind, index, name):
        at, form = RECORDS[kind][1][name]
        return struct.unpack_from("<" + form, self.bytes, self.starts[kind, index] + at)[0]

    def set(self, kind, index, name, value):
        """Overrides a field; integers wrap to the field's width."""
        at, form = RECORDS[kind][1][name]
        if isinstance(value, int) and form in "BHIQ":
            value %= 1 << 8 * struct.calcsize(form)
        struct.pack_into("<" + form, self.bytes, self.starts[kind, index] + at, value)
        return self

    def poke(self, kind, index, offset, value=1):
        """Overrides one byte of a record."""
        self.bytes[self.starts[kind, index] + offset] = value
        return self

    def section(self, kind):
        """(index in the table, offset, size)"""
        for i, (name, offset, size, _) in enumerate(self.sections):
            if name == kind.encode():
                return i, offset, size
        raise KeyError(kind)

    def put(self, offset, data):
        self.bytes[offset:offset + len(data)] = data
        return self

    def seal(self, stale=()):
        """Computes all hashes but those of the levels in `stale`: components, leaves, sections,
        table, header."""
        if "components" not in stale:
            for i, (offset, size) in enumerate(self.components):
                self.set("component", i, "hash", hash64(self.bytes[offset:offset + size]))
        data_at = next((at for kind, at, _, _ in self.sections if kind == b"DATA"), None)
        chks = next((s for s in self.sections if s[0] == b"CHKS"), None)
        if "leaves" not in stale and data_at is not None and chks is not None:
            leaves = b"".join(struct.pack("<Q", hash64(self.bytes[at:at + self.chunk]))
                              for at in range(data_at, len(self.bytes), self.chunk))
            self.put(chks[1], leaves[:chks[2]])
        if "sections" not in stale:
            for i, (kind, offset, size, raw) in enumerate(self.sections):
                if kind == b"DATA" and chks is not None:
                    offset, size = chks[1], chks[2]
                stored = hash64(self.bytes[offset:offset + size])
                self.set("section", i, "stored_hash", stored)
                self.set("section", i, "raw_hash", stored if raw is None else hash64(raw))
        if "table" not in stale:
            count = self.get("header", 0, "section_count")
            table = self.bytes[256:256 + min(count, 1000) * 64]
            self.set("header", 0, "section_table_hash", hash64(table))
        if "header" not in stale:
            self.set("header", 0, "header_hash", hash64(self.bytes[:248]))
        return self


def locate(image, records, at):
    """Where the directory's records stand, TDIR being at `at`."""
    image.starts["directory", 0] = at
    at += 96
    for kind, name in ARRAYS:
        for i in range(len(getattr(records, name))):
            image.starts[kind, i] = at
            at += RECORDS[kind][0]
    image.starts["names", 0] = at


def place(d, records, sections):
    align = 1 << d.header.get("comp_align_log2", 6)
    data_align = 1 << d.header.get("data_align_log2", 12)
    image = Image()
    image.chunk = 1 << d.header.get("chunk_log2", 20)
    sections = [Section(s.kind, s.raw, s.stored, s.flags, s.codec) for s in sections]

    data_size = 0
    for body in records.bodies:
        data_size = align_up(data_size, align) + len(body)
    leaves = bytes(8 * -(-data_size // image.chunk))
    end = 4096
    rows = []
    for s in sections:
        if s.stored is None:
            s.raw = s.stored = leaves
        at = align_up(end, align)
        end = at + len(s.stored)
        rows.append((s, at))
    head_size = end
    data_at = align_up(end, data_align)
    file_size = data_at + data_size

    image.bytes = bytearray(file_size)
    for i, (s, at) in enumerate(rows):
        image.starts["section", i] = 256 + 64 * i
        image.sections.append((s.kind, at, len(s.stored), s.raw if s.codec else None))
        image.put(256 + 64 * i, pack_record("section", {
            "kind": s.kind, "flags": s.flags, "codec": s.codec, "offset": at,
            "stored_size": len(s.stored), "raw_size": len(s.raw)}))
        image.put(at, s.stored)
        whole = len(directory_bytes(records)) <= len(s.stored) and not s.codec
        if s.kind == b"TDIR" and whole and ("directory", 0) not in image.starts:
            locate(image, records, at)
    if data_size:
        i = len(rows)
        image.starts["section", i] = 256 + 64 * i
        image.sections.append((b"DATA", data_at, data_size, None))
        image.put(256 + 64 * i, pack_record("section", {
            "kind": b"DATA", "flags": CRITICAL, "offset": data_at, "stored_size": data_size,
            "raw_size": data_size}))
    at = data_at
    for i, body in enumerate(records.bodies):
        at = align_up(at, align)
        if ("component", i) in image.starts:
            image.components.append((at, len(body)))
            image.set("component", i, "offset", at)
        image.put(at, body)
        at += len(body)

    image.starts["header", 0] = 0
    image.put(0, pack_record("header", {
        "magic": MAGIC, "major": 1, "header_size": 256,
        "feature_incompat": int(any(s.codec == 1 for s, _ in rows)), "file_size": file_size,
        "section_table_offset": 256, "section_count": len(image.sections),
        "section_entry_size": 64, "comp_align_log2": 6, "data_align_log2": 12, "chunk_log2": 20,
        "hash_kind": 1, "tensor_count": len(records.tensors), "head_size": head_size,
        "complete": COMPLETE, **d.header}))
    return image.seal()


def build(description, edit_records=None, edit_sections=None):
    """The sealed Image of a description; bytes(build(d).bytes) is the file."""
    records = lower(description)
    if edit_records:
        edit_records(records)
    sections = assemble(description, records)
    if edit_sections:
        edit_sections(sections)
    return place(description, records, sections)
