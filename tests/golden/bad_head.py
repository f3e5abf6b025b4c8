"""Bad files up to the sections' bytes: R101..R110, R201..R210, R501."""

import struct
import zipfile
from io import BytesIO

from builder import COMPRESSED, CRITICAL, RECORDS, REQUIRED, Section, align_up, build, hash64
from corpus import chunks, texts, texts_description, tiny
from zstd_frames import frame

TOP = 1 << 63
MAX32, MAX64 = (1 << 32) - 1, (1 << 64) - 1


def add_all(c):
    short_files(c)
    foreign(c)
    header_bytes(c)
    header_fields(c)
    sizes(c)
    table(c)
    for i in range(len(texts().sections)):
        section_record(c, i)
    section_lists(c)
    gaps(c)
    section_bytes(c)
    leaves(c)


def short_files(c):
    data = bytes(tiny().bytes)
    edges = {e + d for _, at, size, _ in tiny().sections for e in (at, at + size) for d in (-1, 0, 1)}
    cuts = (1237 * i % len(data) for i in range(1, 60))
    for size in sorted({*range(513), *edges, *cuts, 4095, 4096, 4097, len(data) - 1}):
        if size < len(data):
            c.add(f"cut.{size}", 101 if size < 256 else 110, data[:size])


def foreign(c):
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as z:
        z.writestr(zipfile.ZipInfo("model/data.pkl"), b"\x80\x02." * 200)
    starts = {
        "gguf": b"GGUF\x03\0\0\0" + bytes(56), "zip": archive.getvalue(),
        "safetensors": struct.pack("<Q", 64) + b'{"__metadata__":{}}' + b" " * 45,
        "html": b"<!DOCTYPE html><html><body>404</body></html>",
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        "gzip": b"\x1f\x8b\x08\0\0\0\0\0", "zstd": frame(b"x" * 40), "json": b'{"a":1}    ',
        "pickle": b"\x80\x02}q\0.", "zeros": bytes(8), "word.swapped": b"FQS\x89\n\x1a\n\r",
        "no.lead": b"SQF\r\n\x1a\n\0", "lower": b"\x89sqf\r\n\x1a\n", "utf8": b"\xc2\x89SQF\r\n\x1a\n",
        "lead.only": b"\x89SQG\r\n\x1a\n"}
    for name, start in starts.items():
        c.add(f"foreign.{name}", 102, start)
        c.add(f"foreign.{name}.4bytes", 102, start[:4])
        c.add(f"foreign.{name}.padded", 102, start.ljust(9000, b"\0"))
        c.add(f"foreign.{name}.3bytes", 101, start[:3])
    data = bytes(tiny().bytes)
    c.add("mangled.crlf.to.lf", 103, data.replace(b"\r\n", b"\n"))
    c.add("mangled.lf.to.crlf", 103, data.replace(b"\n", b"\r\n"))
    c.add("mangled.7bit", 103, bytes(b & 127 for b in data))
    c.add("mangled.7bit.magic", 103, b"\x09" + data[1:])
    c.add("mangled.lf.to.cr", 103, data.replace(b"\n", b"\r"))
    c.add("mangled.cut.at.ctrl.z", 101, data[:6])
    c.add("mangled.nul.for.ctrl.z", 103, data[:6] + b"\0" + data[7:])


def header_bytes(c):
    """One bit of each byte, nothing sealed again."""
    data = tiny().bytes
    for at in range(256):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        rule = 102 if at < 4 else 103 if at < 8 else 104 if 240 <= at < 248 else 105
        c.add(f"header.flip.{at}", rule, changed)
    for value in (b"\0" * 8, b"SQFDONE\0", b"SQFDONE\r", b"sqfdone\n"):
        c.fields(104, tiny, "header", 0, [("complete", value)])
    c.fields(105, tiny, "header", 0, [("header_hash", v) for v in (0, 1, MAX64)], stale=("header",))


def header_fields(c):
    head = lambda rule, name, *values, note="": c.fields(
        rule, tiny, "header", 0, [(name, v) for v in values], note)
    head(106, "major", 0, 2, 3, 256, 0x7FFF, 0x8000, 65535)
    head(107, "feature_incompat", *(1 << bit for bit in range(1, 64)), 3, MAX64, MAX64 - 1)
    head(108, "header_size", 0, 255, 257, 512, 4096, TOP >> 32, MAX32)
    head(108, "section_table_offset", 0, 1, 255, 257, 4096, TOP, MAX64, MAX64 - 255)
    head(108, "section_entry_size", 0, 1, 32, 63, 65, 128, MAX32)
    head(108, "comp_align_log2", 0, 1, 5, 13, 32, 63, 64, 255)
    head(108, "data_align_log2", 0, 6, 11, 22, 32, 63, 64, 255)
    head(108, "chunk_log2", 0, 1, 15, 25, 32, 63, 64, 255)
    head(108, "hash_kind", 0, 2, 128, 255)
    c.bytes_of(109, tiny, "header", 0, [*range(72, 96), *range(112, 240)])
    size = len(tiny().bytes)
    head(110, "file_size", 0, 1, 255, 256, size - 1, size + 1, size + 4096, 1 << 48, TOP, MAX64)
    head(201, "section_count", 0, 1, 2, 3, 61, 64, 255, 1 << 26, 1 << 31, MAX32)
    head(401, "tensor_count", 0, 2, 1 << 20, (1 << 20) + 1, MAX32)
    head(203, "data_align_log2", 14, 16, 21)
    swapped = tiny().copy()
    for name, (_, form) in RECORDS["header"][1].items():
        if form in "HIQ" and name != "header_hash":
            value = struct.unpack(">" + form, struct.pack("<" + form, swapped.get("header", 0, name)))[0]
            swapped.set("header", 0, name, value)
    c.add("header.big.endian", 106, swapped.copy().seal(("components", "leaves", "sections", "table")))
    swapped.put(248, struct.pack(">Q", hash64(swapped.bytes[:248])))
    c.add("header.big.endian.hash", 105, swapped)
    # The first rule of a header that breaks several.
    both = tiny().copy().set("header", 0, "header_size", 0).poke("header", 0, 80).seal()
    c.add("header.R108.before.R109", 108, both)
    both = tiny().copy().poke("header", 0, 200).set("header", 0, "file_size", 5).seal()
    c.add("header.R109.before.R110", 109, both)
    both = tiny().copy().set("header", 0, "file_size", 5).set("header", 0, "section_count", 0).seal()
    c.add("header.R110.before.R201", 110, both)
    both = tiny().copy().set("header", 0, "major", 2).set("header", 0, "feature_incompat", 8).seal()
    c.add("header.R106.before.R107", 106, both)
    both = tiny().copy().set("header", 0, "feature_incompat", 8).set("header", 0, "header_size", 0)
    c.add("header.R107.before.R108", 107, both.seal())


def sizes(c):
    """Files whose header states their size, whatever that is."""
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as z:
        z.writestr(zipfile.ZipInfo("a"), b"b")
    data = tiny().bytes
    for name, tail in (("byte", b"\0"), ("zip", archive.getvalue()), ("page", bytes(4096)),
                       ("twin", bytes(data))):
        c.add(f"behind.{name}", 110, data + tail)
        image = tiny().copy()
        image.bytes += tail
        image.set("header", 0, "file_size", len(image.bytes)).seal(("leaves", "sections"))
        c.add(f"behind.{name}.sealed", 110, image)
    for size in (256, 257, 512, 1000, 4095):
        image = tiny().copy()
        image.set("header", 0, "file_size", size).seal(("components", "leaves", "sections", "table"))
        c.add(f"ends.at.{size}", 203, image.bytes[:size])
    # From here on the table is whole, but a section ends beyond the file.
    image = tiny().copy()
    for size in (4096, 4500, len(data) - 64, len(data) - 1):
        image.set("header", 0, "file_size", size)
        image.seal(("components", "leaves", "sections", "table"))
        c.add(f"ends.at.{size}", 203, image.bytes[:size])


def table(c):
    data = tiny().bytes
    for at in [*range(256, 320), *range(320, 256 + 64 * len(tiny().sections), 3)]:
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        c.add(f"table.flip.{at}", 202, changed)
    c.fields(202, tiny, "header", 0, [("section_table_hash", v) for v in (0, 1, MAX64)],
             stale=("table",))
    # The table hash covers as many records as the header states.
    image = tiny().copy().set("header", 0, "section_count", 6).seal()
    c.add("table.one.more", 203, image, "a record of zeros follows: DATA is not the last")
    image = tiny().copy().set("header", 0, "section_count", 4).seal()
    c.add("table.one.less", 205, image, "no DATA record at all: R205 rather than R203 (DATA not last)")
    image = tiny().copy().set("header", 0, "section_count", 6).seal(("table",))
    c.add("table.one.more.stale", 202, image)


def section_record(c, i):
    kind, at, size, _ = texts().sections[i]
    name, last = kind.decode(), len(texts().sections) - 1
    flags = texts().get("section", i, "flags")
    put = lambda rule, *values, note="", stale=(): c.fields(rule, texts, "section", i, values, note,
                                                             stale)
    put(207, *(("flags", flags | bit) for bit in (2, 4, 8, 0x100, 1 << 31, MAX32)),
        ("codec", 1), ("codec", 2), ("codec", MAX32), ("ordinal", 1), ("ordinal", MAX32),
        ("reserved", 1), ("reserved", TOP))
    put(203, *(("offset", v) for v in (0, 1, 256, at - 1, at + 1, at - 64, at + 64, at + 4096, TOP,
                                       TOP + at, MAX64, MAX64 - 63, MAX64 - size + 1)))
    put(206, ("stored_size", size + 1), ("stored_size", size - 1), ("raw_size", size + 1),
        ("raw_size", size - 1), ("raw_size", 0), ("stored_size", 0), ("stored_size", MAX64),
        ("raw_size", MAX64))
    put(206, ("stored_hash", 0), ("raw_hash", 0), stale=("sections",))
    both = lambda value: texts().copy().set("section", i, "stored_size", value).set(
        "section", i, "raw_size", value).seal()
    for value in (0, 1 << 49, TOP, MAX64, MAX64 - 4095):
        if value == 0 or name != "XTRA":
            c.add(f"section.{name}.both.sizes={value}", 206, both(value))
    if name == "DATA":
        c.add("section.DATA.longer", 203, both(size + 1))
        c.add("section.DATA.much.longer", 203, both(1 << 47))
        c.add("section.DATA.shorter", 110, both(size - 1))
    else:
        c.add(f"section.{name}.longer", 203, both(size + 4096))
        c.add(f"section.{name}.huge", 203, both(1000000))
        if i == last - 1:
            rule = 209
        else:
            rule = 208 if align_up(size - 1, 64) == align_up(size, 64) else 203
        c.add(f"section.{name}.shorter", rule, both(size - 1))
    image = texts().copy().set("section", i, "stored_hash", 5).set("section", i, "raw_hash", 5)
    c.add(f"section.{name}.wrong.hashes", 208, image.seal(("sections",)))
    critical = texts().copy().set("section", i, "kind", b"ZZZZ").set("section", i, "flags", CRITICAL)
    c.add(f"section.{name}.unknown.critical", 204, critical.seal())
    if name in REQUIRED:
        put(204, ("flags", 0))
        image = texts().copy().set("section", i, "kind", b"ZZZZ").set("section", i, "flags", 0).seal()
        c.add(f"section.{name}.unknown", 203 if name == "DATA" else 205, image)
    if i:
        put(204, ("kind", texts().sections[i - 1][0]))
    limits = {"META": 64 << 20, "TOKN": 64 << 20, "TMPL": 1 << 20, "CALB": 64 << 20,
              "LICN": 16 << 20}
    if name in limits:
        c.add(f"section.{name}.limit", 206, both(limits[name] + 1))
        c.add(f"section.{name}.at.limit", 203, both(limits[name]))
        for field in ("stored_size", "raw_size"):
            image = texts().copy().set("section", i, "flags", flags | COMPRESSED)
            image.set("section", i, "codec", 1).set("header", 0, "feature_incompat", 1)
            image.set("section", i, field, limits[name] + 1).seal()
            c.add(f"section.{name}.compressed.limit.{field}", 206, image)
    else:
        image = texts().copy().set("section", i, "flags", flags | COMPRESSED)
        image.set("section", i, "codec", 1).set("header", 0, "feature_incompat", 1).seal()
        if name != "XTRA":
            c.add(f"section.{name}.compressed", 207, image)


def section_lists(c):
    def built(name, rule, edit, note="", header=None):
        d = texts_description()
        d.header.update(header or {})
        c.add("sections." + name, rule, build(d, edit_sections=edit), note)

    index = lambda sections, kind: next(j for j, s in enumerate(sections) if s.kind == kind)
    for kind in (b"META", b"TDIR", b"CHKS"):
        built(f"no.{kind.decode()}", 205, lambda s, k=kind: s.pop(index(s, k)))
    for kind in (b"META", b"TDIR", b"ENCV", b"TOKN", b"TMPL", b"CALB", b"LICN", b"XTRA"):
        built(f"twice.{kind.decode()}", 204, lambda s, k=kind: s.insert(index(s, k), s[index(s, k)]))
    built("twice.CHKS", 204, lambda s: s.insert(
        0, Section(b"CHKS", bytes(8), bytes(8), CRITICAL)))
    built("unknown.critical", 204, lambda s: s.insert(2, Section(b"NEWS", b"1", b"1", CRITICAL)))
    built("unknown.kind.binary", 204, lambda s: s.insert(2, Section(b"\0\xff\n\"", b"1", b"1", CRITICAL)))
    built("too.many", 201, lambda s: s.extend(
        Section(b"X%03d" % j, b"1", b"1") for j in range(61 - 1 - len(s))))
    built("bit0.without.frame", 207, lambda s: None, header={"feature_incompat": 1})
    for kind in (b"META", b"TOKN", b"TMPL", b"CALB", b"LICN"):
        def compress(s, k=kind):
            one = s[index(s, k)]
            one.stored, one.flags, one.codec = frame(one.raw), one.flags | COMPRESSED, 1
        built(f"frame.without.bit0.{kind.decode()}", 207, compress, header={"feature_incompat": 0})
    for kind in (b"TDIR", b"ENCV"):
        def forbidden(s, k=kind):
            one = s[index(s, k)]
            one.stored, one.flags, one.codec = frame(one.raw), one.flags | COMPRESSED, 1
        built(f"frame.forbidden.{kind.decode()}", 207, forbidden)
    built("frame.unknown.kind", 207, lambda s: s.insert(
        2, Section(b"NEWS", b"1", frame(b"1"), COMPRESSED, 1)),
        "an unknown section that is compressed: only five kinds may be")
    # Records out of order.
    for a, b in ((0, 1), (1, 2), (len(texts().sections) - 2, len(texts().sections) - 1), (0, 5)):
        image = texts().copy()
        one, two = 256 + 64 * a, 256 + 64 * b
        records = bytes(image.bytes[one:one + 64]), bytes(image.bytes[two:two + 64])
        image.put(one, records[1]).put(two, records[0]).seal(("sections", "components", "leaves"))
        c.add(f"sections.swapped.{a}.{b}", 203, image)
    end = texts().get("header", 0, "head_size")
    c.fields(209, texts, "header", 0, [("head_size", v) for v in (
        0, 256, 4096, end - 1, end + 1, align_up(end, 4096), len(texts().bytes), TOP, MAX64)])


def gap_ranges(image):
    end = 256 + 64 * len(image.sections)
    for kind, at, size, _ in image.sections:
        yield kind.decode(), end, at
        end = at + size


def gaps(c):
    for seed in (tiny, texts):
        for kind, begin, end in gap_ranges(seed()):
            inside = range(begin, end)
            picked = inside if len(inside) <= 64 and seed is texts else {
                *inside[:2], *inside[-2:], *inside[len(inside) // 2:][:1]}
            for at in sorted(picked):
                image = seed().copy()
                image.bytes[at] = 0x20
                c.add(f"gap.{seed.__name__}.{kind}.{at}", 210, image)


def section_bytes(c):
    for kind, at, size, _ in texts().sections[:-1]:
        for where in sorted({0, 1, size // 3, size // 2, size - 2, size - 1}):
            if 0 <= where < size:
                image = texts().copy()
                image.bytes[at + where] ^= 0x10
                c.add(f"flip.{kind.decode()}.{where}", 208, image)
    image = texts().copy()  # the gap before a section comes before its hash, and after the hash before
    at = image.section("TDIR")[1]
    image.bytes[at - 1] = 1
    image.bytes[at] ^= 1
    c.add("order.R210.before.R208", 210, image)
    image = texts().copy()
    image.bytes[image.section("META")[1]] ^= 1
    image.bytes[at - 1] = 1
    c.add("order.R208.before.the.next.R210", 208, image)


def leaves(c):
    def sized(seed_description, name, body):
        def edit(sections):
            for s in sections:
                if s.kind == b"CHKS":
                    s.raw = s.stored = body
        c.add(f"leaves.{name}", 501, build(seed_description(), edit_sections=edit))

    for size in (1, 7, 9, 12, 15, 16, 24, 4096):
        sized(texts_description, f"size.{size}", bytes(size))
    c.fields(501, chunks, "header", 0, [("chunk_log2", v) for v in (17, 20, 24)])
    image = chunks().copy().set("header", 0, "chunk_log2", 17)
    i = len(image.sections) - 1
    image.set("section", i, "stored_hash", 1).set("section", i, "raw_hash", 1)
    c.add("order.R501.before.R208", 501, image.seal(("sections",)))
