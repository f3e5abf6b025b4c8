#!/usr/bin/env python3
"""sqrun --device cuda from the prompt to the text, on small models of every architecture and composition: the tokens of the
CPU's exact path, on the driver that SQF_LIBCUDA names.

usage: device_test.py FOLDER [TEST ...]      FOLDER holds the built programs
"""
import json
import pathlib
import signal
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "apps"))
import harness
import tiny_model as tiny
from harness import INTERRUPTED, Case, start

PROMPT = "hello, world: the quick brown fox jumps over the lazy dog"  # more tokens than decoding takes at once
GREEDY = ["-p", PROMPT, "-n", "24", "--temp", "0", "--exact", "--json"]
CALIBRATED = ["--calib-window", "32", "--calib-tokens", "320", "--search-tokens", "128"]
MODELS = {"llama": (tiny.LLAMA, "F16"), "qwen2": (tiny.QWEN2, "F16"), "qwen3": (tiny.QWEN3, "BF16"),
          "ragged": (tiny.RAGGED | {"head_dim": 24}, "F32")}
COMPOSITIONS = {"3 bits": ["--bits", "3"], "5 bits": ["--bits", "5"], "8 bits": ["--bits", "8"],
                "minifloats": ["--grid", "e2m1"], "a table": ["--grid", "nf4"], "ternary": ["--grid", "ternary"],
                "as they are": ["--method", "none"], "low rank": ["--lorc", "8"]}
CALIBRATED = ["--calib-window", "32", "--calib-tokens", "320", "--search-tokens", "128"]


class Text(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folders = {name: tiny.write_folder(cls.shared / name, config, dtype=dtype)
                       for name, (config, dtype) in MODELS.items()}
        cls.text = cls.shared / "text.txt"
        cls.text.write_text("".join(f"line {i}: hello, world, {i * i}\n" for i in range(100)))

    def convert(self, model, *options):
        path = self.folder / "m.sqf"
        self.call("sqconv", self.folders[model], "-o", path, "--force", "-q", *options)
        return path

    def answer(self, path, device, *more):
        return json.loads(self.call("sqrun", path, *GREEDY, "--device", device, *more))["text"]

    def expect_same(self, path, *more):
        text = self.answer(path, "cpu")
        self.assertEqual(self.answer(path, "cuda", *more), text)
        return text

    def test_every_architecture(self):
        for model in MODELS:
            with self.subTest(model=model):
                self.expect_same(self.convert(model))

    def test_every_composition(self):
        for name, options in COMPOSITIONS.items():
            with self.subTest(composition=name):
                self.expect_same(self.convert("llama", *options))

    def test_smoothed_layers(self):
        self.expect_same(self.convert("llama", "--method", "awq", "--calib", self.text, *CALIBRATED))

    def perplexity(self, path, device):
        return json.loads(self.call("sqrun", "ppl", path, self.text, "--window", "32", "--windows", "4", "--exact", "--json",
                                    "--device", device))["perplexity"]

    def test_perplexity(self):
        path = self.convert("llama")
        self.assertAlmostEqual(self.perplexity(path, "cuda") / self.perplexity(path, "cpu"), 1, delta=1e-4)

    def test_quantized_activations(self):
        """Where the two sides differ in a last bit an activation rounds the other way, and a model of random weights
        makes another text of it: what they make of a text is compared. Sums to the bit are cuda_test's matter."""
        apart = 1e-2
        whole = self.perplexity(self.convert("llama", "--bits", "8"), "cpu")
        for options, counts in ((["--bits", "8", "--act", "int4"], True), (["--bits", "8", "--act", "int8"], False),
                                (["--method", "smoothquant", "--calib", self.text, *CALIBRATED], False),
                                (["--method", "quik", "--calib", self.text, *CALIBRATED], False)):
            with self.subTest(options=options):
                path = self.convert("llama", *options)
                wanted = self.perplexity(path, "cpu")
                if counts:  # a GPU that left the rounding out would be told
                    self.assertGreater(abs(wanted / whole - 1), 3 * apart)
                self.assertAlmostEqual(self.perplexity(path, "cuda") / wanted, 1, delta=apart)

    def test_layers_on_the_cpu(self):
        self.expect_same(self.convert("qwen3"), "--gpu-layers", "1")
        self.expect_same(self.convert("llama", "--lorc", "4"), "--gpu-layers", "1")

    def test_sampled_text(self):
        path = self.convert("qwen2")
        drawn = [self.call("sqrun", path, "-p", PROMPT, "-n", "24", "--temp", "0.8", "--seed", "7", "--exact", "-q",
                           "--device", device) for device in ("cpu", "cuda")]
        self.assertEqual(*drawn)

    def test_conversation(self):
        path = self.convert("llama")
        said = [self.call("sqrun", path, "--chat", "-n", "12", "--temp", "0", "--exact", "-q", "--device", device,
                          stdin=b"hello\nhow are you?\n") for device in ("cpu", "cuda")]
        self.assertEqual(*said)

    def test_stopped_half_way(self):
        path = self.convert("llama")
        process = start("sqrun", path, "-p", "hello", "-n", "100", "--temp", "0", "--device", "cuda")
        self.assertTrue(process.stdout.read(1))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, INTERRUPTED, err)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    harness.PROGRAMS = pathlib.Path(sys.argv[1]).resolve()
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[2:]])
