"""Dequantized and effective weights (sqf.md, 3.4), in f32 and in its order of operations."""

import numpy as np

from . import decode, layout, tensors
from .data import PartView, bad_list
from .findings import Malformed
from .layout import NONE, align_up


def _columns(file, tensor, part):
    """The columns of the tensor that are the part's: a slice or an index array."""
    if tensor.input == NONE:
        return slice(None)
    sets = file.column_sets[tensor.input]
    k = file.inputs[tensor.input].columns
    lists = {}
    for i, each in enumerate(sets):
        if each.kind == layout.SET_LIST:
            columns = file.component_bytes(each.columns).view("<u4").astype(np.int64)
            wrong = bad_list(columns, k)
            if wrong:
                raise Malformed(f"R605 a column list {wrong}")
            lists[i] = columns
    kind = sets[part.column_set].kind
    if kind == layout.SET_ALL:
        return slice(None)
    if kind == layout.SET_LIST:
        return lists[part.column_set]
    rest = np.ones(k, dtype=bool)
    for columns in lists.values():
        rest[columns] = False
    rest = np.flatnonzero(rest)
    if len(rest) != sets[part.column_set].count:
        raise Malformed("R605 two lists share a column")
    return rest


def _value_rows(tiles, n, expert, first, last):
    """The bytes of rows first..last-1 of one of the matrices of n rows in decode.value_tiles."""
    lanes = tiles.shape[2]
    matrix = expert * (align_up(n, lanes) // lanes)
    rows = decode.value_rows(tiles[matrix + first // lanes:matrix + -(-last // lanes)])
    return rows[first % lanes:first % lanes + last - first]


def _part_rows(file, tensor, part, expert, first, last):
    """The values of the rows first..last-1 of a part: f32 [last - first, columns]."""
    view = PartView(file, tensor, part)
    if view.values is not None:
        rows = _value_rows(view.values, view.n, expert, first, last)
        return decode.stored_values(rows, view.encoding.value_type, view.columns)
    if view.bad_codes(expert):
        raise Malformed("R602 a code without a value")
    tile = expert * view.tiles_per_matrix + first // 16
    last_tile = expert * view.tiles_per_matrix + -(-last // 16)
    values = view.block_values(tile, last_tile, 0, view.columns)
    return values[first % 16:first % 16 + last - first]


def _low_rank(file, index, scales, matrices, n, cols, expert, first, last):
    """The rows first..last-1 of one of the matrices [n, cols] of a low-rank factor: f32 [last - first, cols]."""
    tiles = decode.value_tiles(file.component_bytes(index), matrices, n)
    values = decode.stored_values(_value_rows(tiles, n, expert, first, last),
                                  file.components[index].element, cols)
    if scales != NONE:
        values = values * file.component_bytes(scales).view("<f4")[expert * n + first:expert * n + last, None]
    return values


def dequantize(file, tensor, expert=0, rows=None):
    """The weights of a tensor for the input `xh`, bit for bit: f32 [rows, K].

    file     an opened File (step 13 and before found nothing)
    tensor   its name
    expert   the matrix of a tensor of rank 3, else 0
    rows     (first, last + 1) of its N rows, all by default; a tensor of rank 1 is one row

    Raises KeyError for an unknown name, IndexError for an expert or rows that are not there, Malformed where
    bytes of
    DATA stand for no value. Other broken rules of step 15 go unnoticed here: `check` the file for them.
    """
    tensor = file.tensors[file.tensor_index(tensor)]
    matrices, n, k = tensors.dimensions(tensor)
    first, last = (0, n) if rows is None else rows
    if not 0 <= expert < matrices or not 0 <= first < last <= n:
        raise IndexError(f"matrix {expert}, rows {first}..{last} of [{matrices}, {n}, {k}]")
    weights = None
    for i in range(tensor.part_count):
        part = file.parts[tensor.part_first + i]
        values = _part_rows(file, tensor, part, expert, first, last)
        with np.errstate(all="ignore"):
            if part.column_factors != NONE:
                values = values * file.component_bytes(part.column_factors).view("<f4")
            if weights is None:
                weights = np.zeros((last - first, k), dtype=np.float32)
            columns = _columns(file, tensor, part)
            weights[:, columns] = weights[:, columns] + values
    if tensor.rank_pair:
        r = tensor.rank_pair
        a = _low_rank(file, tensor.low_rank_a, tensor.low_rank_a_scales, matrices, n, r, expert, first, last)
        b = _low_rank(file, tensor.low_rank_b, tensor.low_rank_b_scales, matrices, r, k, expert, 0, r)
        with np.errstate(all="ignore"):
            product = np.zeros_like(weights)
            for i in range(r):
                product = product + a[:, i:i + 1] * b[i]
            weights = weights + product
    return weights


def effective(file, tensor, expert=0, rows=None):
    """The weights for `x` itself: those of `dequantize`, divided by the smoothing vector where it is to be
    applied."""
    weights = dequantize(file, tensor, expert, rows)
    record = file.tensors[file.tensor_index(tensor)]
    if record.input != NONE and file.inputs[record.input].smooth_state == layout.SMOOTH_APPLY:
        with np.errstate(all="ignore"):
            weights = weights / file.component_bytes(file.inputs[record.input].smooth).view("<f4")
    return weights
