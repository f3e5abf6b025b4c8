"""Steps 7 to 12 (sqf.md, 6): the tensor directory of section 3."""

import numpy as np

from . import decode, layout
from .layout import NONE, align_up

MOST_ELEMENTS = 1 << 46
MOST_COLUMNS = 1 << 40


# 7

def own_header(file):
    """Its fields: R413, R401; the bytes after the pool: R413; tensor_count: R401"""
    raw = file.raw[b"TDIR"]
    if len(raw) < layout.DIRECTORY.size:
        return file.report(401, f"TDIR has {len(raw)} bytes, its header alone 96")
    header = layout.DIRECTORY.unpack(raw)
    if any(header.reserved):
        file.report(413, "TDIR: reserved fields of the header are not zero")
    counts = (header.encoding_count, header.input_count, header.tensor_count, header.part_count,
              header.component_count)
    pool = layout.DIRECTORY.size + sum(count * size for count, size in zip(counts, layout.RECORD_SIZES))
    pool_end = pool + header.name_bytes
    wrong = []
    if header.record_sizes != layout.RECORD_SIZES:
        wrong.append(f"record sizes {header.record_sizes}")
    if align_up(pool_end, 8) != len(raw):
        wrong.append(f"{len(raw)} bytes, its counts need {align_up(pool_end, 8)}")
    if header.encoding_count > 65535 or header.tensor_count > 1 << 20 or header.component_count > 1 << 22:
        wrong.append("more encodings, tensors or components than there may be")
    if wrong:
        file.report(401, "TDIR: " + "; ".join(wrong))
    elif any(raw[pool_end:]):
        file.report(413, "TDIR: the bytes after the pool of names are not zero")
    if header.tensor_count != file.header.tensor_count:
        file.report(401,
                    f"TDIR has {header.tensor_count} tensors, the header says {file.header.tensor_count}")
    if file.findings:
        return
    tables = (layout.ENCODING, layout.INPUT, layout.TENSOR, layout.PART, layout.COMPONENT)
    at = layout.DIRECTORY.size
    arrays = []
    for table, count in zip(tables, counts):
        arrays.append(layout.Records(table, raw, at, count))
        at += count * table.size
    encodings, file.inputs, file.tensors, file.parts, file.components = arrays
    file.encodings = [decode.Encoding(encodings[i]) for i in range(len(encodings))]
    file.pool = raw[pool:pool_end]
    file.directory = header
    file.used = bytearray(header.component_count)


# 8

def encodings(file):
    """R402"""
    for i, encoding in enumerate(file.encodings):
        wrong = encoding.wrong()
        if wrong:
            file.report(402, f"encoding {i}: {wrong}")


# Components, as the records that name them ask for them.

class Claims:
    """The components that one record uses: the first of R409 for all of them and R410 for all of them."""

    def __init__(self, file, what):
        self._file, self._what = file, what
        self._shapes = []

    def use(self, index, what, elements, packing, rows, cols):
        """Component `index` is to have one of `elements`, the packing, `rows` and `cols`."""
        self._shapes.append((index, what, elements, packing, rows, cols))

    def report(self):
        """Counts them as used and names the first rule that is broken. Whether none is."""
        file = self._file
        wrong = None
        for index, what, *_ in self._shapes:
            if index >= len(file.components):
                wrong = wrong or f"{what}: there is no component {index}"
            elif file.used[index]:
                wrong = wrong or f"{what}: component {index} is used already"
            else:
                file.used[index] = 1
        if wrong:
            file.report(409, f"{self._what}, {wrong}")
            return False
        for index, what, elements, packing, rows, cols in self._shapes:
            wrong = _component(file.components[index], elements, packing, rows, cols)
            if wrong:
                file.report(410, f"{self._what}, {what}, component {index}: {wrong}")
                return False
        return True


def _component(component, elements, packing, rows, cols):
    if component.element not in elements:
        names = " or ".join(layout.ELEMENT_NAMES[element] for element in elements)
        return f"element {layout.ELEMENT_NAMES.get(component.element, component.element)}, not {names}"
    if component.packing != packing:
        return f"packing {component.packing}, not {layout.PACKING_NAMES[packing]}"
    if (component.rows, component.cols) != (rows, cols):
        return f"[{component.rows}, {component.cols}], not [{rows}, {cols}]"
    size = layout.component_size(component.element, packing, rows, cols)
    if component.size != size:
        return f"{component.size} bytes, not {size}"
    return None


# 9

def _float_bits_zero(*values):
    return all(value == 0 and not np.signbit(value) for value in values)


def _column_set(each, columns):
    """What is wrong with a used column set of an input of `columns` columns by itself, or None."""
    if each.kind not in (layout.SET_ALL, layout.SET_LIST, layout.SET_REST):
        return f"kind {each.kind}"
    if not 1 <= each.count <= columns:
        return f"{each.count} columns"
    if each.kind != layout.SET_LIST and each.columns != NONE:
        return "a list of columns without being one"
    if each.kind == layout.SET_LIST and each.columns == NONE:
        return "no list of columns"
    if each.quantizer > 2:
        return f"quantizer {each.quantizer}"
    if max(each.per_tensor, each.asymmetric, each.is_static) > 1:
        return "a flag that is neither 0 nor 1"
    if not each.quantizer and (each.per_tensor or each.asymmetric or each.is_static):
        return "flags of a quantizer without one"
    if not (2 <= each.bits <= 8 if each.quantizer == 1 else each.bits == 0):
        return f"{each.bits} bits"
    if each.quantizer == 2:
        exponent, mantissa = each.exponent_bits, each.mantissa_bits
        if exponent < 1 or not 2 <= exponent + mantissa <= 7:
            return f"a minifloat of {exponent} exponent and {mantissa} mantissa bits"
    elif each.exponent_bits or each.mantissa_bits:
        return "minifloat bits without a minifloat"
    if each.is_static:
        if not np.isfinite(each.scale) or not each.scale > 0:
            return f"a static scale of {each.scale}"
        if not np.isfinite(each.low):
            return "low is not finite"
    elif not _float_bits_zero(each.scale, each.low):
        return "scale or low without being static"
    return None


def _input(record, sets):
    """What breaks R403, or None."""
    if not 1 <= record.columns <= MOST_COLUMNS:
        return f"{record.columns} columns"
    if record.smooth_state > 2:
        return f"smooth_state {record.smooth_state}"
    if (record.smooth_state == layout.SMOOTH_NONE) != (record.smooth == NONE):
        return f"smooth_state {record.smooth_state} {'without' if record.smooth == NONE else 'with'} a vector"
    if not 1 <= record.set_count <= 4:
        return f"{record.set_count} column sets"
    for i, each in enumerate(sets):
        wrong = _column_set(each, record.columns)
        if wrong:
            return f"column set {i}: {wrong}"
    kinds = [each.kind for each in sets]
    if layout.SET_ALL in kinds and len(kinds) > 1:
        return "a set of all columns beside others"
    if kinds.count(layout.SET_REST) > 1:
        return "two sets of the rest"
    total = sum(each.count for each in sets)
    if total != record.columns:
        return f"the sets have {total} columns, the input {record.columns}"
    return None


def inputs(file):
    """Each: R413, R403, R409, R410"""
    for i in range(len(file.inputs)):
        record = file.inputs[i]
        what = f"input {i}"
        count = min(record.set_count, 4)
        sets = [layout.COLUMN_SET.unpack(record.sets, 32 * k) for k in range(count)]
        file.column_sets.append(sets)
        if any(record.reserved) or any(each.reserved for each in sets) or any(record.sets[32 * count:]):
            file.report(413, f"{what}: reserved fields or unused sets are not zero")
            continue
        wrong = _input(record, sets)
        if wrong:
            file.report(403, f"{what}: {wrong}")
            continue
        claims = Claims(file, what)
        if record.smooth != NONE:
            claims.use(record.smooth, "smoothing vector", (layout.F32,), layout.VECTOR, 1, record.columns)
        for each in sets:
            if each.kind == layout.SET_LIST:
                claims.use(each.columns, "column list", (layout.U32,), layout.VECTOR, 1, each.count)
        claims.report()


# 10

def names(file):
    """Each: R404, R405; then R412 (pool not used up)"""
    before = None
    at = 0
    for i in range(len(file.tensors)):
        tensor = file.tensors[i]
        name = file.pool[at:at + tensor.name_size]
        wrong = None
        if not 1 <= tensor.name_size <= 255:
            wrong = f"{tensor.name_size} bytes"
        elif tensor.name_offset != at or len(name) != tensor.name_size:
            wrong = f"its name is not at {at} of the pool, where the one before it ends"
        else:
            try:
                name.decode()
                if any(byte < 0x20 or byte == 0x7F for byte in name):
                    wrong = "a control character in its name"
            except UnicodeDecodeError:
                wrong = "its name is not UTF-8"
        if wrong:
            file.report(404, f"tensor {i}: {wrong}")
        elif before is not None and name <= before:
            file.report(405, f"tensor {i} ({name.decode()!r}) does not sort behind the one before it")
        at += tensor.name_size
        before = name
        file.names.append(name)
    if at < len(file.pool):
        file.report(412, f"the pool of names has {len(file.pool)} bytes, the names {at}")


# 11

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
            claims.use(part.planes[0], "values", (encoding.value_type,), layout.ROW_MAJOR, matrices * n,
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
    factors = ((tensor.low_rank_a, tensor.low_rank_a_scales, "low-rank A", matrices * n, rank),
               (tensor.low_rank_b, tensor.low_rank_b_scales, "low-rank B", matrices * rank, k))
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
            claims.use(index, name, (element,), layout.ROW_MAJOR, rows, cols)
        for _, scales, name, rows, _ in factors:
            if scales != NONE:
                claims.use(scales, f"scales of {name}", (layout.F32,), layout.VECTOR, rows, 1)
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


# 12

def whole(file):
    """R412 (parts left over); each component: R413, R411; R411 (DATA's end); R412 (components, encodings,
    inputs that nothing uses)"""
    data = file.section(b"DATA")
    parts = sum(file.tensors[i].part_count for i in range(len(file.tensors)))
    if parts != len(file.parts):
        file.report(412, f"{len(file.parts) - parts} parts belong to no tensor")
    end = data.offset
    alignment = 1 << file.header.comp_align_log2
    for i in range(len(file.components)):
        component = file.components[i]
        place = align_up(end, alignment)
        if component.reserved_28 or any(component.reserved_48):
            file.report(413, f"component {i}: reserved fields are not zero")
        elif component.offset != place:
            file.report(411, f"component {i} starts at {component.offset}, not at {place}")
        end = component.offset + component.size
    if end != file.size:
        file.report(411, f"the last component ends at {end}, the file at {file.size}")
    used_encodings = {file.parts[i].encoding for i in range(len(file.parts))}
    used_inputs = {file.tensors[i].input for i in range(len(file.tensors))}
    for name, unused in (("component", [i for i, used in enumerate(file.used) if not used]),
                         ("encoding", [i for i in range(len(file.encodings)) if i not in used_encodings]),
                         ("input", [i for i in range(len(file.inputs)) if i not in used_inputs])):
        for i in unused:
            file.report(412, f"nothing uses {name} {i}")
