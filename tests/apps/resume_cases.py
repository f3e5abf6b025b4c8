"""Conversions that are long enough to be killed: --resume goes on where they were, whatever was
torn or damaged, and ends in the bytes of a run that nothing disturbed."""
import collections
import os
import random
import signal
import subprocess
import sys
import time

import faults
import harness
import tiny_model as tiny
from harness import INTERRUPTED, IO, USAGE, Case, start

SEED = 20261122
KILLS = 60
CONFIG = tiny.LLAMA | {"num_hidden_layers": 3}
# Every kind of thing that is kept: alone, and all of them together.
METHODS = {
    "gptq": ["--method", "gptq", "--group", "32"],
    "awq": ["--method", "awq", "--group", "32", "--round", "gptq", "--search-tokens", "64", "--lorc", "4"],
    "quik": ["--method", "quik", "--outliers", "1/16", "--lorc", "2", "--lorc-type", "f16"],
    "awq clip": ["--method", "awq", "--group", "32", "--range", "clip", "--scale", "u8", "--factor", "row", "--search-tokens", "64"],
    "smoothquant+": ["--method", "smoothquant+", "--group", "32", "--search-tokens", "64"],
}
SLOW = ",".join(f"{kind}:0+:delay-{ms}" for kind, ms in (
    ("create", 2), ("pwrite", 2), ("fsync", 4), ("rename", 4), ("unlink", 6), ("fsync_folder", 2)))


class Resume(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = tiny.write_folder(cls.shared / "tiny", CONFIG)
        cls.other = tiny.write_folder(cls.shared / "other", CONFIG, seed=2)
        cls.text = cls.shared / "text.txt"
        cls.text.write_text("".join(f"line {i}: hello, world, {i * i}\n" for i in range(100)))
        cls.calib = ["--calib", cls.text, "--calib-window", "32", "--calib-tokens", "320"]
        cls.whole = {}

    def setUp(self):
        super().setUp()
        self.target = self.folder / "m.sqf"
        self.work = self.folder / "m.sqf.work"

    def command(self, method, *options, model=None):
        """Options that are given take the place of the usual ones."""
        usual = [*self.calib, *METHODS[method]]
        pairs = [pair for pair in zip(usual[::2], usual[1::2]) if pair[0] not in options]
        return [model or self.model, "-o", self.target, "-q", *sum(pairs, ()), *options]

    def undisturbed(self, method):
        if method not in self.whole:
            self.call("sqconv", *self.command(method))
            self.assertEqual(os.listdir(self.folder), ["m.sqf"])
            self.call("sqcheck", self.target)
            Resume.whole[method] = self.target.read_bytes()
            self.target.unlink()
        return self.whole[method]

    def finish(self, method, *options, words=()):
        self.call("sqconv", *self.command(method, "--resume", *options), words=words)
        self.assertEqual(os.listdir(self.folder), ["m.sqf"])
        self.assertEqual(self.target.read_bytes(), self.undisturbed_of(method))

    def stop_with(self, method, kind, count):
        """Lets a call fail as if the disk were full: the work up to it is kept."""
        self.call("sqconv", *self.command(method, "--resume"), code=IO, words=["--resume"],
                  env=faults.environment(f"{kind}:{count}+:ENOSPC"))
        self.assertFalse(self.target.exists())
        return {p.name: p.stat().st_size for p in self.work.iterdir()}

    def calls(self, method, kind):
        """How many such calls an undisturbed run makes."""
        log = self.shared / "log"
        self.call("sqconv", *self.command(method), env=faults.environment("", log))
        self.target.unlink()
        return sum(call[0] == kind for call in faults.calls(log))

    def test_kills(self):
        """At random moments, again and again; between any two calls."""
        rng = random.Random(SEED)
        met = collections.Counter()
        for method in METHODS:
            whole = self.undisturbed(method)
            begun = time.monotonic()
            self.call("sqconv", *self.command(method), env=faults.environment(SLOW))
            took = time.monotonic() - begun
            self.target.unlink()
            for _ in range(max(1, KILLS // len(METHODS) // harness.EVERY)):
                runs = 0
                while True:
                    process = start("sqconv", *self.command(method, "--resume", "-t", str(rng.choice((1, 3)))),
                                    env=faults.environment(SLOW))
                    # A share of what is left mostly, so that runs come to an end.
                    moment = rng.uniform(0, took * 1.1) if runs < 8 else 60
                    try:
                        process.communicate(timeout=moment)
                    except subprocess.TimeoutExpired:
                        process.kill()
                    _, err = process.communicate()
                    runs += 1
                    if process.returncode == 0:
                        break
                    self.assertEqual(process.returncode, -signal.SIGKILL, err)
                    left = set(os.listdir(self.work)) if self.work.exists() else set()
                    met[next((n for n in ("stream", "inputs", "tensors", "key") if n in left), "nothing")] += 1
                    if self.target.exists():
                        met["in place"] += 1
                        if not self.work.exists():
                            break
                self.assertEqual(self.target.read_bytes(), whole)
                self.assertEqual(os.listdir(self.folder), ["m.sqf"])
                self.target.unlink()
        print(f"{sum(met.values())} kills, what they left: {dict(met)}", file=sys.stderr)
        for kind in ("stream", "inputs", "tensors") if harness.EVERY == 1 else ():
            self.assertGreater(met[kind], 0, met)

    def test_killed_searches(self):
        """In the midst of a search: the sites that were done stay as they are, and the bytes are the same."""
        for method in ("awq", "awq clip"):
            self.undisturbed(method)
            before = b""
            for sites in (1, 3, 6):
                process = start("sqconv", *self.command(method, "--resume"), env=faults.environment("pwrite:0+:delay-20"))
                records = self.work / "tensors"
                # A site's factors take 256 bytes at least.
                while not records.exists() or records.stat().st_size < 256 * sites:
                    self.assertIsNone(process.poll())
                    time.sleep(0.001)
                process.kill()
                process.communicate()
                self.assertFalse((self.work / "inputs").exists())
                data = records.read_bytes()
                self.assertTrue(data.startswith(before))
                before = data[:256 * sites]
            self.finish(method)
            self.target.unlink()

    def test_disk_full_at_every_write(self):
        for method in ("gptq", "awq"):
            self.undisturbed(method)
            for kind in ("pwrite", "rename", "fsync", "fallocate"):
                count = self.calls(method, kind)
                self.assertGreater(count, 3)
                for number in range(1, count + 1, max(1, count * harness.EVERY // 12)):
                    process = start("sqconv", *self.command(method, "--resume"),
                                    env=faults.environment(f"{kind}:{number}+:ENOSPC"))
                    _, err = process.communicate(timeout=600)
                    self.assertEqual(process.returncode, IO, (kind, number, err))
                    self.finish(method)
                    self.target.unlink()

    def test_work_is_not_done_again(self):
        """What was kept is what is used: a journal with all tensors needs no text pass, no rounding."""
        last = self.calls("awq", "rename")
        self.stop_with("awq", "rename", last - 1)
        left = {p.name: (p.stat().st_mtime_ns, p.stat().st_ino) for p in self.work.iterdir()}
        self.assertEqual(set(left), {"key", "stats.sqc", "inputs", "tensors", "stream"})
        self.call("sqconv", *self.command("awq", "--resume"), code=IO, env=faults.environment("rename:1+:EIO"))
        again = {p.name: (p.stat().st_mtime_ns, p.stat().st_ino) for p in self.work.iterdir()}
        self.assertEqual(again, left)
        self.finish("awq")

    def test_damage(self):
        rng = random.Random(SEED)
        self.undisturbed("awq")
        last = self.calls("awq", "rename")
        seen = collections.Counter()
        for trial in range(40 // harness.EVERY):
            self.stop_with("awq", "rename", rng.choice((last - 1, last - 2, last - 3)))
            path = rng.choice(sorted(p for p in self.work.iterdir() if p.name != "key"))
            data = bytearray(path.read_bytes())
            at = rng.randrange(len(data))
            way = rng.choice(("flip", "cut", "zeros", "gone", "longer"))
            if way == "flip":
                data[at] ^= 1 << rng.randrange(8)
            elif way == "cut":
                del data[at:]
            elif way == "zeros":
                data[at:] = bytes(len(data) - at)
            elif way == "longer":
                data += rng.randbytes(rng.randrange(1, 200))
            path.write_bytes(data)
            if way == "gone":
                path.unlink()
            seen[way] += 1
            self.finish("awq")
            self.target.unlink()
        self.assertTrue(len(seen) == 5 or harness.EVERY > 1)

    def test_damaged_key(self):
        self.stop_with("gptq", "rename", self.calls("gptq", "rename") - 1)
        data = bytearray((self.work / "key").read_bytes())
        data[30] ^= 1
        (self.work / "key").write_bytes(data)
        self.call("sqconv", *self.command("gptq", "--resume"), code=1, words=["key: is damaged", "--force"])
        self.call("sqconv", *self.command("gptq", "--force"))
        self.assertEqual(self.target.read_bytes(), self.undisturbed_of("gptq"))

    def test_other_work_is_refused_by_name(self):
        self.stop_with("gptq", "rename", self.calls("gptq", "rename") - 1)
        text = self.folder / "text.txt"
        text.write_text(self.text.read_text() + "more\n")
        stats = self.folder / "stats.sqc"
        self.call("sqconv", "calibrate", self.model, *self.calib, "-o", stats)

        def refuse(*options, words, model=None):
            self.refused("sqconv", *self.command("gptq", *options, model=model), code=USAGE, words=words)

        refuse(words=["from an earlier run: --resume continues it, --force starts anew"])
        refuse("--resume", "--bits", "3", words=['of another conversion: --bits was "", is "3"'])
        refuse("--resume", "--damping", "0.02", words=["--damping was 0.01, is 0.02"])
        refuse("--resume", "--rule", "down_proj=bits=8", words=["--rule was [], is"])
        refuse("--resume", "--calib-tokens", "288", words=["--calib-tokens was 320, is 288"])
        refuse("--resume", "--calib-lines", "0:90", words=["--calib was"])
        refuse("--resume", "--calib", text, words=["--calib was"])
        refuse("--resume", "--stats", stats, words=["--stats was nothing"])
        refuse("--resume", "--compress", words=["--compress was false, is true"])
        refuse("--resume", words=["model's weights was"], model=self.other)
        text.unlink()
        stats.unlink()
        self.finish("gptq", "-t", "3")

    def test_folder_of_somebody_else(self):
        self.work.mkdir()
        (self.work / "notes.txt").write_text("mine")
        for options in ((), ("--resume",), ("--force",)):
            self.refused("sqconv", *self.command("gptq", *options), code=USAGE, words=['"notes.txt"'])
        (self.work / "notes.txt").unlink()
        self.work.rmdir()
        self.work.symlink_to(self.shared)
        self.refused("sqconv", *self.command("gptq", "--resume"), code=IO, words=["m.sqf.work"])

    def test_two_at_once(self):
        process = start("sqconv", *self.command("gptq"), env=faults.environment("fsync:4:delay-3000"))
        while not (self.work / "key").exists():
            self.assertIsNone(process.poll())
            time.sleep(0.001)
        self.call("sqconv", *self.command("gptq", "--resume"), code=USAGE, words=["another run is at work on it"])
        self.call("sqconv", *self.command("gptq", "--force"), code=USAGE, words=["another run is at work on it"])
        _, err = process.communicate(timeout=600)
        self.assertEqual(process.returncode, 0, err)
        self.assertEqual(self.target.read_bytes(), self.undisturbed_of("gptq"))

    def undisturbed_of(self, method):
        data = self.target.read_bytes()
        self.target.unlink()
        whole = self.undisturbed(method)
        self.target.write_bytes(data)
        return whole

    def test_interrupted(self):
        """Ctrl-C says how to go on once there is something to go on with."""
        process = start("sqconv", *self.command("gptq"), env=faults.environment("rename:4+:delay-300"))
        while not (self.work / "stats.sqc").exists():
            self.assertIsNone(process.poll())
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=600)
        self.assertEqual(process.returncode, INTERRUPTED, err)
        self.assertIn(b"the same command with --resume goes on from there", err)
        self.assertEqual(os.listdir(self.folder), ["m.sqf.work"])
        self.finish("gptq")

    def test_plain_work(self):
        """Without a forward pass nothing is kept, unless it is asked for."""
        plain = [self.model, "-o", self.target, "-q"]
        log = self.shared / "log"
        self.call("sqconv", *plain, env=faults.environment("", log))
        whole = self.target.read_bytes()
        self.assertEqual(sum(call[0] == "rename" for call in faults.calls(log)), 1)
        self.target.unlink()
        self.call("sqconv", *plain, "--resume", code=IO, words=["--resume"],
                  env=faults.environment("rename:4:EIO"))
        self.assertTrue((self.work / "tensors").exists())
        self.call("sqconv", *plain, "--resume")
        self.assertEqual(self.target.read_bytes(), whole)
        self.assertEqual(os.listdir(self.folder), ["m.sqf"])
        self.refused("sqconv", *plain, "--resume", code=IO, words=["exists already"])
        self.call("sqconv", *plain, "--resume", "--force")
        self.assertEqual(self.target.read_bytes(), whole)

    def test_errors_of_the_model_leave_nothing(self):
        entries = tiny.tensors(CONFIG)
        name = "model.layers.2.mlp.down_proj.weight"
        dtype, shape, data = entries[name]
        entries[name] = (dtype, shape, data[:-2] + b"\x00\x7e")
        broken = tiny.write_folder(self.shared / "broken", CONFIG, entries)
        self.refused("sqconv", *self.command("gptq", model=broken), code=1, words=["is not finite"])
        self.assertEqual(os.listdir(self.folder), [])
