"""Step 11 (sqf.md, 6): the tensors of the directory, with their parts, biases and low-rank pairs."""

from . import decode, layout
from .directory import Claims
from .layout import NONE, align_up

MOST_ELEMENTS = 1 << 46


def _shape(tensor):
    """What breaks R406, or None."""
    if not 1 <= tensor.rank <= 3:
        return f"rank {tensor.rank}"
    if not all(tensor.shape[:tensor.rank]) or any(tensor.shape[tensor.rank:]):
        return f"shape {tensor.shape} of rank {tensor.rank}"
    elements = 1
    for dimension in tensor.shape[:tensor.rank]:
        elements *= dimension
    if elements > MOST_ELEMENTS:
        return f"{elements} elements"
    return None


def dimensions(tensor):
    """(matrices, N, K) of a tensor; one of rank 1 is one row."""
    shape = tensor.shape[:tensor.rank]
    return (1,) * (3 - len(shape)) + tuple(shape)


def _record(file, tensor, parts_before):
    """What breaks R407 in input record and parts, or None."""
    columns = tensor.shape[tensor.rank - 1]
    if tensor.input != NONE:
        if tensor.input >= len(file.inputs):
            return f"there is no input {tensor.input}"
        if file.inputs[tensor.input].columns != columns:
            return f"input {tensor.input} and the tensor differ in their columns"
    if tensor.part_first != parts_before:
        return f"its parts start at {tensor.part_first}, not at {parts_before}"
    if not 1 <= tensor.part_count <= 16:
        return f"{tensor.part_count} parts"
    if tensor.part_first + tensor.part_count > len(file.parts):
        return "parts beyond the last one"
    if tensor.input == NONE and tensor.part_count != 1:
        return "several parts without an input record"
    return None


def _without_part(file, tensor):
    """What breaks R407 in the column sets of a tensor whose parts are where they belong, or None."""
    if tensor.input == NONE:
        return None
    named = {file.parts[tensor.part_first + i].column_set for i in range(tensor.part_count)}
    missing = [i for i in range(len(file.column_sets[tensor.input])) if i not in named]
    return f"no part for column set {missing[0]}" if missing else None


def part_columns(file, tensor, part):
    """How many columns a part has."""
    if tensor.input == NONE:
        return tensor.shape[tensor.rank - 1]
    return file.column_sets[tensor.input][part.column_set].count


def _part(file, tensor, part):
    """What breaks R408, or None."""
    if part.encoding >= len(file.encodings):
        return f"there is no encoding {part.encoding}"
    if part.column_set >= (1 if tensor.input == NONE else len(file.column_sets[tensor.input])):
        return f"there is no column set {part.column_set}"
    encoding = file.encodings[part.encoding]
    planes = 1 if encoding.grid == layout.REAL else len(encoding.radices)
    for i, plane in enumerate(part.planes):
        if (plane != NONE) != (i < planes):
            return f"plane {i} is {'missing' if i < planes else 'not one of its encoding'}"
    for name, index, needed in (("scales", part.scales, encoding.grid != layout.REAL),
                                ("row factors", part.row_factors, encoding.row_factor),
                                ("zeros", part.zeros, encoding.zero in decode.STORED_ZEROS)):
        if (index != NONE) != bool(needed):
            return f"{name} are {'missing' if needed else 'there without being needed'}"
    if part.row_sums != NONE and not encoding.has_row_sums():
        return "row sums where codes do not stand for small integers"
    return None


def _tensor_parts(file, tensor, what):
    matrices, n, _ = dimensions(tensor)
    padded = matrices * align_up(n, 16)
    for i in range(tensor.part_count):
        part = file.parts[tensor.part_first + i]
        here = f"{what}, part {i}"
        if part.reserved:
            file.report(413, f"{here}: reserved fields are not zero")
            continue
        wrong = _part(file, tensor, part)
        if wrong:
            file.report(408, f"{here}: {wrong}")
            continue
        encoding = file.encodings[part.encoding]
        columns = part_columns(file, tensor, part)
        groups = encoding.groups(columns)
        claims = Claims(file, here)
        if encoding.grid == layout.REAL:
            claims.use(part.planes[0], "values", (encoding.value_type,), *layout.value_shape(matrices, n),
                       columns)
        for k, radix in enumerate(encoding.radices):
            claims.use(part.planes[k], f"plane {k}", (layout.RADIX_ELEMENTS[radix],), layout.TILE16_CODES,
                       padded,
                       encoding.words(radix, columns))
        if part.scales != NONE:
            claims.use(part.scales, "scales", (encoding.scale_type,), layout.TILE16_GROUPS, padded, groups)
        if part.row_factors != NONE:
            claims.use(part.row_factors, "row factors", (layout.F32,), layout.VECTOR, padded, 1)
        if part.zeros != NONE:
            claims.use(part.zeros, "zeros", (decode.STORED_ZEROS[encoding.zero],), layout.TILE16_GROUPS,
                       padded, groups)
        if part.column_factors != NONE:
            claims.use(part.column_factors, "column factors", (layout.F32,), layout.VECTOR, 1, columns)
        if part.row_sums != NONE:
            claims.use(part.row_sums, "row sums", (layout.I32,), layout.TILE16_GROUPS, padded, groups)
        claims.report()


def _bias(file, tensor, what):
    """R409, R410. Whether neither is broken."""
    if tensor.bias == NONE:
        return True
    claims = Claims(file, what)
    matrices, n, _ = dimensions(tensor)
    claims.use(tensor.bias, "bias", (layout.F32,), layout.VECTOR, matrices, n)
    return claims.report()


def _low_rank(file, tensor, what):
    """R407, R409, R410"""
    matrices, n, k = dimensions(tensor)
    rank = tensor.rank_pair
    factors = ((tensor.low_rank_a, tensor.low_rank_a_scales, "low-rank A", n, rank),
               (tensor.low_rank_b, tensor.low_rank_b_scales, "low-rank B", rank, k))
    wrong = None
    if not rank:
        if any(index != NONE for factor in factors for index in factor[:2]):
            wrong = "a component of a low-rank pair without one"
    elif rank > min(n, k):
        wrong = f"a low-rank pair of rank {rank}"
    elif NONE in (tensor.low_rank_a, tensor.low_rank_b):
        wrong = "a low-rank pair that lacks a factor"
    elif (tensor.low_rank_a_scales == NONE) != (tensor.low_rank_b_scales == NONE):
        wrong = "scales of one low-rank factor alone"
    if wrong:
        return file.report(407, f"{what}: {wrong}")
    if rank:
        # The record tells by its scales which type both factors have, before any component is looked at.
        element = layout.F16 if tensor.low_rank_a_scales == NONE else layout.I8
        claims = Claims(file, what)
        for index, _, name, rows, cols in factors:
            claims.use(index, name, (element,), *layout.value_shape(matrices, rows), cols)
        for _, scales, name, rows, _ in factors:
            if scales != NONE:
                claims.use(scales, f"scales of {name}", (layout.F32,), layout.VECTOR, matrices * rows, 1)
        claims.report()


def _tensor(file, tensor, parts_before, what):
    """R406, R413, R407; each part, a record of its own: R413, R408, R409, R410; R407 (a column set without a
    part); bias: R409, R410; pair: R407, R409, R410"""
    wrong = _shape(tensor)
    if wrong:
        return file.report(406, f"{what}: {wrong}")
    places = _record(file, tensor, parts_before)
    named = True
    if tensor.flags or any(tensor.reserved):
        file.report(413, f"{what}: reserved fields are not zero")
    elif places:
        file.report(407, f"{what}: {places}")
    else:
        named = False
    # Parts are records of their own, to be looked at wherever it is known which they are.
    if not places:
        _tensor_parts(file, tensor, what)
    if named:
        return
    wrong = _without_part(file, tensor)
    if wrong:
        return file.report(407, f"{what}: {wrong}")
    if _bias(file, tensor, what):
        _low_rank(file, tensor, what)


def tensors(file):
    """Each in order, with its parts, bias and low-rank pair."""
    parts_before = 0
    for i in range(len(file.tensors)):
        tensor = file.tensors[i]
        _tensor(file, tensor, parts_before, f"tensor {i} ({file.names[i].decode()!r})")
        parts_before += tensor.part_count
