"""Bad directories: TDIR's header and size, and every field of every record (R401..R413)."""

import packing as pk
import seeds
from bad_texts import BAD_UTF8
from builder import F16, F32, NONE, Component, Input, build, directory_bytes, lower
from corpus import wide, wide_description
from wide_records import (AFFINE, BRAIN, CONSTANT, FIVE, HALF, MAX32, MAX64, OCP, PART, REAL, TERNARY, TOP,
                          A, B, C, D, E, H, I, J, count, edited)
from seeds import columns_list, columns_rest

def add_all(c):
    directory_header(c)
    names(c)
    tensors(c)
    parts(c)
    components(c)
    turned_vectors(c)
    unused(c)


def directory_header(c):
    put = lambda rule, *values, **more: c.fields(rule, wide, "directory", 0, values, **more)
    c.bytes_of(413, wide, "directory", 0, range(34, 96))
    for i, size in enumerate((128, 160, 96, 64, 64)):
        put(401, *((f"size{i}", v) for v in (0, 1, size - 1, size + 1, size * 2, size // 2, 65535)))
    for kind in ("encoding", "input", "tensor", "part", "component"):
        n = count(kind)
        put(401, *((f"{kind}_count", v) for v in (0, 1, n - 1, n + 1, n + 2, 65536, 1 << 20,
                                                   (1 << 20) + 1, 1 << 25, 1 << 26, TOP >> 32, MAX32)))
    n = wide().get("directory", 0, "name_bytes")
    put(401, *(("name_bytes", v) for v in (0, 1, n - 8, n + 8, n + 4096, 1 << 31, MAX32, MAX32 - 6)))
    put(413, ("name_bytes", n - 1))  # the last name's last letter is now behind the pool
    edited(c, "name.pool.longer", 412, lambda r: setattr(r, "names", r.names + b"z"))
    edited(c, "name.pool.longer.8", 412, lambda r: setattr(r, "names", r.names + b"z" * 8))
    edited(c, "tail.zeros.8", 401, lambda r: setattr(r, "tail", bytes(8)))
    edited(c, "tail.zeros.1", 401, lambda r: setattr(r, "tail", b"\0"))
    edited(c, "tail.zeros.64", 401, lambda r: setattr(r, "tail", bytes(64)))
    image = wide().copy()
    at = image.starts["names", 0] + n
    for i in range(-n % 8):
        image = wide().copy()
        image.bytes[at + i] = 1
        c.add(f"records.behind.pool.{i}", 413, image.seal())
    whole = directory_bytes(lower(wide_description()))

    def cut(size):
        def edit(sections):
            for s in sections:
                if s.kind == b"TDIR":
                    s.raw = s.stored = whole[:size]
        return build(wide_description(), edit_sections=edit)

    for size in (1, 8, 24, 34, 95, 96, 97, 224, len(whole) // 2, len(whole) - 64, len(whole) - 8,
                 len(whole) - 1):
        c.add(f"records.cut.{size}", 401, cut(size))
    # Sums that wrap: 2^32 bytes of components, of names.
    for fields in ({"component_count": 1 << 26}, {"part_count": 1 << 26},
                   {"encoding_count": 1 << 25, "name_bytes": 0}, {"tensor_count": 1 << 27}):
        edited(c, "wraps." + "+".join(fields), 401, lambda r, f=fields: r.directory.update(f))
    image = wide().copy().poke("directory", 0, 50).set("directory", 0, "size0", 1).seal()
    c.add("records.order.R413.before.R401", 413, image)


def names(c):
    wide_names = [t.name for t in wide_description().tensors]

    def renamed(label, rule, index, name, note=""):
        d = wide_description()
        d.tensors[index].name = name
        c.add("name." + label, rule, build(d), note)

    for label, bad in BAD_UTF8.items():
        renamed("utf8." + label, 404, C, b"c" + bad)
        renamed("utf8.first." + label, 404, J, bad + b"z")
    for byte in [*range(32), 127]:
        renamed(f"control.{byte}", 404, C, b"c" + bytes([byte]))
    renamed("nul.behind", 404, A, b"a\0")
    renamed("empty", 404, A, b"")
    renamed("empty.last", 404, J, b"")
    renamed("256", 404, C, b"c" * 256)
    renamed("65535", 404, C, b"c" * 65535)
    renamed("twice", 405, C, wide_names[B])
    renamed("twice.first", 405, B, wide_names[A])
    renamed("descending", 405, C, b"a")
    renamed("prefix.after", 405, C, b"b.part")
    renamed("case", 405, C, b"B.parts")
    renamed("last.descends", 405, J, b"a.z")
    renamed("bytewise", 405, C, b"Z")
    renamed("high.before.low", 405, B, "ä".encode())
    n = wide().get("directory", 0, "name_bytes")
    for index, offset in ((0, 1), (0, MAX32), (1, 0), (1, 7), (1, 9), (5, n), (9, 0), (9, MAX32 - 5)):
        c.fields(404, wide, "tensor", index, [("name_offset", offset)],
                 "a name out of place in the pool: R404")
    c.fields(404, wide, "tensor", A, [("name_size", v) for v in (0, 7, 9, 256, 65535)],
             "the next name is then out of place")
    last = wide().get("tensor", J, "name_size")
    c.fields(404, wide, "tensor", J, [("name_size", v) for v in (0, last + 1, 255, 256, 65535)],
             "a name beyond the pool: R404")
    c.fields(412, wide, "tensor", J, [("name_size", last - 1), ("name_size", 1)])

    def swapped(r):
        """Two tensors' records exchanged with their names, everything else in place."""
        pieces = [r.names[t["name_offset"]:][:t["name_size"]] for t in r.tensors]
        r.tensors[C]["name_size"], r.tensors[D]["name_size"] = len(pieces[D]), len(pieces[C])
        r.names = b"".join(pieces[i] for i in (0, 1, 3, 2, 4, 5, 6, 7, 8, 9))
        r.tensors[D]["name_offset"] = r.tensors[C]["name_offset"] + len(pieces[D])
    edited(c, "names.swapped", 405, swapped)


def tensors(c):
    def put(rule, index, *values, note=""):
        c.fields(rule, wide, "tensor", index, values, note)

    c.bytes_of(413, wide, "tensor", A, range(68, 96))
    for index in (A, H, I):
        put(413, index, *(("flags", v) for v in (1, 128, 255)), note="flags are 0: R413")
        put(406, index, *(("rank", v) for v in (0, 4, 255)), ("shape0", 0))
    put(406, A, ("rank", 1), ("rank", 3), ("shape1", 0), ("shape2", 1), ("shape2", MAX64))
    put(406, H, ("rank", 2), ("rank", 3), ("shape1", 1), ("shape2", 1))
    put(406, I, ("rank", 1), ("rank", 2), ("shape1", 0), ("shape2", 0))
    for index in (A, H, I):
        put(406, index, *(("shape0", v) for v in ((1 << 46) + 1, 1 << 47, 1 << 62, TOP, MAX64)))
    for name, shape in (("2^32.2^32", (1 << 32, 1 << 32)), ("2^23.2^24", (1 << 23, 1 << 24)),
                        ("2^63.2", (TOP, 2)), ("wraps.to.200", (TOP + 5, 40)),
                        ("2^16.3", (1 << 16, 1 << 16, 1 << 16)), ("2^31.2^31.4", (1 << 31, 1 << 31, 4)),
                        ("2^22.2^22.2^22", (1 << 22,) * 3)):
        edited(c, "shape." + name, 406, lambda r, s=shape: r.tensors[C].update(
            {"rank": len(s), **{f"shape{i}": v for i, v in enumerate(s)}}))
    tensor_uses(c)
    low_rank_pairs(c)


def tensor_uses(c):
    def put(rule, index, *values, note=""):
        c.fields(rule, wide, "tensor", index, values, note)

    n = count("component")
    # Shapes that are fine by themselves, but not what the input record or the components say.
    for index in (A, B, E, J):
        put(407, index, *(("shape1", v) for v in (1, 39, 41, 80)),
            *(("input", v) for v in (3, 4, 255, TOP >> 32, MAX32 - 1)))
    put(410, C, ("shape0", 17), ("shape1", 72), ("shape1", 1), ("shape0", 1 << 40))
    put(410, H, ("shape0", 32), ("shape0", 34), ("shape0", 1))
    put(410, I, ("shape0", 1), ("shape0", 3), ("shape1", 17), ("shape2", 72))
    put(410, A, ("shape0", 4), ("shape0", 6), note="the bias, which is not padded, has another size")
    put(407, D, *(("part_first", v) for v in (0, 3, 5, MAX32, TOP >> 32)))
    put(407, A, *(("part_first", v) for v in (1, MAX32)))
    for index in (A, C, J):
        put(407, index, *(("part_count", v) for v in (0, 17, 255, MAX32)))
    put(407, C, ("part_count", 2), note="two parts without an input record")
    put(407, J, ("part_count", 3), note="parts beyond the array")
    put(412, J, ("part_count", 1))
    put(407, B, ("part_count", 1), note="a column set without a part")
    put(407, E, ("part_count", 1), ("part_count", 2), note="a column set without a part")
    put(407, B, ("input", NONE), note="two parts without an input record")
    put(410, B, ("input", 2))
    put(409, A, *(("bias", v) for v in (n, MAX32 - 1)))
    put(409, C, ("bias", wide().get("tensor", A, "bias")))
    bias = wide().get("tensor", A, "bias")

    def shared_bias(r):
        r.tensors[B]["bias"] = bias
    edited(c, "bias.shared", 409, shared_bias)


def low_rank_pairs(c):
    def put(rule, index, *values, note=""):
        c.fields(rule, wide, "tensor", index, values, note)

    n = count("component")
    pair = [wide().get("tensor", A, f) for f in ("low_rank_a", "low_rank_b")]
    put(407, A, ("rank_pair", 0), ("rank_pair", 6), ("rank_pair", MAX32))
    put(407, B, ("rank_pair", 0), ("rank_pair", 6), ("rank_pair", MAX32))
    for index in (A, B):
        put(407, index, ("low_rank_a", NONE), ("low_rank_b", NONE),
            note="a factor that is needed is missing: R407, as for parts R408")
    put(407, A, ("low_rank_a_scales", NONE), ("low_rank_b_scales", NONE),
        note="scales of an i8 factor are missing: R407")
    put(407, B, ("low_rank_a_scales", 0), ("low_rank_b_scales", 0), note="scales of an f16 factor: R407")
    put(410, A, ("rank_pair", 1), ("rank_pair", 3))
    for field in ("low_rank_a", "low_rank_b"):
        c.fields(410, wide, "component", wide().get("tensor", B, field), [("element", F32)],
                 "a factor that is neither f16 nor i8: R410")
    put(407, C, ("rank_pair", 1), ("low_rank_a", 0), ("low_rank_b", 0), ("low_rank_a_scales", 0),
        ("low_rank_b_scales", 0))
    for field in ("low_rank_a", "low_rank_b", "low_rank_a_scales", "low_rank_b_scales"):
        put(409, A, *((field, v) for v in (n, MAX32 - 1)))
    put(409, A, ("low_rank_b", pair[0]))
    put(409, B, ("low_rank_b", wide().get("tensor", B, "low_rank_a")))
    edited(c, "low_rank.exchanged", 410, lambda r: r.tensors[A].update(
        low_rank_a=pair[1], low_rank_b=pair[0]))


def parts(c):
    def put(rule, name, *values, note=""):
        c.fields(rule, wide, "part", PART[name], values, note)

    n = count("component")
    own = lambda name, field: wide().get("part", PART[name], field)
    for name in PART:
        put(408, name, *(("encoding", v) for v in (10, 11, TOP >> 32, MAX32)))
        put(413, name, ("reserved", 1), ("reserved", MAX32))
        put(409, name, *(("plane0", v) for v in (n, MAX32 - 1)))
        put(408, name, ("plane0", NONE), note="a component that is needed is missing: R408")
        put(408, name, ("plane7", 0), ("plane7", MAX32 - 1))
    for name in ("c", "d", "f", "h", "i"):
        put(408, name, *(("column_set", v) for v in (1, 4, MAX32)))
    put(408, "j1", *(("column_set", v) for v in (1, MAX32)))
    for name in ("a", "b0", "b1", "e0", "e2"):
        put(408, name, *(("column_set", v) for v in (3, MAX32)))
    put(410, "b0", ("column_set", 1))
    put(410, "b1", ("column_set", 0))
    for name in ("a", "b1", "c", "d", "e2", "f", "g", "i", "j0"):
        put(409, name, ("scales", n), ("scales", MAX32 - 1), ("scales", own(name, "plane0")))
        put(408, name, ("scales", NONE), note="a component that is needed is missing: R408")
    put(409, "a", *((f, v) for f in ("row_factors", "zeros", "column_factors", "row_sums")
                    for v in (n, MAX32 - 1, own("a", "plane0"))))
    put(408, "a", ("row_factors", NONE), ("zeros", NONE),
        note="a component that is needed is missing: R408")
    put(408, "d", ("zeros", NONE), ("plane1", NONE), ("plane2", 0),
        note="a component that is needed is missing: R408")
    for name in ("b1", "c", "d", "f", "g", "j1"):
        put(408, name, ("row_factors", 0), ("row_factors", n))
    for name in ("b1", "c", "e2", "f", "g", "j0"):
        put(408, name, ("zeros", 0), ("zeros", MAX32 - 1))
    for name in ("b0", "e0", "h"):
        put(408, name, ("scales", 0), ("row_factors", 0), ("zeros", 0), ("row_sums", 0), ("plane1", 0),
            ("row_sums", MAX32 - 1))
    put(408, "c", ("row_sums", own("a", "row_sums")), ("row_sums", 0), ("row_sums", n),
        note="e4m3 has integer levels beyond a byte")
    put(408, "g", ("row_sums", own("a", "row_sums")), ("row_sums", 0), note="-2.5 is a level")

    def shared(field, a, b):
        def edit(r):
            r.parts[PART[b]][field] = r.parts[PART[a]][field]
        return edit
    for field in ("plane0", "scales"):
        edited(c, f"part.shared.{field}", 409, shared(field, "b1", "j0"))
        edited(c, f"part.shared.residual.{field}", 409, shared(field, "a", "i"))
    edited(c, "part.row_sums.shared", 409, shared("row_sums", "a", "i"))
    # Another encoding: the components no longer fit, or are too many or too few.
    put(408, "a", ("encoding", REAL), ("encoding", TERNARY), ("encoding", OCP), ("encoding", CONSTANT))
    put(408, "h", *(("encoding", e) for e in (AFFINE, TERNARY, OCP, CONSTANT)))
    put(410, "h", ("encoding", HALF), ("encoding", BRAIN))
    put(410, "e0", ("encoding", REAL), ("encoding", BRAIN))
    put(410, "c", *(("encoding", e) for e in (TERNARY, CONSTANT, FIVE)))
    put(410, "f", *(("encoding", e) for e in (TERNARY, OCP, CONSTANT)))
    put(410, "j0", ("encoding", FIVE), ("encoding", CONSTANT))


def components(c):
    n = count("component")
    note = "a component's reserved bytes: R413, wherever they are looked at"
    for i in (0, n - 1):
        c.bytes_of(413, wide, "component", i, [*range(28, 32), *range(48, 64)], note)
    seen = set()
    for i in range(n):
        get = lambda field: wide().get("component", i, field)
        put = lambda rule, *values: c.fields(rule, wide, "component", i, values)
        rows, cols, size, at = (get(f) for f in ("rows", "cols", "size", "offset"))
        put(410, ("size", size - 1), ("size", size + 1), ("rows", rows + 1), ("cols", cols + 1))
        put(411, ("offset", at + 64), ("offset", at - 64))
        kind = get("element"), get("packing")
        if kind in seen:
            continue
        seen.add(kind)
        put(410, *(("size", v) for v in (0, size + 64, TOP, MAX64, TOP + size)),
            *(("rows", v) for v in (0, rows + 16, rows + TOP, MAX64)),
            *(("cols", v) for v in (0, cols + TOP, MAX64)),
            *(("packing", v) for v in range(6) if v != get("packing")), ("packing", 65535))
        if not low_rank(i):
            put(410, *(("element", v) for v in (0, 11, 15, 22, 65535)),
                ("element", F16 if get("element") != F16 else F32))
        put(411, *(("offset", v) for v in (0, at + 1, at + TOP, MAX64 - 63, MAX64 - size + 1)))


def turned_vectors(c):
    """Vectors of the right bytes with rows and columns exchanged."""
    def built(name, pick, rows, cols, note=""):
        d = wide_description()
        component = pick(d)
        component.rows, component.cols = rows, cols
        c.add("turned." + name, 410, build(d), note)

    built("bias", lambda d: d.tensors[A].bias, 5, 1)
    built("bias.of.experts", lambda d: d.tensors[I].bias, 6, 1)
    built("smooth", lambda d: d.inputs[0].smooth, 40, 1)
    built("list", lambda d: d.inputs[0].sets[0].columns, 2, 1)
    built("column.factors", lambda d: d.tensors[B].parts[1].column_factors, 38, 1)
    built("row.factors", lambda d: d.tensors[A].parts[0].row_factors, 1, 16)
    built("low_rank.scales", lambda d: d.tensors[A].low_rank[2], 1, 5,
          "scales of an i8 factor are [rows][1]")


def low_rank(i):
    """Whether component i is a factor: its element, f16 or i8, decides what else is needed."""
    return any(wide().get("tensor", t, f) == i for t in (A, B) for f in ("low_rank_a", "low_rank_b"))


def unused(c):
    def spare(body, element, packing, rows, cols):
        d = wide_description()
        d.spare_components = [Component(element, packing, rows, cols, body)]
        return d

    for name, d in (("f32", spare(bytes(64), F32, 3, 1, 16)), ("empty", spare(b"", F32, 3, 0, 0)),
                    ("nonsense", spare(bytes(64), 999, 77, 5, 5))):
        c.add("unused.component." + name, 412, build(d))
    for name, encoding in (("affine", seeds.DEFAULT4), ("real", pk.real(F32))):
        d = wide_description()
        d.encodings.append(encoding)
        c.add("unused.encoding." + name, 412, build(d))
    d = wide_description()
    d.inputs.append(Input(40, [seeds.columns_all(40)]))
    c.add("unused.input", 412, build(d))
    d = wide_description()
    d.inputs.append(Input(40, [columns_list([1]), columns_rest(39)]))
    c.add("unused.input.with.list", 412, build(d))
    edited(c, "unused.part", 412, lambda r: r.parts.append(dict(r.parts[-1])))

    def exchange(r):
        a, b = r.parts[PART["a"]], r.parts[PART["i"]]
        a["row_factors"], b["row_factors"] = b["row_factors"], a["row_factors"]
    edited(c, "components.exchanged", 410, exchange)

    def reorder(r):
        a, b = r.parts[PART["c"]]["plane0"], r.parts[PART["c"]]["scales"]
        r.components[a], r.components[b] = r.components[b], r.components[a]
    edited(c, "component.records.exchanged", 410, reorder)
    # DATA's last bytes belong to nobody; nothing in DATA at all.
    d = wide_description()
    d.spare_components = [Component(F32, 3, 1, 16, bytes(64))]
    c.add("data.longer.than.components", 411, build(d, edit_records=lambda r: r.components.pop()))

    def no_tensors(r):
        r.encodings, r.inputs, r.tensors, r.parts, r.components, r.names = [], [], [], [], [], b""
    edited(c, "no.tensors", 411, no_tensors, "DATA has bytes that no component covers")
