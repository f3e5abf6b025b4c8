"""Bad texts: strict JSON, UTF-8, META's members, zstd frames (R301..R304), and the test vectors
(R305, R306)."""

import functools
import struct

import packing as pk
import seeds
from builder import E4M3, F16, F32, OCP, U8, ZERO_MINIMUM, ZERO_U4, Description, build, hash64
from corpus import texts_description
from make_good import CALIBRATION, LICENCE, TEMPLATE, plain
from parts import Source, test_vectors
from zstd_frames import MAGIC, block, frame, header, run, skippable, stored

BAD_UTF8 = {
    "lone.continuation": b"\x80", "lone.continuation.high": b"\xbf", "overlong.nul": b"\xc0\x80",
    "overlong.2": b"\xc1\xbf", "overlong.3": b"\xe0\x80\x80", "overlong.3.most": b"\xe0\x9f\xbf",
    "overlong.4": b"\xf0\x80\x80\x80", "overlong.4.most": b"\xf0\x8f\xbf\xbf",
    "surrogate.first": b"\xed\xa0\x80", "surrogate.last": b"\xed\xbf\xbf",
    "surrogate.pair": b"\xed\xa0\xbd\xed\xb8\x80", "beyond": b"\xf4\x90\x80\x80",
    "lead.f5": b"\xf5\x80\x80\x80", "five.bytes": b"\xf8\x88\x80\x80\x80",
    "six.bytes": b"\xfc\x84\x80\x80\x80\x80", "fe": b"\xfe", "ff": b"\xff", "cut.2": b"\xc3",
    "cut.3": b"\xe2\x82", "cut.4": b"\xf0\x9f\x98", "wrong.second": b"\xc3\x28",
    "wrong.third": b"\xe2\x82\x28", "wrong.fourth": b"\xf0\x9f\x98\x28"}

BAD_VALUES = {
    "nan": b"NaN", "infinity": b"Infinity", "minus.infinity": b"-Infinity", "nan.lower": b"nan",
    "inf": b"inf", "1e999": b"1e999", "-1e999": b"-1e999", "1e309": b"1e309",
    "just.too.big": b"1.7976931348623159e308", "long.integer": b"1" + b"0" * 400,
    "zero.point.then.many": b"1" * 310 + b".5", "leading.zero": b"01", "leading.zeros": b"-00",
    "plus": b"+1", "no.integer": b".5", "no.fraction": b"1.", "no.fraction.e": b"1.e5",
    "no.exponent": b"1e", "no.exponent.sign": b"1e+", "hex": b"0x10", "underscore": b"1_0",
    "two.signs": b"--1", "sign.alone": b"-", "wide.digit": "１".encode(), "tru": b"tru",
    "True": b"True", "nul": b"nul", "None": b"None", "undefined": b"undefined", "nothing": b"",
    "escape.x": b'"\\x41"', "escape.quote": b"\"\\'\"", "escape.0": b'"\\0"', "escape.u2": b'"\\u12"',
    "escape.u.letters": b'"\\u12G4"', "escape.U": b'"\\U00000041"', "escape.end": b'"\\',
    "high.alone": b'"\\ud800"', "high.then.text": b'"\\ud800a"', "low.alone": b'"\\udc00"',
    "pair.reversed": b'"\\udc00\\ud800"', "high.high": b'"\\ud800\\ud800"',
    "high.then.escape": b'"\\ud800\\n"', "high.then.letter": b'"\\ud83d\\u0041"',
    "control.nul": b'"\0"', "control.tab": b'"\t"', "control.lf": b'"\n"', "control.cr": b'"\r"',
    "control.1f": b'"\x1f"', "control.01": b'"\x01"', "single.quotes": b"'a'", "open.string": b'"a',
    "array.comma.end": b"[1,]", "array.comma.first": b"[,1]", "array.no.comma": b"[1 2]",
    "array.two.commas": b"[1,,2]", "array.open": b"[1", "array.closed.by.brace": b"[1}",
    "object.comma.end": b'{"a":1,}', "object.no.colon": b'{"a" 1}', "object.no.value": b'{"a":}',
    "object.bare.key": b"{a:1}", "object.number.key": b"{1:2}", "object.no.comma": b'{"a":1 "b":2}',
    "object.two.colons": b'{"a"::1}', "object.only.key": b'{"a"}', "object.open": b'{"a":1',
    "object.closed.by.bracket": b'{"a":1]', "twice": b'{"a":1,"a":1}',
    "twice.escaped": b'{"a":1,"\\u0061":2}', "twice.empty": b'{"":1,"":2}',
    "twice.accent": '{"é":1,"\\u00e9":2}'.encode(), "twice.pair": '{"😀":1,"\\ud83d\\ude00":2}'.encode(),
    "twice.slash": b'{"/":1,"\\/":2}', "twice.nul": b'{"a\\u0000":1,"a\\u0000":2}',
    "twice.deep": b'[[{"x":{"y":1,"z":1,"y":2}}]]', "twice.far": b'{"k":0,%s,"k":1}' % b",".join(
        b'"m%d":0' % i for i in range(200)),
    "comment.block": b"1/* */", "comment.line": b"1//\n", "comment.hash": b"1#\n",
    "nbsp": b"1\xc2\xa0", "form.feed": b"1\x0c", "vertical.tab": b"1\x0b", "bom.inside": b"\xef\xbb\xbf1"}

DEEP = {  # beyond 16 arrays and objects, the outer object counted
    "arrays.17": b"[" * 16 + b"]" * 16, "objects.17": b'{"a":' * 16 + b"1" + b"}" * 16,
    "arrays.1000": b"[" * 1000 + b"]" * 1000, "arrays.100000": b"[" * 100000 + b"]" * 100000,
    "arrays.open": b"[" * 100000, "objects.open": b'{"a":' * 50000}

BAD_WHOLES = {
    "bom": lambda t: b"\xef\xbb\xbf" + t, "utf16": lambda t: b"\xff\xfe" + t.decode().encode("utf-16-le"),
    "utf16.no.bom": lambda t: t.decode().encode("utf-16-le"), "letter.behind": lambda t: t + b"x",
    "nul.behind": lambda t: t + b"\0", "nul.before": lambda t: b"\0" + t, "twice": lambda t: t + t,
    "twice.lines": lambda t: t + b"\n" + t, "comma.behind": lambda t: t + b",",
    "brace.behind": lambda t: t + b"}", "cut": lambda t: t[:-1], "cut.first": lambda t: t[1:],
    "half": lambda t: t[:len(t) // 2], "in.array": lambda t: b"[" + t + b"]",
    "string": lambda t: b'"a"', "number": lambda t: b"1", "null": lambda t: b"null",
    "true": lambda t: b"true", "array": lambda t: b"[]", "space": lambda t: b" ",
    "brace": lambda t: b"{", "nbsp.before": lambda t: b"\xc2\xa0" + t, "vt.before": lambda t: b"\x0b" + t,
    "comment.behind": lambda t: t + b"//", "separator": lambda t: b"\x1e" + t, "line.sep":
    lambda t: t + "\u2028".encode()}


def member(text, value):
    """The JSON object with one member more."""
    return text[:-1] + b',"x":' + value + b"}"


def bad_json(text, depth=None):
    """(name, bytes) of texts that are no strict JSON object, all of them UTF-8 or else named utf8."""
    for name, value in BAD_VALUES.items():
        yield name, member(text, value)
    for name, value in (DEEP if depth is None else depth).items():
        yield "deep." + name, member(text, value)
    for name, change in BAD_WHOLES.items():
        yield "whole." + name, change(text)


def is_utf8(data):
    try:
        data.decode()
        return True
    except UnicodeDecodeError:
        return False


def with_text(kind, body, **more):
    d = texts_description()
    if kind == "META":
        d.meta = body
    else:
        d.texts[kind] = body
    for name, value in more.items():
        setattr(d, name, value)
    return build(d)


def add_all(c):
    json_texts(c)
    utf8(c)
    meta_members(c)
    for kind in ("META", "TMPL", "LICN"):
        frames(c, kind)
    frame_contents(c)
    vectors(c)


def json_texts(c):
    for name, body in bad_json(seeds.text(seeds.meta())):
        c.add("meta.json." + name, 301, with_text("META", body))
    for name, body in bad_json(seeds.text(CALIBRATION)):
        c.add("calb.json." + name, 301 if is_utf8(body) else 303, with_text("CALB", body))
    # Both are bad: R303 is looked for first, and META before CALB.
    d = texts_description()
    d.meta, d.texts["LICN"] = b"{", b"\xff"
    c.add("order.R303.before.R301", 303, build(d))
    d = texts_description()
    d.meta, d.texts["CALB"] = b'{"format":1}', b"{"
    c.add("order.R302.before.CALB", 302, build(d))


def utf8(c):
    for name, bad in BAD_UTF8.items():
        for kind, text in (("TOKN", seeds.text(seeds.tokenizer())), ("TMPL", TEMPLATE),
                           ("CALB", seeds.text(CALIBRATION)), ("LICN", LICENCE)):
            c.add(f"utf8.{kind}.end.{name}", 303, with_text(kind, text + bad))
            if kind in ("TOKN", "CALB"):
                c.add(f"utf8.{kind}.string.{name}", 303, with_text(kind, member(text, b'"%s"' % bad)))
            else:
                c.add(f"utf8.{kind}.inside.{name}", 303, with_text(kind, text[:9] + bad + text[9:]))
        text = seeds.text(seeds.meta())
        c.add(f"utf8.META.string.{name}", 301, with_text("META", member(text, b'"%s"' % bad)))
        c.add(f"utf8.META.key.{name}", 301, with_text("META", text[:-1] + b',"%s":1}' % bad))
        c.add(f"utf8.META.end.{name}", 301, with_text("META", text + bad))


def meta_members(c):
    for name in ("format", "model", "source", "quantization"):
        for value in (None, [], "text", 1, True, 0.5, ...):
            m = seeds.meta()
            if value is ...:
                del m[name]
            else:
                m[name] = value
            c.add(f"meta.{name}={value!r}", 302, with_text("META", seeds.text(m)))
    for name in ("writer", "spec"):
        for value in (None, [], {}, 1, True, 1.0, ...):
            m = seeds.meta()
            if value is ...:
                del m["format"][name]
            else:
                m["format"][name] = value
            c.add(f"meta.format.{name}={value!r}", 302, with_text("META", seeds.text(m)))
    c.add("meta.empty", 302, with_text("META", b"{}"))
    c.add("meta.inside.out", 302, with_text("META", b'{"model":%s}' % seeds.text(seeds.meta())))


def framed(kind, stored_bytes, raw, raw_size=None, raw_hash=None):
    d = texts_description()
    if kind == "META":
        d.meta = raw
    else:
        d.texts[kind] = raw
    d.frames[kind] = stored_bytes
    image = build(d)
    i = image.section(kind)[0]
    if raw_size is not None:
        image.set("section", i, "raw_size", raw_size)
    image.seal()
    if raw_hash is not None:
        image.set("section", i, "raw_hash", raw_hash).seal(("sections",))
    return image


def frames(c, kind):
    raw = {"META": seeds.text(seeds.meta()), "TMPL": TEMPLATE, "LICN": LICENCE * 9}[kind]
    n = len(raw)
    good = frame(raw)

    def bad(name, stored_bytes, rule=304, note="", **more):
        c.add(f"zstd.{kind}.{name}", rule, framed(kind, stored_bytes, raw, **more), note)

    bad("no.content.size", header(None, window=0) + stored(raw))
    bad("no.content.size.wide", header(None, window=0x68) + stored(raw))
    for delta in (-1, 1):
        bad(f"record.says.{delta}", good, raw_size=n + delta)
        bad(f"frame.says.{delta}", frame(raw, n + delta))
        bad(f"both.say.{delta}", frame(raw, n + delta), raw_size=n + delta)
    bad("record.says.much", good, raw_size=1 << 20)
    bad("frame.says.much", frame(raw, 1 << 30))
    bad("frame.says.2^63", frame(raw, 1 << 63, window=0x50))
    bad("frame.says.2^64-1", frame(raw, (1 << 64) - 1, window=0x50))
    bad("both.say.much", frame(raw, 1 << 20), raw_size=1 << 20)
    for window in (0x69, 0x6F, 0x70, 0x78, 0x80, 0xA8, 0xF8, 0xFF):
        bad(f"window.{window:#x}", frame(raw, window=window))
    for size in (1, 2, 4):
        bad(f"dictionary.{size}", frame(raw, dictionary=b"\1" * size))
        bad(f"dictionary.{size}.high", frame(raw, dictionary=b"\0" * (size - 1) + b"\x80"))
    bad("second.frame", good + frame(b"x"))
    bad("second.empty.frame", good + frame(b"", 0))
    bad("same.frame.twice", good + good)
    bad("two.halves", frame(raw[:n // 2]) + frame(raw[n // 2:]))
    bad("skippable.first", skippable() + good)
    bad("skippable.last", good + skippable())
    bad("skippable.empty.last", good + skippable(b""))
    bad("skippable.alone", skippable(raw))
    for tail in (b"\0", b"\0" * 64, b"x", MAGIC):
        bad(f"behind.{tail.hex()[:16]}.{len(tail)}", good + tail)
    for cut in sorted({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, n // 2, len(good) - 2, len(good) - 1}):
        bad(f"cut.{cut}", good[:cut])
    bad("plain.text", raw)
    bad("magic.wrong", b"\x27" + good[1:])
    bad("magic.0.7", b"\x27\xb5\x2f\xfd" + good[4:])
    bad("magic.reversed", MAGIC[::-1] + good[4:])
    bad("reserved.bit", frame(raw, reserved=1))
    bad("reserved.block", header(n) + block(3, n, raw, 1))
    bad("no.last.block", header(n) + block(0, n, raw, 0))
    bad("no.block", header(n))
    bad("block.too.long", header(n) + block(0, n + 1, raw, 1))
    bad("block.of.2^21", header(n) + block(0, (1 << 21) - 1, raw, 1))
    bad("checksum.missing", frame(raw, checksum=True))
    bad("checksum.wrong", frame(raw, checksum=True) + b"\1\2\3\4")
    bad("bad.compressed.block", header(n) + block(2, 5, b"\xff" * 5, 1))
    bad("empty.compressed.block", header(n) + block(2, 0, b"", 1))
    bad("run.to.1GiB", header(1 << 30) + run(32, 1 << 30)[:4000])
    bad("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\3\3\0\0\0\0\0\0\0\0\0")
    frame_hashes(c, kind, raw)


def frame_hashes(c, kind, raw):
    """stored_hash comes before the frame is looked at, the frame before raw_hash."""
    n, good = len(raw), frame(raw)

    def bad(name, stored_bytes, rule, **more):
        c.add(f"zstd.{kind}.{name}", rule, framed(kind, stored_bytes, raw, **more))

    i = framed(kind, good, raw).section(kind)[0]
    image = framed(kind, good, raw).set("section", i, "stored_hash", 9).seal(("sections",))
    c.add(f"zstd.{kind}.stored.hash", 208, image)
    image = framed(kind, good[:-1], raw).set("section", i, "stored_hash", 9).seal(("sections",))
    c.add(f"zstd.{kind}.order.R208.before.R304", 208, image)
    bad("order.R304.before.R208", good + b"\0", 304, raw_hash=7)
    bad("raw.hash", good, 208, raw_hash=7)
    bad("raw.hash.of.stored", good, 208, raw_hash=hash64(good))
    bad("run.instead", header(n) + run(raw[0], n), 208)
    bad("other.text", frame(bytes([raw[0] ^ 1]) + raw[1:]), 208)


def frame_contents(c):
    """Texts that are bad once decompressed."""
    for kind in ("TOKN", "TMPL", "CALB", "LICN"):
        raw = b'{"a":"\xff"}'
        c.add(f"zstd.{kind}.utf8", 303, framed(kind, frame(raw), raw))
    for kind in ("META", "CALB"):
        for name, raw in (("not.json", b"no JSON" * 9), ("twice", b'{"a":1,"a":2}'), ("array", b"[]")):
            c.add(f"zstd.{kind}.{name}", 301, framed(kind, frame(raw), raw))
    raw = b'{"format":{}}'
    c.add("zstd.META.members", 302, framed("META", frame(raw), raw))
    # A single-segment frame's window is its content; LICN and META may be that long.
    size = (8 << 20) + 1
    wide = header(size) + run(32, size)
    for kind in ("META", "TOKN", "LICN"):
        c.add(f"zstd.{kind}.one.segment.of.8MiB+1", 304, framed(kind, wide, b" " * size))
    # A kilobyte that says it is a gibibyte, in the record too: over the limit.
    bomb = header(1 << 30) + run(32, 1 << 30)[:1000]
    for kind in ("META", "TOKN", "TMPL", "CALB", "LICN"):
        c.add(f"zstd.{kind}.bomb", 206, framed(kind, bomb, b" ", raw_size=1 << 30))


# ---- ENCV ----------------------------------------------------------------------------------------


@functools.cache
def vector_seed():
    s, d = Source(105), Description(seeds.meta())
    plain(d, s, "affine", pk.affine(4, 32, U8, ZERO_U4, row_factor=1), 1, 32)
    plain(d, s, "levels", pk.levels([-1, 0, 1], [3], 7, F16), 1, 32)
    plain(d, s, "minimum", pk.affine(8, 16, E4M3, ZERO_MINIMUM), 1, 32)
    plain(d, s, "ocp", pk.minifloat(4, 3, 7, 0, F32, OCP), 1, 32)
    plain(d, s, "real", pk.real(F32), 1, 32)
    plain(d, s, "seven", pk.levels([-5, -2, -1, 0, 1, 2, 6], [4, 2], 0, F16), 1, 32)
    return d, test_vectors(d.encodings, s), s


def layout(d):
    """(encoding, what, begin, end) of each block of ENCV, by the sizes the specification implies."""
    from parts import vector_columns
    at = 0
    for i, e in enumerate(d.encodings):
        columns = vector_columns(e)
        part = Source(1).part(e, 0, 1, 16, columns)
        blocks = [(f"plane{j}", p) for j, p in enumerate(part.planes)]
        blocks += [(name, getattr(part, name)) for name in ("scales", "row_factors", "zeros")]
        for name, component in blocks:
            if component is not None:
                at = -(-at // 64) * 64
                yield i, name, at, at + len(component.body)
                at += len(component.body)
        at = -(-at // 64) * 64
        yield i, "values", at, at + 64 * columns
        at += 64 * columns


def vectors(c):
    d, body, _ = vector_seed()
    d = Description(d.meta, d.encodings, d.inputs, d.tensors)

    def bad(name, rule, encv, note=""):
        d.encv = bytes(encv)
        c.add("encv." + name, rule, build(d), note)

    for name, encv in (
            ("short.1", body[:-1]), ("short.4", body[:-4]), ("short.64", body[:-64]),
            ("long.1", body + b"\0"), ("long.64", body + bytes(64)), ("one.byte", body[:1]),
            ("half", body[:len(body) // 2]), ("twice", body + body)):
        bad(name, 305, encv)
    previous = 0
    blocks = list(layout(d))
    assert blocks[-1][3] == len(body)
    for i, what, begin, end in blocks:
        name = f"{d.tensors[i].name.decode()}.{what}"
        for at in sorted({previous, begin - 1} if previous < begin else ()):
            changed = bytearray(body)
            changed[at] = 1
            bad(f"gap.{at}", 305, changed)
        previous = end
        if what == "values":
            for at in (begin, begin + 4, end - 4):
                changed = bytearray(body)
                changed[at] ^= 1
                bad(f"{name}.last.bit.{at}", 306, changed)
                for word, value in (("nan", 0x7FC00000), ("inf", 0x7F800000), ("-inf", 0xFF800000)):
                    changed[at:at + 4] = struct.pack("<I", value)
                    bad(f"{name}.{word}.{at}", 306, changed)
        elif d.tensors[i].name != b"real":
            changed = bytearray(body)
            changed[begin] ^= 1
            if changed[begin] != body[begin]:
                bad(f"{name}.first.bit", 306, changed)
        else:
            changed = bytearray(body)
            changed[begin + 1] ^= 1
            bad(f"{name}.first.value", 306, changed)
    vector_codes(c)
    small_vectors(c)


def vector_codes(c):
    d, body, _ = vector_seed()
    d = Description(d.meta, d.encodings, d.inputs, d.tensors)
    blocks = list(layout(d))
    note = "a code without a value in a test vector: R306"

    def bad(name, rule, encv, note=""):
        d.encv = bytes(encv)
        c.add("encv." + name, rule, build(d), note)

    at = {(d.tensors[i].name, what): begin for i, what, begin, _ in blocks}
    changed = bytearray(body)
    changed[at[b"levels", "plane0"]] = 243
    bad("levels.digit.string", 306, changed, note)
    changed = bytearray(body)
    changed[at[b"ocp", "plane0"]] = 0x7F
    bad("ocp.code", 306, changed, note)
    changed = bytearray(body)
    changed[at[b"seven", "plane0"]] |= 3
    changed[at[b"seven", "plane1"]] |= 1
    bad("seven.code", 306, changed, note)
    # Vectors of other encodings: one missing, one more.
    s = Source(106)
    for name, encodings in (("one.less", d.encodings[:-1]), ("first", d.encodings[:1]),
                            ("one.more", d.encodings + d.encodings[:1])):
        bad(f"other.{name}", 305, test_vectors(encodings, s))


def small_vectors(c):
    small = texts_description()
    whole = small.encv
    for name, rule, small.encv in (
            ("short", 305, whole[:-1]), ("long", 305, whole + b"\0"), ("half", 305, whole[:64]),
            ("value", 306, whole[:-1] + bytes([whole[-1] ^ 0x80])),
            ("first.value", 306, whole[:-2304] + bytes([whole[-2304] ^ 1]) + whole[-2303:])):
        c.add("encv.small." + name, rule, build(small))
