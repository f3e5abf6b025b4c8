"""A second reader of single-part tensors, written from spec/ with the standard library alone: what the C functions
hand out is compared with it bit by bit."""
import struct

NONE = 0xffffffff
DIGITS = {256: 1, 16: 2, 4: 4, 2: 8}  # in a byte
REAL = {1: ("f", 4), 2: ("e", 2)}
# Offset of each array's record size and its size, in the order of the arrays.
SIZES = (128, 160, 96, 64, 64)


def f32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


class File:
    def __init__(self, path):
        self.bytes = path.read_bytes()
        count, = struct.unpack_from("<I", self.bytes, 56)
        for i in range(count):
            kind, _, offset, size = struct.unpack_from("<4sIQQ", self.bytes, 256 + 64 * i)
            if kind == b"TDIR":
                self.parse(self.bytes[offset:offset + size])
            if kind == b"DATA":
                self.data_offset = offset

    def parse(self, tdir):
        counts = struct.unpack_from("<5I", tdir, 0)
        at, arrays = 96, []
        for count, size in zip(counts, SIZES):
            arrays.append([tdir[at + i * size:at + (i + 1) * size] for i in range(count)])
            at += (count * size + 7) // 8 * 8
        self.encodings, self.inputs, self.tensors, self.parts, self.components = arrays
        self.names = tdir[at:]

    def component(self, index):
        offset, size = struct.unpack_from("<QQ", self.components[index])
        return self.bytes[offset:offset + size]

    def values(self):
        """Every tensor's name with its values, row after row."""
        for record in self.tensors:
            name_at, name_size, rank = struct.unpack_from("<IHB", record)
            shape = struct.unpack_from("<3Q", record, 8)[:rank]
            part_first, part_count, low_rank = struct.unpack_from("<III", record, 36)
            assert rank < 3 and part_count == 1 and low_rank == 0
            rows, columns = (1, shape[0]) if rank == 1 else shape
            part = self.parts[part_first]
            encoding = self.encodings[struct.unpack_from("<I", part)[0]]
            decode = self.affine if encoding[0] == 1 else self.real
            yield self.names[name_at:name_at + name_size].decode(), decode(encoding, part, rows, columns)

    def real(self, encoding, part, rows, columns):
        letter, width = REAL[struct.unpack_from("<H", encoding, 4)[0]]
        data = self.component(struct.unpack_from("<I", part, 8)[0])
        stride = (columns * width + 63) // 64 * 64
        return [v for row in range(rows) for v in struct.unpack_from(f"<{columns}{letter}", data, row * stride)]

    def affine(self, encoding, part, rows, columns):
        _, zero_kind, planes, has_row_factor = encoding[:4]
        scale_type, *radices = struct.unpack_from("<H8H", encoding, 6)
        group, = struct.unpack_from("<I", encoding, 24)
        assert scale_type == 6 and zero_kind in (2, 3) and has_row_factor == 1 and group % 32 == 0
        parts = struct.unpack_from("<8I3I", part, 8)
        scales, row_factors, zeros = (self.component(i) for i in parts[8:])
        groups = (columns + group - 1) // group
        slots = sum((min(group, columns - g * group) + 31) // 32 * 32 for g in range(groups))
        out = []
        for row in range(rows):
            tile, lane = divmod(row, 16)
            factor, = struct.unpack_from("<f", row_factors, 4 * row)
            for k in range(columns):
                code, weight = 0, 1
                for plane in range(planes):
                    radix = radices[plane]
                    word, slot = divmod(k, 4 * DIGITS[radix])
                    words = slots // (4 * DIGITS[radix])
                    byte = self.component(parts[plane])[((tile * words + word) * 16 + lane) * 4 + slot % 4]
                    code += weight * (byte // radix ** (slot // 4) % radix)
                    weight *= radix
                at = tile * groups + k // group
                if zero_kind == 2:
                    zero = zeros[at * 8 + lane % 8] >> (0 if lane < 8 else 4) & 15
                else:
                    zero = zeros[at * 16 + lane]
                out.append(f32(f32(scales[at * 16 + lane] * factor) * (code - zero)))
        return out
