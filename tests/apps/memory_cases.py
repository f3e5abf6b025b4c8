"""What a conversion says that it takes of memory: it takes no more, and not below half of it; too much
is refused before the work, and a system that does not give it ends the program in order."""
import json
import re
import resource
import time

import tiny_model as tiny
import harness
from harness import IO, USAGE, Case, start

CONFIG = tiny.LLAMA | {"hidden_size": 512, "intermediate_size": 1536, "num_attention_heads": 8,
                       "num_key_value_heads": 8, "num_hidden_layers": 1}


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
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, IO, err)
        self.assertIn(b"the system does not give that much", err)
        self.assertEqual(list(self.folder.iterdir()), [])
