#!/usr/bin/env python3
"""Writes blocks.bin: random blocks of GGUF's types and what the gguf package says they hold.

usage: make_blocks.py        needs numpy and gguf (0.19 made the file that is here)

For each type, in the order below: 512 columns as blocks, then as f32. Codes are any; scales have both signs, and some
are below the normal range of f16.
"""
import pathlib

import numpy
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

COLUMNS = 512
# Where a block has f16.
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0]}

random = numpy.random.default_rng(1)
with open(pathlib.Path(__file__).parent / "blocks.bin", "wb") as out:
    for name, places in HALVES.items():
        kind = GGMLQuantizationType[name]
        columns, size = GGML_QUANT_SIZES[kind]
        blocks = random.integers(0, 256, (COLUMNS // columns, size), dtype=numpy.uint8)
        for block in blocks:
            for place in places:
                small = 1e-6 if random.random() < 0.2 else 1e-2
                block[place:place + 2] = numpy.array([random.normal(0, small)], numpy.float16).view(numpy.uint8)
        out.write(blocks.tobytes())
        out.write(dequantize(blocks.reshape(1, -1), kind).astype("<f4").tobytes())
