"""Bad encodings and input records: every field of theirs (R402, R403, R409, R410, R413)."""

from builder import NONE
from corpus import wide
from wide_records import (AFFINE, CONSTANT, FIVE, INF, MAX32, MAX64, MINIMUM, NAN, OCP, REAL, SEVEN,
                          TERNARY, TOP, count, edited)


def add_all(c):
    encodings(c)
    inputs(c)


def encodings(c):
    def put(index, *values, note="", rule=402):
        c.fields(rule, wide, "encoding", index, values, note)

    c.bytes_of(402, wide, "encoding", AFFINE, range(104, 128), "reserved bytes of an encoding: R402")
    c.bytes_of(402, wide, "encoding", REAL, (104, 127), "reserved bytes of an encoding: R402")
    each = lambda field, *values: [(field, v) for v in values]
    foreign = [*each("exponent_bits", 1, 255), *each("mantissa_bits", 1, 255),
               *each("minifloat", 1, 2, 255), *each("exponent_bias", 1, -1, -(1 << 31))]
    no_levels = [*each("level_count", 1, 2, 16, 255), *each("level0", 1.0, NAN), ("level15", 1.0)]
    note = "fields that belong to another grid are zero"
    put(AFFINE, *foreign, *no_levels, note=note)
    put(CONSTANT, *foreign, *no_levels, note=note)
    put(REAL, *foreign, *no_levels, note=note)
    for index in (TERNARY, FIVE, SEVEN):
        put(index, *foreign, *each("zero_constant", 1, MAX32), note=note)
    put(OCP, *no_levels, *each("zero_constant", 1, MAX32), note=note)
    for index in (AFFINE, REAL, TERNARY, OCP, MINIMUM, SEVEN):
        put(index, *each("grid", 4, 5, 128, 255), *each("row_factor", 2, 255),
            *each("plane_count", 9, 255), *each("zero", 5, 128, 255))
    for index in (AFFINE, TERNARY, OCP, MINIMUM, FIVE, SEVEN):
        put(index, *each("plane_count", 0, 8), *each("value_type", 1, 2, 22, 65535),
            *each("scale_type", 0, 7, 8, 9, 10, 11, 16, 21, 65535),
            *each("radix0", 0, 1, 6, 7, 8, 32, 255, 257, 65535), *each("radix7", 2, 65535),
            *each("group", 65537, 65568, 1 << 31, MAX32, MAX32 - 31))
    for index in (AFFINE, OCP, MINIMUM, SEVEN):
        put(index, *each("group", 1, 8, 15, 31, 33, 65535))
    put(MINIMUM, ("group", 16), note="planes of radix 4 and 2")
    put(AFFINE, ("group", 48), note="16 alone, no multiple of it, is what radix 16 may have")
    for index in (TERNARY, OCP, SEVEN, REAL):
        put(index, *each("zero", 1, 2, 3, 4), note="a zero point on a grid without one")
    put(TERNARY, ("level5", -0.0), note="unused levels are 0, not -0")
    put(AFFINE, ("zero", 0), note="the affine grid needs a zero point")
    put(AFFINE, *each("zero_constant", 1, MAX32))
    put(CONSTANT, *each("zero_constant", 4, 255, TOP >> 32, MAX32))
    put(AFFINE, *each("radix1", 16, 2), *each("plane_count", 2))
    put(MINIMUM, ("radix0", 2), rule=410)  # radices 2 and 2 are fine, but not these components
    put(MINIMUM, *each("radix0", 3, 5), *each("radix1", 3, 5, 16, 256, 0), ("plane_count", 1))
    put(TERNARY, ("radix0", 2), ("level_count", 4), note="more levels than codes")
    put(FIVE, ("radix0", 3), ("level_count", 6), note="more levels than codes")
    put(TERNARY, ("radix0", 256), ("level_count", 0),
        ("level_count", 1), ("level_count", 17), ("level_count", 255), ("level3", 1.0),
        ("level15", NAN), *((f"level{i}", v) for i in range(3) for v in (NAN, INF, -INF)))
    put(FIVE, ("radix0", 256), ("level4", NAN))
    put(SEVEN, ("level_count", 9), ("level_count", 6), ("level6", INF), ("level7", 1.0),
        ("radix0", 256), ("radix1", 256))
    put(REAL, *each("value_type", 0, 4, 5, 6, 7, 8, 9, 10, 16, 21, 22, 65535),
        *each("scale_type", 1, 2, 6), *each("group", 32, MAX32), *each("zero", 1, 4),
        *each("row_factor", 1), *each("zero_constant", 1), *each("plane_count", 1),
        *each("radix0", 2, 256))
    put(OCP, *each("exponent_bits", 0, 3, 5, 9, 255), *each("mantissa_bits", 0, 2, 4, 8, 255),
        *each("minifloat", 0, 3, 255), *each("exponent_bias", 0, 6, 8, -128, 255, 1 << 30, -(1 << 31)),
        *each("radix0", 16, 2))
    encoding_combinations(c)


def encoding_combinations(c):
    """Several fields at once."""
    for name, change in (
            ("e3m4", {"exponent_bits": 3, "mantissa_bits": 4, "exponent_bias": 3}),
            ("e1m6", {"exponent_bits": 1, "mantissa_bits": 6}),
            ("saturating.bias.255", {"minifloat": 1, "exponent_bias": 255}),
            ("saturating.bias.-128", {"minifloat": 1, "exponent_bias": -128}),
            ("e8m7", {"minifloat": 1, "exponent_bits": 8, "mantissa_bits": 7}),
            ("e7m1", {"minifloat": 1, "exponent_bits": 7, "mantissa_bits": 1}),
            ("e0m7", {"minifloat": 1, "exponent_bits": 0, "mantissa_bits": 7})):
        edited(c, "ocp." + name, 402, lambda r, x=change: r.encodings[OCP].update(x))
    radices = lambda *values: {"plane_count": len(values), **{f"radix{i}": v for i, v in enumerate(values)}}
    for values in ((2, 4), (4, 16), (2, 16), (16, 256), (256, 2), (256, 256), (16, 16, 2), (3, 3), (5, 3),
                   (3, 2), (5, 2), (4, 3), (16, 5), (2, 2, 4), (4, 2, 4), (16, 4, 2, 4), (4, 4, 4, 4, 2),
                   (9,), (27,), (25,), (128,), (64,), (512,)):
        edited(c, "radices." + ".".join(map(str, values)), 402,
               lambda r, v=values: r.encodings[MINIMUM].update({"radix1": 0, **radices(*v)}))
    edited(c, "group.16.on.16.and.2", 402, lambda r: r.encodings[MINIMUM].update(
        {**radices(16, 2), "group": 16}))
    edited(c, "levels.of.32.codes", 402, lambda r: r.encodings[SEVEN].update(radices(16, 2)))
    edited(c, "levels.of.256.codes", 402, lambda r: r.encodings[SEVEN].update({**radices(256), "radix1": 0}))


def inputs(c):
    def put(rule, index, *values, note=""):
        c.fields(rule, wide, "input", index, values, note)

    c.bytes_of(413, wide, "input", 0, range(14, 32))
    c.bytes_of(413, wide, "input", 1, range(64, 160, 7), "bytes of an unused column set: R413")
    for i in range(2):
        put(413, 0, (f"set{i}.reserved", 1), (f"set{i}.reserved", MAX32))
    n = count("component")
    for index in range(3):
        put(403, index, *(("columns", v) for v in (0, 1, 39, 41, 1 << 40, TOP, MAX64)),
            *(("smooth_state", v) for v in (3, 128, 255)), ("set_count", 5), ("set_count", 255))
        put(413, index, ("set_count", 0), note="unused sets that are not zero: R413 before R403")
    put(403, 0, ("smooth_state", 0), ("smooth", NONE), note="smoothing state and vector disagree")
    put(403, 1, ("smooth_state", 0), ("smooth", NONE), note="smoothing state and vector disagree")
    put(403, 2, ("smooth_state", 1), ("smooth_state", 2), ("smooth", 0),
        note="smoothing state and vector disagree")
    put(409, 0, *(("smooth", v) for v in (n, n + 1, MAX32 - 1, TOP >> 32)))
    put(403, 0, ("set_count", 3))
    put(413, 0, ("set_count", 1), note="the second set is unused and not zero: R413 before R403")
    put(403, 0, *(("set0.kind", v) for v in (0, 1, 3, 4, 255)), ("set1.kind", 0), ("set1.kind", 1),
        ("set1.kind", 2), ("set1.kind", 4))
    put(403, 1, *(("set0.kind", v) for v in (0, 2, 4, 255)))
    for s in range(2):
        put(403, 0, *((f"set{s}.quantizer", v) for v in (3, 255)),
            *((f"set{s}.bits", v) for v in (0, 1, 9, 16, 255)),
            *((f"set{s}.{flag}", v) for flag in ("per_tensor", "asymmetric", "is_static")
              for v in (2, 255)),
            *((f"set{s}.count", v) for v in (0, 1, 3, 37, 39, 40, TOP, MAX64, MAX64 - 39)))
        put(403, 0, *((f"set{s}.{field}", v) for field in ("exponent_bits", "mantissa_bits")
                      for v in (1, 255)), note="minifloat fields of an integer quantizer")
        put(403, 0, *((f"set{s}.{field}", v) for field in ("scale", "low") for v in (1.0, NAN, -1.0)),
            note="a scale without is_static")
    put(403, 1, ("set0.bits", 1), ("set0.bits", 8), note="bits of a minifloat quantizer")
    put(403, 1, ("set0.exponent_bits", 0), ("set0.exponent_bits", 9), ("set0.exponent_bits", 255),
        ("set0.mantissa_bits", 8), ("set0.mantissa_bits", 255), ("set0.quantizer", 1),
        note="a minifloat has 1..8 exponent and 0..7 mantissa bits, as in encodings")
    put(403, 1, ("set0.columns", 0), note="a list for a set of all columns")
    put(403, 0, ("set0.columns", NONE), ("set1.columns", 0), note="kind and list disagree")
    put(403, 2, *(("set0.scale", v) for v in (NAN, INF, 0.0, -1.0)), ("set0.low", NAN), ("set0.low", INF),
        note="a static scale is finite and above 0, a static low finite")
    put(403, 2, ("set1.bits", 8), ("set1.per_tensor", 1), ("set1.asymmetric", 1), ("set1.exponent_bits", 4),
        ("set1.scale", 1.0), note="fields of a quantizer that is not there")
    put(409, 0, *(("set0.columns", v) for v in (n, MAX32 - 1)))
    put(409, 2, *(("set1.columns", v) for v in (n, n + 7)))

    def shared_list(r):
        r.inputs[2]["set1.columns"] = r.inputs[2]["set0.columns"]
    edited(c, "input.lists.share.component", 409, shared_list)
    edited(c, "input.smooth.shared", 409, lambda r: r.inputs[1].update(smooth=r.inputs[0]["smooth"]))
    edited(c, "input.counts.wrap", 403, lambda r: r.inputs[0].update(
        {"set0.count": MAX64 - 9, "set1.count": 50}))
    edited(c, "input.two.rests", 403, lambda r: r.inputs[0].update(
        {"set0.kind": 3, "set0.columns": NONE}))
    edited(c, "input.all.twice", 403, lambda r: r.inputs[0].update(
        {"set0.kind": 1, "set0.columns": NONE, "set1.kind": 1}))
    edited(c, "input.all.and.rest", 403, lambda r: r.inputs[0].update(
        {"set0.kind": 1, "set0.columns": NONE}), "'all columns' beside another set")
    edited(c, "input.smooth.is.list", 410, lambda r: (
        r.inputs[0].update({"smooth": r.inputs[0]["set0.columns"], "set0.columns": r.inputs[0]["smooth"]})))
