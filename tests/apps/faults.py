"""What the fault and the kill cases share: models whose conversion is quick, and sqconv under the
shim that makes file calls fail (fault_shim.c)."""
import os
import pathlib
import random
import struct

import harness
import tiny_model as tiny

# 4.5 MB of f16: several of the writer's buffers.
MEDIUM = tiny.LLAMA | {"hidden_size": 256, "intermediate_size": 1024}


def medium_folder(folder):
    block = struct.pack("<32768e", *(random.Random(3).gauss(0, 0.05) for _ in range(32768)))
    entries = {}
    for name, shape in tiny.shapes(MEDIUM).items():
        size = 2 * shape[0] * (shape[1] if len(shape) == 2 else 1)
        entries[name] = ("F16", shape, (block * (size // len(block) + 1))[:size])
    return tiny.write_folder(folder, MEDIUM, entries)


def environment(faults="", log=None):
    env = {"LD_PRELOAD": str(harness.PROGRAMS.parent / "tests" / "libfault_shim.so"), "SQF_FAULTS": faults,
           # The shim comes before the sanitizer's runtime, which it does not mind.
           "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
    if log is not None:
        pathlib.Path(log).unlink(missing_ok=True)
        env["SQF_FAULT_LOG"] = str(log)
    return env


def calls(log):
    """The log as (kind, result, offset, size)."""
    lines = (line.split() for line in pathlib.Path(log).read_text().splitlines())
    return [(kind, int(result), int(offset), int(size)) for kind, result, offset, size in lines]
