#!/usr/bin/env python3
"""Lists the tensors of a .sqf file: list_tensors.py FILE.sqf   (SQF_LIBRARY: where libsqf.so is, if not installed)"""
import ctypes as c
import os
import sys


class Tensor(c.Structure):
    _fields_ = [("name", c.c_char_p), ("index", c.c_uint32), ("rank", c.c_uint32), ("shape", c.c_uint64 * 3),
                ("experts", c.c_uint64), ("rows", c.c_uint64), ("columns", c.c_uint64), ("stored_bytes", c.c_uint64),
                ("bits_per_weight", c.c_double), ("part_count", c.c_uint32), ("input", c.c_uint32),
                ("low_rank", c.c_uint32), ("has_bias", c.c_uint32), ("reserved", c.c_uint64 * 4)]


sqf = c.CDLL(os.environ.get("SQF_LIBRARY", "libsqf.so.1"))
file, tensor = c.c_void_p(), Tensor()
if sqf.sqf_open(os.fsencode(sys.argv[1]), 1, c.byref(file), None):
    sys.exit(f"cannot open {sys.argv[1]}")
for i in range(sqf.sqf_tensor_count(file)):
    sqf.sqf_get_tensor(file, i, c.byref(tensor), None)
    row = (c.c_float * tensor.columns)()
    sqf.sqf_dequantize(file, i, c.c_uint64(0), c.c_uint64(0), c.c_uint64(1), row, None)
    print(tensor.name.decode(), list(tensor.shape[:tensor.rank]), f"{tensor.bits_per_weight:.3f} bits/weight:", *row[:4])
sqf.sqf_close(file)
