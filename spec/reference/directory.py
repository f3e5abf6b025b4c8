"""Steps 7 to 10 and 12 (sqf.md, 6): the tensor directory of section 3, but for its tensors."""

import numpy as np

from . import decode, layout
from .layout import NONE, align_up

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
