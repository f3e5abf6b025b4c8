#!/usr/bin/env python3
"""cmake/ptxas_resources.py on what ptxas 13.0 -v said of two kernels and a function that is none, for three
architectures: spills, a stack, shared memory, a warning in between."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).parent
SCRIPT = HERE.parent.parent / "cmake/ptxas_resources.py"
SAMPLE = (HERE / "ptxas_sample.txt").read_text()


def run(text):
    with tempfile.TemporaryDirectory() as folder:
        log, output = pathlib.Path(folder, "sample.ptxas"), pathlib.Path(folder, "resources.json")
        log.write_text(text)
        result = subprocess.run([sys.executable, SCRIPT, log, "-o", output], capture_output=True, text=True)
        return result, json.loads(output.read_text()) if output.exists() else None


class PtxasResources(unittest.TestCase):
    def test_reads_every_kernel(self):
        result, found = run(SAMPLE)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual([(k["kernel"], k["arch"]) for k in found],
                         [(name, arch) for arch in ("sm_80", "sm_90", "sm_120") for name in ("other", "probe")])
        self.assertEqual(found[0], {"source": "sample", "kernel": "other", "arch": "sm_80", "stack": 512,
                                    "spill_stores": 916, "spill_loads": 1016, "registers": 32, "shared": 0})
        # The function without spills and stack that follows it is no kernel.
        self.assertEqual(found[1], {"source": "sample", "kernel": "probe", "arch": "sm_80", "stack": 160,
                                    "spill_stores": 0, "spill_loads": 0, "registers": 40, "shared": 1024})
        self.assertEqual((found[4]["registers"], found[4]["spill_stores"]), (64, 372))

    def test_refuses_a_kernel_of_which_nothing_is_said(self):
        lines = SAMPLE.splitlines(keepends=True)
        for unwanted in ("Used 40 registers", "160 bytes stack frame"):
            cut = "".join(line for line in lines if unwanted not in line)
            result, found = run(cut)
            self.assertEqual(result.returncode, 1)
            self.assertIn("nothing about probe for sm_80", result.stderr)
            self.assertIsNone(found)

    def test_a_file_without_kernels_has_none(self):
        self.assertEqual(run("ptxas info    : 0 bytes gmem\n")[1], [])


if __name__ == "__main__":
    unittest.main()
