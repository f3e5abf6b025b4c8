"""Step 15 (sqf.md, 6): all of DATA, its hashes and then what its bits mean."""

import numpy as np

from . import decode, layout, tensors
from .layout import NONE, align_up
from .xxh3 import hash64

# Codes unpacked at once: a block of whole tiles, and of columns where one tile has more.
MOST_CODES = 1 << 22


def _hashes(file):
    """R502 for each chunk; R504 and R503 for each component"""
    data = file.section(b"DATA")
    chunk = 1 << file.header.chunk_log2
    stated = np.frombuffer(file.raw[b"CHKS"], dtype="<u8").tolist()
    end = data.offset + data.stored_size
    for i, at in enumerate(range(data.offset, end, chunk)):
        if hash64(file.view[at:min(at + chunk, end)]) != stated[i]:
            file.report(502, f"the hash of chunk {i} of DATA does not match its bytes")
    before = data.offset
    for i in range(len(file.components)):
        component = file.components[i]
        if file.bytes[before:component.offset].any():
            file.report(504, f"the bytes before component {i} are not zero")
            before = component.offset + component.size
            continue
        before = component.offset + component.size
        if hash64(file.view[component.offset:before]) != component.hash:
            file.report(503, f"the hash of component {i} does not match its bytes")


class PartView:
    """A part of a tensor as arrays over the file's bytes, which stay where they are.

    matrices, n, columns, groups; tiles of all matrices, tiles_per_matrix
    values        of the real grid, as of decode.value_tiles, else None
    planes        u8 [tiles, words, 16, 4] each
    scales, zeros bytes, and row_factors f32 [16 * tiles]; None where there are none
    """

    def __init__(self, file, tensor, part):
        self.encoding = file.encodings[part.encoding]
        self.matrices, self.n, _ = tensors.dimensions(tensor)
        self.columns = tensors.part_columns(file, tensor, part)
        self.groups = self.encoding.groups(self.columns)
        self.tiles_per_matrix = align_up(self.n, 16) // 16
        self.tiles = self.matrices * self.tiles_per_matrix
        self.values = None
        self.planes = []
        if self.encoding.grid == layout.REAL:
            self.values = decode.value_tiles(file.component_bytes(part.planes[0]), self.matrices, self.n)
        for index, _ in zip(part.planes, self.encoding.radices):
            self.planes.append(file.component_bytes(index).reshape(self.tiles, -1, 16, 4))
        self.scales = file.component_bytes(part.scales) if part.scales != NONE else None
        self.zeros = file.component_bytes(part.zeros) if part.zeros != NONE else None
        self.row_factors = None
        if part.row_factors != NONE:
            self.row_factors = file.component_bytes(part.row_factors).view("<f4")

    def elements(self, data, element, first=0, last=None):
        """Stored elements [tiles, groups, 16] of a tile16-groups component, of the tiles first..last-1."""
        last = self.tiles if last is None else last
        per_tile = len(data) // self.tiles
        return decode.group_elements(data[first * per_tile:last * per_tile], element, last - first,
                                     self.groups)

    def zero_element(self):
        return decode.STORED_ZEROS[self.encoding.zero]

    def of_matrix(self, m):
        """(first tile, last tile) of matrix m."""
        return m * self.tiles_per_matrix, (m + 1) * self.tiles_per_matrix

    def blocks_of_matrix(self, m):
        """The blocks, as of `blocks`, of matrix m."""
        first, end = self.of_matrix(m)
        for tile, last_tile, column, last_column in self.blocks(end - first):
            yield first + tile, first + last_tile, column, last_column

    def blocks(self, all_tiles):
        """(first tile, last tile, first column, last column) of blocks of at most MOST_CODES codes, a tile at
        least, of `all_tiles` tiles."""
        columns = max(min(self.columns, MOST_CODES // 16), 1)
        tiles = max(MOST_CODES // (16 * columns), 1)
        for tile in range(0, all_tiles, tiles):
            for column in range(0, self.columns, columns):
                yield tile, min(tile + tiles, all_tiles), column, min(column + columns, self.columns)

    def block_values(self, tile, last_tile, column, last_column):
        """Values f32 [16 * (last_tile - tile), last_column - column]."""
        encoding = self.encoding
        zeros = None if self.zeros is None else self.elements(self.zeros, self.zero_element(), tile,
                                                              last_tile)
        factors = None if self.row_factors is None else self.row_factors[16 * tile:16 * last_tile]
        return decode.values(encoding, [plane[tile:last_tile] for plane in self.planes],
                             self.elements(self.scales, encoding.scale_type, tile, last_tile), factors, zeros,
                             self.columns, column, last_column)

    def bad_bytes(self, i, m):
        """Whether some byte of plane i of matrix m is no digit string."""
        radix = self.encoding.radices[i]
        first, end = self.of_matrix(m)
        return radix in (3, 5) and (int(self.planes[i][first:end].max())
                                    >= radix ** decode.DIGITS_PER_BYTE[radix])

    def codes_without_value(self, m):
        """Whether some code of matrix m stands for nothing."""
        with_value = self.encoding.valid_codes()
        if with_value is None:
            return False
        for tile, last_tile, column, last_column in self.blocks_of_matrix(m):
            code = decode.codes(self.encoding, [plane[tile:last_tile] for plane in self.planes], self.columns,
                                column,
                                last_column)
            if not with_value[code].all():
                return True
        return False

    def bad_codes(self, m):
        """Whether matrix m breaks R602."""
        return any(self.bad_bytes(i, m) for i in range(len(self.planes))) or self.codes_without_value(m)


def _ends_of_groups(view, plane, radix):
    """Whether digits past the columns of a group are not 0; plane: u8 [tiles, words, 16, 4]."""
    encoding, words = view.encoding, plane.shape[1]
    if view.columns == 4 * decode.DIGITS_PER_BYTE[radix] * words:
        return False
    per_word = 4 * decode.DIGITS_PER_BYTE[radix]
    column = np.arange(per_word)
    at_once = 1 << 16
    for first in range(0, words, at_once):
        real = encoding.real_columns(radix, view.columns, first, min(first + at_once, words))
        short = np.flatnonzero(real < per_word)
        if not len(short):
            continue
        past = column >= real[short][:, None]
        tiles = max(MOST_CODES // (16 * per_word * len(short)), 1)
        for tile in range(0, len(plane), tiles):
            digits = decode.digits(plane[tile:tile + tiles, first + short], radix)
            if (digits * past).any():
                return True
    return False


def _row_sums(view, stored):
    """Whether row sums (the component's bytes) differ from the sums of the codes' integer levels."""
    encoding = view.encoding
    group = encoding.group_columns(view.columns)
    integer_zeros = encoding.zero in (layout.ZERO_U4, layout.ZERO_U8)
    rows = np.arange(16)
    sums = None
    for tile, last_tile, column, last_column in view.blocks(view.tiles):
        low, high = column // group, (last_column - 1) // group + 1
        if sums is None or column == 0:
            sums = np.zeros((16 * (last_tile - tile), view.groups), dtype=np.int64)
        code = decode.codes(encoding, [plane[tile:last_tile] for plane in view.planes], view.columns, column,
                            last_column)
        zeros = None
        if integer_zeros:
            zeros = view.elements(view.zeros, view.zero_element(), tile, last_tile)
            zeros = decode.rows_of_groups(zeros[:, low:high])
            zeros = zeros.astype(np.int32)[:, np.arange(column, last_column) // group - low]
        level = decode.integer_levels(encoding, code, zeros)
        starts = np.maximum(np.arange(low, high) * group - column, 0)
        sums[:, low:high] += np.add.reduceat(level, starts, axis=1, dtype=np.int64)
        if last_column == view.columns:
            in_matrix = np.arange(tile, last_tile)[:, None] % view.tiles_per_matrix * 16 + rows
            sums[in_matrix.reshape(-1) >= view.n] = 0
            expected = decode.rows_of_groups(view.elements(stored, layout.I32, tile, last_tile))
            if (expected != sums).any():
                return True
    return False


def _rows_with_groups(view, m):
    """(whether a row of matrix m breaks R603, whether one that does not breaks R601)."""
    encoding = view.encoding
    first, end = view.of_matrix(m)
    # Scales are finite by their codes; a product is not finite where one of its factors is not.
    at_once = max(MOST_CODES // (16 * view.groups), 1)
    infinite = stray = False
    for tile in range(first, end, at_once):
        last_tile = min(tile + at_once, end)
        scales = view.elements(view.scales, encoding.scale_type, tile, last_tile)
        numbers = decode.to_f32(decode.rows_of_groups(scales), encoding.scale_type)
        bad = ~np.isfinite(numbers).all(axis=1)
        # Bits and not numbers: a negative zero is not zero.
        nonzero = _nonzero_rows(scales)
        if view.row_factors is not None:
            factors = view.row_factors[16 * tile:16 * last_tile]
            with np.errstate(all="ignore"):
                bad |= ~np.isfinite(factors) | ~np.isfinite(numbers * factors[:, None]).all(axis=1)
            nonzero |= factors.view("<u4") != 0
        if view.zeros is not None:
            zeros = view.elements(view.zeros, view.zero_element(), tile, last_tile)
            if encoding.zero == layout.ZERO_MINIMUM:
                bad |= ~np.isfinite(decode.rows_of_groups(zeros)).all(axis=1)
            nonzero |= _nonzero_rows(zeros)
        padding = np.arange(16 * (tile - first), 16 * (last_tile - first)) >= view.n
        infinite = infinite or bool(bad.any())
        stray = stray or bool((padding & nonzero & ~bad).any())
    return infinite, stray


def _nonzero_rows(stored):
    """Which rows of stored elements [tiles, groups, 16] have bits that are set: bool [16 * tiles]."""
    bits = stored.view(f"<u{stored.dtype.itemsize}")
    return bits.any(axis=1).reshape(-1)


def _coded_matrix(file, view, m, what):
    """Each plane: R602, R601; codes: R602; rows with their groups: R603, R601. Whether R602 is broken."""
    first, end = view.of_matrix(m)
    padding = slice(view.n - 16 * (view.tiles_per_matrix - 1), 16)
    bad_codes = False
    for i, radix in enumerate(view.encoding.radices):
        plane = view.planes[i][first:end]
        if view.bad_bytes(i, m):
            bad_codes = True
            file.report(602, f"{what}, plane {i}: a byte that is no digit string")
        elif plane[-1][:, padding].any():
            file.report(601, f"{what}, plane {i}: codes of padding rows are not zero")
        elif _ends_of_groups(view, plane, radix):
            file.report(601, f"{what}, plane {i}: digits past a group's columns are not zero")
    if not bad_codes and view.codes_without_value(m):
        bad_codes = True
        file.report(602, f"{what}: a code without a value")
    infinite, stray = _rows_with_groups(view, m)
    if infinite:
        file.report(603, f"{what}: a scale, row factor, product of both or minimum that is not finite")
    if stray:
        file.report(601, f"{what}: scales, row factors or zeros of padding rows are not zero")
    return bad_codes


def _rows(file, tiles, n, columns, element, what):
    """R604, R601 of values (as of decode.value_tiles) of matrices of n rows, row by row, padding rows too."""
    width = columns * decode.STORED_TYPES[element].itemsize
    lanes = tiles.shape[2]
    stored_rows = align_up(n, lanes)
    infinite = stray = False
    at_once = max(MOST_CODES * 4 // (tiles.shape[1] * lanes * 4), 1)
    for first in range(0, len(tiles), at_once):
        rows = decode.value_rows(tiles[first:first + at_once])
        bad = ~np.isfinite(decode.stored_values(rows, element, columns)).all(axis=1)
        infinite = infinite or bool(bad.any())
        padding = (first * lanes + np.arange(len(rows))) % stored_rows >= n
        # A row that breaks R604 is named for that alone.
        nonzero = rows[:, width:].any(axis=1) | (padding & rows.any(axis=1))
        stray = stray or bool((nonzero & ~bad).any())
    if infinite:
        file.report(604, f"{what}: a value that is not finite")
    if stray:
        file.report(601, f"{what}: bytes behind a row or of a padding row are not zero")


def _tensor(file, tensor, what):
    matrices, n, k = tensors.dimensions(tensor)
    for i in range(tensor.part_count):
        part = file.parts[tensor.part_first + i]
        here = f"{what}, part {i}"
        view = PartView(file, tensor, part)
        bad_codes = False
        if view.values is not None:
            _rows(file, view.values, n, view.columns, view.encoding.value_type, here)
        else:
            for m in range(matrices):
                bad_codes |= _coded_matrix(file, view, m, f"{here}, matrix {m}" if matrices > 1 else here)
        if part.column_factors != NONE:
            if not decode.all_finite(file.component_bytes(part.column_factors).view("<f4"), layout.F32):
                file.report(603, f"{here}: a column factor that is not finite")
        # Sums of codes that stand for nothing would say nothing.
        if part.row_sums != NONE and not bad_codes:
            if _row_sums(view, file.component_bytes(part.row_sums)):
                file.report(606, f"{here}: row sums that are not the sums of their codes' integer levels")
    if tensor.bias != NONE and not decode.all_finite(file.component_bytes(tensor.bias).view("<f4"),
                                                     layout.F32):
        file.report(604, f"{what}: a bias that is not finite")
    if tensor.rank_pair:
        for name, index, scales, rows, cols in (
                ("A", tensor.low_rank_a, tensor.low_rank_a_scales, n, tensor.rank_pair),
                ("B", tensor.low_rank_b, tensor.low_rank_b_scales, tensor.rank_pair, k)):
            element = file.components[index].element
            tiles = decode.value_tiles(file.component_bytes(index), matrices, rows)
            _rows(file, tiles, rows, cols, element, f"{what}, low-rank {name}")
            if scales != NONE and not decode.all_finite(file.component_bytes(scales).view("<f4"), layout.F32):
                file.report(604, f"{what}, low-rank {name}: a scale that is not finite")


def bad_list(columns, k):
    """What breaks R605 in one column list (u32 array) of an input of k columns, or None."""
    if (columns[1:] <= columns[:-1]).any():
        return "does not ascend"
    if int(columns[-1]) >= k:
        return f"names column {int(columns[-1])} of {k}"
    return None


def _input(file, index):
    record = file.inputs[index]
    what = f"input {index}"
    if record.smooth != NONE:
        smooth = file.component_bytes(record.smooth).view("<f4")
        if not decode.all_finite(smooth, layout.F32) or (smooth == 0).any():
            file.report(607, f"{what}: a smoothing value that is not finite or zero")
    lists = [file.component_bytes(each.columns).view("<u4") for each in file.column_sets[index]
             if each.kind == layout.SET_LIST]
    before = np.zeros(0, dtype="<u4")
    for i, columns in enumerate(lists):
        wrong = bad_list(columns, record.columns)
        if wrong:
            file.report(605, f"{what}: column list {i} {wrong}")
            continue
        if np.isin(columns, before).any():
            file.report(605, f"{what}: column list {i} shares a column with one before it")
        before = np.concatenate((before, columns))


def check(file):
    """R502; R504, R503; then the values: R602, R601, R603, R604, R606, R607, R605"""
    _hashes(file)
    for i in range(len(file.tensors)):
        _tensor(file, file.tensors[i], f"tensor {i} ({file.names[i].decode()!r})")
    for i in range(len(file.inputs)):
        _input(file, i)
