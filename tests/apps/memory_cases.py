"""What a conversion says that it takes of memory: it takes no more, and not below half of it; too much
is refused before the work, and a system that does not give it ends the program in order."""
import json
import os
import re
import resource
import time

import faults
import tiny_model as tiny
import harness
from harness import IO, USAGE, Case, start

CONFIG = tiny.LLAMA | {"hidden_size": 512, "intermediate_size": 1536, "num_attention_heads": 8,
                       "num_key_value_heads": 8, "num_hidden_layers": 1}


def has_nameless_file(pid):
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            if os.readlink(f"/proc/{pid}/fd/{fd}").endswith("(deleted)"):
                return True
        except FileNotFoundError:
            pass  # closed meanwhile
    return False


class Memory(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = tiny.write_folder(cls.shared / "model", CONFIG)
        text = cls.shared / "text.txt"
        text.write_text("".join(f"line {i}: hello, world, {i * i}\n" for i in range(400)))
        cls.calib = ["--calib", text, "--calib-window", "128", "--calib-tokens", "4096", "-t", "2"]

    def peak(self, *options):
        """Bytes that the program had of its own after the trial."""
        process = start("sqconv", self.model, "-o", self.folder / "m.sqf", "-q", "--force", *options)
        top = 0
        while process.poll() is None:
            with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
                found = re.search(r"RssAnon:\s+(\d+)", file.read())
            if found and (self.folder / "m.sqf.work").exists():
                top = max(top, 1024 * int(found[1]))
            time.sleep(0.0005)
        _, err = process.communicate()
        self.assertEqual(process.returncode, 0, err)
        return top

    def test_takes_what_it_says(self):
        if harness.SANITIZED:
            self.skipTest("sanitizers take memory of their own")
        for method in (["--method", "gptq"], ["--method", "awq"], ["--method", "gptq", "--lorc", "16"]):
            out = self.call("sqconv", self.model, "--dry-run", "--json", *self.calib, *method)
            memory = json.loads(out)["memory"]
            self.assertEqual(memory["bytes"], sum(part["bytes"] for part in memory["parts"]))
            self.assertIn(b" MB of memory, ", self.call("sqconv", self.model, "--dry-run", *self.calib, *method))
            peak = self.peak(*self.calib, *method)
            self.assertLessEqual(peak, memory["bytes"], method)
            self.assertGreaterEqual(peak, memory["bytes"] / 2, method)

    def test_spill(self):
        """What windows carry goes to a file where the limit does not hold it: the same bytes, and nothing stays."""
        text = self.folder / "text.txt"
        text.write_text("".join(f"line {i}: hello, world, {i * i}\n" for i in range(1500)))
        target, work = self.folder / "m.sqf", self.folder / "m.sqf.work"
        command = [self.model, "-o", target, "-q", "--calib", text, "--calib-window", "128", "-t", "2",
                   "--calib-tokens", "16384", "--search-tokens", "2048"]
        for method in (["awq", "--range", "clip", "--group", "32", "--sites", "qkv,down"],
                       ["smoothquant+", "--group", "32", "--sites", "down"]):
            options = [*command, "--method", *method]
            plain = json.loads(self.call("sqconv", *options, "--dry-run", "--json"))["memory"]
            self.assertEqual(plain["disk"], 0)
            limit = ["--mem-limit", plain["bytes"] // 1000000 - 5]
            spilled = json.loads(self.call("sqconv", *options, *limit, "--dry-run", "--json"))["memory"]
            # Every window's stream, three times where a journal keeps them; or those of all candidates.
            streams = 4 * 16384 * 512
            self.assertEqual(spilled["disk"], 3 * streams if method[0] == "awq" else 4 * 13 * 2048 * 512)
            self.assertLess(spilled["bytes"], plain["bytes"])
            said = self.call("sqconv", *options[:3], *options[4:], *limit, "--dry-run").decode()
            self.assertIn(f"{-(-spilled['disk'] // 1000000)} MB of disk beside the output", said)
            if harness.SANITIZED:
                continue
            peak = self.peak(*options[4:])
            whole = target.read_bytes()
            lower = self.peak(*options[4:], *limit)
            self.assertEqual(target.read_bytes(), whole)
            self.assertLessEqual(lower, spilled["bytes"])
            self.assertLess(lower, peak - streams / 2)
            target.unlink()
            self.assertEqual([p.name for p in self.folder.iterdir()], ["text.txt"])
        # Killed while the file is there, it leaves none.
        process = start("sqconv", *options, *limit)
        while not has_nameless_file(process.pid):
            self.assertIsNone(process.poll())
        self.assertEqual([p.name for p in work.iterdir() if "spill" in p.name], [])
        process.kill()
        process.communicate()
        self.call("sqconv", "calibrate", self.model, "-o", self.folder / "a.sqc", *command[4:12])
        self.call("sqconv", "calibrate", self.model, "-o", self.folder / "b.sqc", *command[4:12], "--mem-limit", "45",
                  words=["MB of residual streams go to a file beside"])
        self.assertEqual((self.folder / "a.sqc").read_bytes(), (self.folder / "b.sqc").read_bytes())
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["a.sqc", "b.sqc", "m.sqf.work", "text.txt"])

    def test_spill_on_a_full_disk(self):
        calib = self.calib[:-1] + ["1"]
        for method, limit in (("awq", 45), ("rtn", 25)):
            plain = ["sqconv", self.model, "-o", self.folder / "m.sqf", "-q", *calib, "--method", method]
            memory = json.loads(self.call(*plain, "--dry-run", "--json"))["memory"]
            options = [*plain, "--mem-limit", memory["bytes"] // 1000000 - 1]
            self.assertGreater(json.loads(self.call(*options, "--dry-run", "--json"))["memory"]["disk"], 0)
            name = "m.sqf.work/spill" if method == "awq" else "m.sqf.spill"
            # The journal makes two files first.
            first = 3 if method == "awq" else 1
            for fault, what in ((f"create:{first}:EACCES", "create it: Permission denied"),
                                (f"fallocate:{first}:ENOSPC", "reserve room for it: No space left on device"),
                                ("pwrite:9:ENOSPC", "write it: No space left on device"),
                                ("pwrite:20:EIO", "write it: Input/output error")):
                self.call(*options, code=IO, words=[name + ": cannot " + what], env=faults.environment(fault))
                self.assertEqual(list(self.folder.iterdir()), [], (method, fault))
            self.call(*options, env=faults.environment("pwrite:0+:short" if method == "rtn" else "pwrite:9:EINTR"))
            (self.folder / "m.sqf").unlink()

    def test_limit(self):
        self.refused("sqconv", self.model, "-o", self.folder / "m.sqf", *self.calib, "--method", "gptq", "--mem-limit",
                     "20", code=USAGE,
                     words=["the Gram matrix of 1536 channels", "the limit is 20 MB", "lower --threads"])

    def test_system_that_does_not_give_it(self):
        if harness.SANITIZED:
            self.skipTest("sanitizers take memory of their own")
        limit = 60 << 20
        process = start("sqconv", self.model, "-o", self.folder / "m.sqf", *self.calib, "--method", "gptq",
                        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
        _, err = process.communicate(timeout=600)
        self.assertEqual(process.returncode, IO, err)
        self.assertIn(b"the system does not give that much", err)
        self.assertEqual(list(self.folder.iterdir()), [])
