"""What sqcheck and sqrun must refuse: files that are none, damaged files, prompts and options that
cannot be. Whatever the bytes, a program ends by itself with one of the documented codes."""
import json
import os
import random
import subprocess

import harness
import tiny_model as tiny
from harness import IO, MALFORMED, UNSUPPORTED, USAGE, Case

SHORT = ("-p", "hello", "-n", "3", "--temp", "0", "-t", "1", "-q")


class Files(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        config = tiny.LLAMA | {"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 48}
        source = tiny.write_folder(cls.shared / "m", config)
        cls.model = cls.shared / "m.sqf"
        subprocess.run([harness.PROGRAMS / "sqconv", source, "-o", cls.model, "-q", "--head", "bits=3"], check=True)
        cls.good = cls.model.read_bytes()

    def code(self, program, *args):
        done = subprocess.run([harness.PROGRAMS / program, *args], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, timeout=600)
        self.assertIn(done.returncode, range(6), f"{program} {args}: {done.stderr.decode(errors='replace')}")
        self.assertEqual(done.returncode == 0, b"error" not in done.stderr and b"sqcheck:" not in done.stderr)
        return done.returncode

    def places(self):
        """Every byte of the header and section table, then every so many, and the last ones."""
        size = len(self.good)
        return [*range(0, 700), *range(700, size, max(1, size // 600)), *range(size - 70, size)]

    def test_every_flipped_byte_is_found(self):
        rng, file = random.Random(7), self.folder / "f.sqf"
        for at in self.places():
            data = bytearray(self.good)
            data[at] ^= 1 << rng.randrange(8)
            file.write_bytes(data)
            self.assertIn(self.code("sqcheck", file), (MALFORMED, UNSUPPORTED), f"byte {at}")

    def test_no_flipped_byte_ends_sqrun_by_a_signal(self):
        rng, file = random.Random(8), self.folder / "f.sqf"
        for at in self.places():
            data = bytearray(self.good)
            data[at] = rng.choice([0, 255, data[at] ^ 128, data[at] ^ 1])
            file.write_bytes(data)
            self.code("sqrun", file, *SHORT)

    def test_truncation_and_surplus(self):
        file, size = self.folder / "f.sqf", len(self.good)
        for length in [*range(0, 700, 9), *range(700, size, size // 200), size - 1]:
            file.write_bytes(self.good[:length])
            for args in (("sqcheck", file), ("sqcheck", "--quick", file), ("sqrun", file, *SHORT)):
                self.assertEqual(self.code(*args), MALFORMED, f"{args} of {length} bytes")
        for more in (b"\0", bytes(4096), self.good):
            file.write_bytes(self.good + more)
            self.assertEqual(self.code("sqcheck", file), MALFORMED)
            self.assertEqual(self.code("sqrun", file, *SHORT), MALFORMED)

    def test_findings_are_named(self):
        data = bytearray(self.good)
        data[-200] ^= 4
        file = self.folder / "f.sqf"
        file.write_bytes(data)
        found = json.loads(self.call("sqcheck", "--json", file, code=MALFORMED))
        self.assertFalse(found["good"])
        self.assertTrue(all(f["rule"] >= 100 and f["message"] for f in found["findings"]))
        self.assertTrue(any(".weight" in f["message"] for f in found["findings"]), found)
        self.call("sqcheck", "--quick", file)

    def test_files_that_are_none(self):
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        (self.folder / "empty").write_bytes(b"")
        (self.folder / "m.gguf").write_bytes(b"GGUF" + bytes(200))
        (self.folder / "m.txt").write_bytes(b"once upon a time" * 100)
        cases = [(self.folder / "absent", IO, "No such file"), (self.folder, IO, "not a regular file"),
                 (fifo, IO, "not a regular file"), (self.folder / "empty", MALFORMED, "empty"),
                 (self.folder / "m.gguf", MALFORMED, "R1"), (self.folder / "m.txt", MALFORMED, "R1")]
        for path, code, *words in cases:
            for program, args in [("sqcheck", [path]), ("sqcheck", ["info", path]), ("sqcheck", ["--quick", path]),
                                  ("sqrun", [path, *SHORT]), ("sqrun", ["bench", path]), ("sqrun", ["ppl", path, path])]:
                if "ppl" in args and (path == fifo or code == IO): continue
                with self.subTest(path=path.name, program=program, args=args[0]):
                    self.call(program, *args, code=code, words=[path.name, *(words if "ppl" not in args else [])])

    def test_prompts(self):
        m = self.model
        text = self.folder / "p.txt"
        text.write_bytes(b"")
        self.call("sqrun", m, "-p", "", code=USAGE, words=["prompt is empty"])
        self.call("sqrun", m, "-p", "-", code=USAGE, words=["prompt is empty"])
        self.call("sqrun", m, "-f", text, code=USAGE, words=["prompt is empty"])
        self.call("sqrun", m, "-f", self.folder / "absent", code=IO, words=["absent"])
        self.call("sqrun", m, "-f", self.folder, code=IO, words=[self.folder.name])
        text.write_bytes(b"caf\xe9 and more")
        for option in (["-f", text], ["-p", "caf\udce9 and more"], ["-p", "caf\udce9", "--chat"]):
            where = "p.txt" if "-f" in option else "prompt"
            self.call("sqrun", m, *option, code=MALFORMED, words=[where + ": not UTF-8 at byte 3"])
        self.call("sqrun", m, "--chat", stdin=b"caf\xe9\n", code=MALFORMED, words=["prompt: not UTF-8 at byte 3"])
        self.call("sqrun", m, "--chat", "--system", "\udcff", "-p", "a", code=MALFORMED, words=["--system: not UTF-8"])
        long = "hello " * 30
        self.call("sqrun", m, "-p", long, "-c", "16", code=USAGE, words=["context 16", "-c"])
        self.call("sqrun", m, "-p", long * 10, "-c", "100000", code=USAGE, words=["128"])
        out = json.loads(self.call("sqrun", m, "-p", "ab", "-c", "16", "-n", "500", "--json", "--temp", "0"))
        self.assertLessEqual(out["prompt_tokens"] + out["generated_tokens"], 17)

    def test_run_usage(self):
        m, text = self.model, self.folder / "t.txt"
        text.write_text("hello world\n" * 40)
        for args, *words in [
                ([], "model"), ([m], "prompt"), ([m, "-p"], "-p"), ([m, "-p", "a", "--tempo", "1"], "tempo"),
                ([m, "-p", "a", "--temp", "hot"], "temp"), ([m, "-p", "a", "--temp", "-1"], "temp"),
                ([m, "-p", "a", "--temp", "nan"], "temp"), ([m, "-p", "a", "--top-p", "1.5"], "top-p"),
                ([m, "-p", "a", "--top-k", "-3"], "top-k"), ([m, "-p", "a", "-n", "0"], "--tokens"),
                ([m, "-p", "a", "-n", "99999999999999999999"], "--tokens"), ([m, "-p", "a", "-t", "0"], "-t"),
                ([m, "-p", "a", "-c", "0"], "-c"), ([m, "-p", "a", "--seed", "x"], "seed"), ([m, "extra", "-p", "a"], "extra"),
                (["bench"], "model"), (["bench", m, "-t", "0"], "-t"), (["bench", m, "-p", "-1"], "-p"),
                (["bench", m, "-p", "400"], "128"), (["bench", m, "-r", "0"], "-r"), (["bench", m, "-p", "0", "-n", "0"], "-p"),
                (["ppl"], "model"), (["ppl", m], "text"), (["ppl", m, text, "--window", "1"], "window"),
                (["ppl", m, text, "--window", "4096"], "4096", "128"), (["ppl", m, text, "--window", "16", "--windows", "1000"], "windows"),
                (["ppl", m, text, "--lines", "60-40"], "60-40"), (["ppl", m, text, "--lines", "60%-40%"], "60%-40%")]:
            with self.subTest(" ".join(map(str, args[-2:]))):
                self.call("sqrun", *args, code=USAGE, words=words)
        self.call("sqrun", "ppl", m, self.folder / "absent", code=IO, words=["absent"])
        self.call("sqrun", "ppl", m, self.folder, code=IO, words=[self.folder.name])
        text.write_bytes(b"caf\xe9\n" * 100)
        self.call("sqrun", "ppl", m, text, "--window", "8", code=MALFORMED, words=["UTF-8", text.name])
        for args in ([], ["--fast", m], ["--max-findings", "0", m], ["info"], ["rules", m]):
            with self.subTest(" ".join(map(str, args))):
                self.call("sqcheck", *args, code=USAGE)

    def test_full_standard_output(self):
        source = self.shared / "m"
        for args in (["sqcheck", self.model], ["sqcheck", "rules"], ["sqcheck", "info", self.model],
                     ["sqrun", self.model, *SHORT], ["sqconv", source, "--dry-run"]):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([harness.PROGRAMS / args[0], *args[1:]], stdout=full, stderr=subprocess.PIPE)
            self.assertEqual((done.returncode, b"standard output" in done.stderr), (IO, True), args)

    def test_model_without_tokenizer_or_template(self):
        config = tiny.LLAMA | {"num_hidden_layers": 1}
        folder = tiny.write_folder(self.folder / "m", config)
        (folder / "tokenizer_config.json").unlink()
        target = self.folder / "m.sqf"
        self.call("sqconv", folder, "-o", target, "-q")
        self.call("sqrun", target, "--chat", "-p", "hello", code=USAGE, words=["no chat template"])
        (folder / "tokenizer.json").unlink()
        self.call("sqconv", folder, "-o", target, "-q", "--force")
        self.call("sqcheck", target)
        self.call("sqrun", target, *SHORT, code=MALFORMED, words=["no tokenizer"])
