"""Small SQF files built by hand: element after element, from the formulas of the text and not from the
reader's arrays.

A `Sample` holds every record as a dict; a test changes what it wants and asks for the bytes, whose hashes
then match.
"""

import json

import numpy as np

from reference import layout
from reference.layout import NONE, align_up
from reference.xxh3 import hash64

from .coded import (SCALE_DTYPES, ZERO_DTYPES, f32, group_bytes, groups_of, integer_level, plane_bytes, random_matrix,
                    value)


class Sample:
    """A file of a few tensors. Attributes are records as dicts, in the order of their arrays."""

    def __init__(self, seed=1):
        self.random = np.random.default_rng(seed)
        self.encodings, self.inputs, self.tensors, self.parts, self.components = [], [], [], [], []
        self.vectors = []
        self.weights = {}
        self.meta = {"format": {"writer": "test", "spec": "1.0"}, "model": {"architecture": "none"},
                     "source": {"files": [], "config": ""},
                     "quantization": {"method": "", "settings": {}, "rules": []}}
        self.texts = {}
        self.header, self.directory, self.section = {}, {}, {}
        self.encv = True
        self.raw = {}
        self.tail = b""

    def component(self, data, element, packing, rows, cols):
        self.components.append(dict(data=data, element=element, packing=packing, rows=rows, cols=cols))
        return len(self.components) - 1

    def encoding(self, **fields):
        self.encodings.append(fields)
        blocks = []
        if fields["grid"] == layout.REAL:
            values = self.random.normal(size=(16, 36)).astype("<f2")
            blocks = [self.value_bytes(values), values.astype("<f4").tobytes()]
        else:
            columns = min(2 * fields["group"] + 4, 260) if fields.get("group") else 36
            matrix = random_matrix(fields, 16, columns, self.random)
            blocks = [data for data, *_ in self.blocks(fields, [matrix])] + [matrix["values"].tobytes()]
        self.vectors.append(blocks)
        return len(self.encodings) - 1

    @staticmethod
    def value_bytes(values):
        """Of one matrix: word by word of 16 rows; or a row as it is."""
        raw = values.tobytes()
        if len(values) == 1:
            return raw
        width = len(raw) // len(values)
        rows = [raw[i * width:(i + 1) * width].ljust(align_up(width, 4), b"\0") for i in range(len(values))]
        rows += [bytes(align_up(width, 4))] * (-len(rows) % 16)
        return b"".join(rows[tile + lane][word:word + 4] for tile in range(0, len(rows), 16)
                        for word in range(0, align_up(width, 4), 4) for lane in range(16))

    def values(self, values, element):
        """The component of one matrix of values."""
        rows, packing = (1, layout.VECTOR) if len(values) == 1 else (align_up(len(values), 16),
                                                                      layout.TILE16_VALUES)
        return self.component(self.value_bytes(values), element, packing, rows, values.shape[1])

    @staticmethod
    def blocks(encoding, matrices):
        """(bytes, element, packing, rows, cols) of planes, scales, row factors, zeros, in this order."""
        n, k = len(matrices[0]["codes"]), len(matrices[0]["codes"][0])
        padded, groups = len(matrices) * align_up(n, 16), len(groups_of(encoding, k))
        for i, radix in enumerate(encoding["radices"]):
            planes = [plane_bytes(encoding, i, matrix["codes"]) for matrix in matrices]
            joined = b"".join(plane for plane, _ in planes)
            yield joined, layout.RADIX_ELEMENTS[radix], layout.TILE16_CODES, padded, planes[0][1]
        kind = encoding["scale_type"]
        yield (b"".join(group_bytes(SCALE_DTYPES[kind], m["scales"]) for m in matrices), kind,
               layout.TILE16_GROUPS, padded, groups)
        if encoding.get("row_factor"):
            factors = [np.pad(m["factors"], (0, align_up(n, 16) - n)).tobytes() for m in matrices]
            yield b"".join(factors), layout.F32, layout.VECTOR, padded, 1
        if encoding.get("zero", 0) in ZERO_DTYPES:
            zero = encoding["zero"]
            elements = {layout.ZERO_U4: layout.U4, layout.ZERO_U8: layout.U8, layout.ZERO_MINIMUM: layout.F16}
            yield (b"".join(group_bytes(ZERO_DTYPES[zero], m["zeros"]) for m in matrices), elements[zero],
                   layout.TILE16_GROUPS, padded, groups)

    def coded_part(self, index, n, k, matrices=1, column_set=0, row_sums=False, factors=False):
        """A part of random codes; its values f32 [matrices, n, k]."""
        encoding = self.encodings[index]
        drawn = [random_matrix(encoding, n, k, self.random) for _ in range(matrices)]
        used = [self.component(*block) for block in self.blocks(encoding, drawn)]
        planes = len(encoding["radices"])
        part = dict(encoding=index, column_set=column_set, planes=(used[:planes] + [NONE] * 8)[:8],
                    scales=used[planes],
                    row_factors=NONE, zeros=NONE, column_factors=NONE, row_sums=NONE)
        rest = used[planes + 1:]
        if encoding.get("row_factor"):
            part["row_factors"] = rest.pop(0)
        if rest:
            part["zeros"] = rest.pop(0)
        values = np.array([matrix["values"] for matrix in drawn])
        if factors:
            column_factors = self.random.normal(size=k).astype("<f4")
            part["column_factors"] = self.component(column_factors.tobytes(), layout.F32, layout.VECTOR, 1, k)
            values = values * column_factors
        if row_sums:
            groups = groups_of(encoding, k)
            sums = b"".join(group_bytes("<i4", [[
                sum(integer_level(encoding, m["codes"][r][c],
                                  m["zeros"][r][g] if m["zeros"] is not None else 0)
                    for c in range(first, first + count)) for g, (first, count) in enumerate(groups)]
                for r in range(n)]) for m in drawn)
            part["row_sums"] = self.component(sums, layout.I32, layout.TILE16_GROUPS,
                                              matrices * align_up(n, 16),
                                              len(groups))
        self.parts.append(part)
        return values

    def tensor(self, name, shape, parts=1, **fields):
        record = dict(name=name.encode(), rank=len(shape), shape=list(shape), input=NONE,
                      part_first=len(self.parts) - parts, part_count=parts, low_rank_a=NONE, low_rank_b=NONE,
                      low_rank_a_scales=NONE, low_rank_b_scales=NONE, bias=NONE)
        record.update(fields)
        self.tensors.append(record)
        return record

    def vector(self, values):
        return self.component(values.tobytes(), layout.F32 if values.dtype == f32 else layout.U32,
                              layout.VECTOR, 1,
                              len(values))

    # Bytes.

    def directory_bytes(self):
        names = b"".join(tensor["name"] for tensor in self.tensors)
        head = dict(encoding_count=len(self.encodings), input_count=len(self.inputs),
                    tensor_count=len(self.tensors),
                    part_count=len(self.parts), component_count=len(self.components), name_bytes=len(names),
                    record_sizes=layout.RECORD_SIZES)
        head.update(self.directory)
        out = [layout.DIRECTORY.pack(**head)]
        for encoding in self.encodings:
            fields = dict(encoding)
            levels = fields.pop("level_values", ())
            fields.setdefault("plane_count", len(fields.get("radices", ())))
            out.append(layout.ENCODING.pack(levels=np.array(levels, dtype="<f4").tobytes(), **fields))
        for each in self.inputs:
            fields = dict(each)
            sets = b"".join(layout.COLUMN_SET.pack(**column_set) for column_set in fields.pop("sets"))
            out.append(layout.INPUT.pack(sets=sets, **fields))
        at = 0
        for tensor in self.tensors:
            fields = dict(tensor)
            name = fields.pop("name")
            fields.setdefault("name_offset", at)
            fields.setdefault("name_size", len(name))
            out.append(layout.TENSOR.pack(**fields))
            at += len(name)
        for part in self.parts:
            out.append(layout.PART.pack(**part))
        for component in self.components:
            fields = dict(component)
            fields.pop("data")
            out.append(layout.COMPONENT.pack(**fields))
        out.append(names.ljust(align_up(len(names), 8), b"\0"))
        return b"".join(out)

    def data_bytes(self, start):
        out = bytearray()
        for component in self.components:
            out += bytes(align_up(len(out), 64) - len(out))
            component.setdefault("offset", start + len(out))
            component.setdefault("size", len(component["data"]))
            component.setdefault("hash", hash64(component["data"]))
            out += component["data"]
        return bytes(out) + self.tail

    def encv_bytes(self):
        out = bytearray()
        for blocks in self.vectors:
            for block in blocks:
                out += bytes(align_up(len(out), 64) - len(out)) + block
        return bytes(out)

    def bytes(self, compress=None):
        """The file. compress: {kind: function from raw to stored bytes}."""
        compress = compress or {}
        meta = self.meta if isinstance(self.meta, bytes) else json.dumps(self.meta).encode()
        raw = {b"META": meta, **self.texts}
        if self.encv:
            raw[b"ENCV"] = self.encv_bytes()
        # DATA's size tells that of CHKS, and the head's size where DATA starts; records keep their size.
        probe = [dict(component) for component in self.components]
        data = self.data_bytes(0)
        self.components = probe
        chunk = 1 << 16
        raw[b"TDIR"] = self.directory_bytes()
        raw[b"CHKS"] = bytes(8 * -(-len(data) // chunk))
        raw.update(self.raw)
        stored = {kind: compress[kind](value) if kind in compress else value for kind, value in raw.items()}
        end, offsets = 4096, {}
        for kind, value in stored.items():
            offsets[kind] = align_up(end, 64)
            end = offsets[kind] + len(value)
        start = align_up(end, 4096)
        data = self.data_bytes(start)
        raw[b"TDIR"] = stored[b"TDIR"] = self.raw.get(b"TDIR", self.directory_bytes())
        if b"CHKS" not in self.raw:
            raw[b"CHKS"] = stored[b"CHKS"] = b"".join(
                hash64(data[i:i + chunk]).to_bytes(8, "little") for i in range(0, len(data), chunk))
        file = bytearray(start) + data
        table = b""
        for kind in [*stored, b"DATA"]:
            if kind == b"DATA":
                offset, size, both = start, len(data), hash64(stored[b"CHKS"])
                fields = dict(kind=kind, flags=1, offset=offset, stored_size=size, raw_size=size,
                              stored_hash=both,
                              raw_hash=both)
            else:
                value = stored[kind]
                file[offsets[kind]:offsets[kind] + len(value)] = value
                fields = dict(kind=kind,
                              flags=int(kind in (b"META", b"TDIR", b"CHKS")) | 2 * (kind in compress),
                              offset=offsets[kind], stored_size=len(value), raw_size=len(raw[kind]),
                              stored_hash=hash64(value), raw_hash=hash64(raw[kind]),
                              codec=int(kind in compress))
            fields.update(self.section.get(kind, {}))
            table += layout.SECTION.pack(**fields)
        file[256:256 + len(table)] = table
        header = dict(magic=layout.MAGIC, major=1, header_size=256, file_size=len(file),
                      section_table_offset=256,
                      section_count=len(table) // 64, section_entry_size=64, comp_align_log2=6,
                      data_align_log2=12,
                      chunk_log2=16, hash_kind=1, tensor_count=len(self.tensors), head_size=end,
                      section_table_hash=hash64(table), complete=layout.COMPLETE,
                      feature_incompat=int(bool(compress)))
        header.update(self.header)
        packed = layout.HEADER.pack(**header)
        file[:256] = packed[:248] + hash64(packed[:248]).to_bytes(8, "little")
        return bytes(file)


def sample():
    """A good file with every grid, several zero kinds, rank 1 to 3, two column sets, and a low-rank pair."""
    s = Sample()
    real = s.encoding(grid=layout.REAL, value_type=layout.F16)
    affine = s.encoding(grid=layout.AFFINE, zero=layout.ZERO_U4, row_factor=1, scale_type=layout.F16,
                        radices=(4, 2), group=32)
    ternary = s.encoding(grid=layout.LEVELS, scale_type=layout.BF16, radices=(3,), group=7, level_count=3,
                         level_values=(-1, 0, 1))
    e4m3 = s.encoding(grid=layout.MINIFLOAT, minifloat=layout.OCP, exponent_bits=4, mantissa_bits=3,
                      exponent_bias=7,
                      scale_type=layout.E8M0, radices=(256,))
    minimum = s.encoding(grid=layout.AFFINE, zero=layout.ZERO_MINIMUM, scale_type=layout.E4M3, radices=(4, 2),
                         group=32)

    s.smooth = s.random.normal(size=48).astype("<f4")
    everything = dict(kind=1, count=48, columns=NONE)
    s.inputs.append(dict(columns=48, smooth=s.vector(s.smooth), smooth_state=2, set_count=1,
                         sets=[everything]))
    columns = np.array([1, 5, 30], dtype="<u4")
    s.inputs.append(dict(columns=36, smooth=NONE, set_count=2, sets=[
        dict(kind=3, quantizer=1, bits=8, asymmetric=1, count=33, columns=NONE),
        dict(kind=2, count=3, columns=s.vector(columns))]))

    values = s.random.normal(size=(1, 5)).astype("<f2")
    s.parts.append(dict(encoding=real,
                        planes=[s.values(values, layout.F16)]
                        + [NONE] * 7, scales=NONE, row_factors=NONE, zeros=NONE, column_factors=NONE,
                        row_sums=NONE))
    s.tensor("a", (5,))
    s.weights["a"] = values.astype(f32)[None]

    s.weights["b"] = s.coded_part(affine, 20, 48, row_sums=True)
    s.tensor("b", (20, 48), input=0, bias=s.vector(s.random.normal(size=20).astype("<f4")))

    s.weights["c"] = s.coded_part(ternary, 3, 17, matrices=2, row_sums=True)
    s.tensor("c", (2, 3, 17))

    weights = np.zeros((1, 16, 36), dtype=f32)
    rest = [c for c in range(36) if c not in columns]
    weights[:, :, rest] += s.coded_part(e4m3, 16, 33, column_set=0, factors=True)
    weights[:, :, columns] += s.coded_part(minimum, 16, 3, column_set=1)
    a = s.random.normal(size=(16, 2)).astype("<f2")
    b = s.random.normal(size=(2, 36)).astype("<f2")
    product = np.zeros((16, 36), dtype=f32)
    for row in range(16):
        for column in range(36):
            total = f32(0)
            for k in range(2):
                total = f32(total + f32(f32(a[row, k]) * f32(b[k, column])))
            product[row, column] = total
    s.weights["d"] = weights + product
    s.tensor("d", (16, 36), parts=2, input=1, rank_pair=2,
             low_rank_a=s.values(a, layout.F16),
             low_rank_b=s.values(b, layout.F16))

    # A pair of i8, of rank 1.
    values = s.random.normal(size=(2, 3)).astype("<f2")
    s.parts.append(dict(encoding=real,
                        planes=[s.values(values, layout.F16)]
                        + [NONE] * 7, scales=NONE, row_factors=NONE, zeros=NONE, column_factors=NONE,
                        row_sums=NONE))
    a, b = (s.random.integers(-128, 128, shape).astype("i1") for shape in ((2, 1), (1, 3)))
    a_scales, b_scales = (s.random.normal(size=rows).astype("<f4") for rows in (2, 1))
    s.weights["e"] = np.array([[[f32(f32(values[row, column]) + f32(f32(f32(a[row, 0]) * a_scales[row])
                                                                    * f32(f32(b[0, column]) * b_scales[0])))
                                 for column in range(3)] for row in range(2)]], dtype=f32)
    s.tensor("e", (2, 3), rank_pair=1,
             low_rank_a=s.values(a, layout.I8),
             low_rank_b=s.values(b, layout.I8),
             low_rank_a_scales=s.component(a_scales.tobytes(), layout.F32, layout.VECTOR, 2, 1),
             low_rank_b_scales=s.component(b_scales.tobytes(), layout.F32, layout.VECTOR, 1, 1))
    return s


def model_sample(**members):
    """A good file of a model of one layer, all of it real; `members` replace those of META's model."""
    s = Sample()
    real = s.encoding(grid=layout.REAL, value_type=layout.F16)
    s.meta["model"] = dict(
        architecture="test", vocab_size=8, hidden_size=4, intermediate_size=6, layers=1, heads=2, kv_heads=1,
        head_dim=2, context_length=9, activation="silu", norm=dict(kind="rms", epsilon=1e-5), qk_norm="none",
        tied=True, rope=dict(theta=1e4, pairing="half", scaling="none")) | members
    layer = "model.layers.0."
    for name, shape in (("model.embed_tokens", (8, 4)), (layer + "input_layernorm", (4,)),
                        (layer + "mlp.down_proj", (4, 6)), (layer + "mlp.gate_proj", (6, 4)),
                        (layer + "mlp.up_proj", (6, 4)), (layer + "post_attention_layernorm", (4,)),
                        (layer + "self_attn.k_proj", (2, 4)), (layer + "self_attn.o_proj", (4, 4)),
                        (layer + "self_attn.q_proj", (4, 4)), (layer + "self_attn.v_proj", (2, 4)),
                        ("model.norm", (4,))):
        rows, columns = shape if len(shape) == 2 else (1, *shape)
        plane = s.values(np.ones((rows, columns), dtype="<f2"), layout.F16)
        s.parts.append(dict(encoding=real, planes=[plane] + [NONE] * 7, scales=NONE, row_factors=NONE,
                            zeros=NONE, column_factors=NONE, row_sums=NONE))
        s.tensor(name + ".weight", shape)
    return s
