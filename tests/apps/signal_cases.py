"""Stopped half way, by Ctrl-C or worse: nothing half written stays, what was there stays."""
import os
import random
import resource
import signal
import struct
import time

import faults
import tiny_model as tiny
from harness import INTERRUPTED, IO, Case, start

BIG = tiny.LLAMA | {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 4,
                    "num_attention_heads": 16, "num_key_value_heads": 4,
                    "max_position_embeddings": 8192, "eos_token_id": None}


class Signals(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        rng = random.Random(3)
        block = struct.pack("<32768e", *(rng.gauss(0, 0.05) for _ in range(32768)))
        entries = {}
        for name, shape in tiny.shapes(BIG).items():
            size = 2 * shape[0] * (shape[1] if len(shape) == 2 else 1)
            entries[name] = ("F16", shape, (block * (size // len(block) + 1))[:size])
        cls.source = tiny.write_folder(cls.shared / "big", BIG, entries)

    def stop_conversion(self, number, *options):
        """Sends the signal as soon as the work on tensors has begun."""
        process = start("sqconv", self.source, "-o", self.folder / "m.sqf", "-t", "1", *options)
        deadline = time.monotonic() + 60
        while not any(".tmp-" in name for name in os.listdir(self.folder)):
            self.assertIsNone(process.poll(), "ended before it was stopped")
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.001)
        process.send_signal(number)
        _, err = process.communicate(timeout=600)
        return process.returncode, err

    def test_interrupted_conversion_leaves_nothing(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            code, err = self.stop_conversion(number)
            self.assertEqual(code, INTERRUPTED, err)
            self.assertIn(b"nothing was written", err)
            self.assertEqual(os.listdir(self.folder), [])

    def test_existing_output_outlives_every_signal(self):
        target = self.folder / "m.sqf"
        target.write_bytes(b"kept")
        self.assertEqual(self.stop_conversion(signal.SIGINT, "--force")[0], INTERRUPTED)
        self.assertEqual(os.listdir(self.folder), ["m.sqf"])
        self.assertEqual(self.stop_conversion(signal.SIGKILL, "--force")[0], -signal.SIGKILL)
        self.assertEqual(target.read_bytes(), b"kept")
        # What a killed process left beside it is in nobody's way, and goes.
        self.call("sqconv", self.source, "-o", target, "--force", "-q", "--range", "minmax")
        self.call("sqcheck", target)
        self.assertEqual(os.listdir(self.folder), ["m.sqf"])

    def test_second_signal_ends_at_once(self):
        target = self.folder / "m.sqf"
        target.write_bytes(b"kept")
        for first, second in ((signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT)):
            process = start("sqconv", self.source, "-o", target, "-q", "--force", "--range", "minmax",
                            env=faults.environment("fallocate:1:delay-20000"))
            while not any(".tmp-" in name for name in os.listdir(self.folder)):
                self.assertIsNone(process.poll())
                time.sleep(0.001)
            begun = time.monotonic()
            process.send_signal(first)
            time.sleep(0.3)
            self.assertIsNone(process.poll(), "the first one waits")
            process.send_signal(second)
            process.communicate(timeout=600)
            self.assertEqual(process.returncode, -second)
            self.assertLess(time.monotonic() - begun, 15)
            self.assertEqual(target.read_bytes(), b"kept")
            for path in self.folder.glob(".m.sqf.tmp-*"):
                path.unlink()

    def test_ignored_signals_stay_ignored(self):
        """nohup, and what a script runs in the background."""
        target = self.folder / "m.sqf"
        process = start("sqconv", self.source, "-o", target, "-q", "--range", "minmax",
                        preexec_fn=lambda: [signal.signal(n, signal.SIG_IGN) for n in (signal.SIGHUP, signal.SIGINT)])
        while not any(".tmp-" in name for name in os.listdir(self.folder)):
            self.assertIsNone(process.poll())
            time.sleep(0.001)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=600)
        self.assertEqual(process.returncode, 0, err)
        self.call("sqcheck", target)

    def test_file_size_limit(self):
        limit = 100000
        process = start("sqconv", self.source, "-o", self.folder / "m.sqf", "-q",
                        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        _, err = process.communicate(timeout=600)
        self.assertEqual(process.returncode, IO, err)
        self.assertIn(b"m.sqf: cannot reserve space: File too large", err)
        self.assertEqual(os.listdir(self.folder), [])

    def test_interrupted_generation(self):
        target = self.folder / "m.sqf"
        self.call("sqconv", self.source, "-o", target, "-q", "--range", "minmax")
        text = self.folder / "t.txt"
        text.write_text("hello world " * 5000)
        for args in ([target, "-p", "hello", "-n", "8000", "-t", "1", "-c", "8192"],
                     ["bench", target, "-p", "8", "-n", "64", "-r", "10000", "-t", "1"],
                     ["ppl", target, text, "--window", "64", "-t", "1"]):
            process = start("sqrun", *args)
            if "-p" in args[:2]:
                process.stdout.read(1)  # the first text
            else:
                time.sleep(0.7)
            self.assertIsNone(process.poll(), args)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=600)
            self.assertEqual(process.returncode, INTERRUPTED, err)
