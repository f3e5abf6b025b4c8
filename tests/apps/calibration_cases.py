"""sqconv calibrate, --calib and --stats: the two ways agree, the file says where it comes from, and
what cannot be calibrated is refused before anything is written."""
import json
import pathlib
import signal

import tiny_model as tiny
from harness import INTERRUPTED, IO, MALFORMED, USAGE, Case, start

OPTIONS = ["--calib-window", "32", "--calib-tokens", "320"]


class Calibration(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = tiny.write_folder(cls.shared / "llama")
        cls.ragged = tiny.write_folder(cls.shared / "ragged", tiny.RAGGED, dtype="BF16")
        cls.text = cls.shared / "text.txt"
        cls.text.write_text("".join(f"line {i}: hello, world, {i * i}\n" for i in range(100)))

    def test_both_ways_give_the_same_file(self):
        for model in (self.model, self.ragged):
            stats, one, two = (self.folder / name for name in ("stats.sqc", "one.sqf", "two.sqf"))
            calib = ["--calib", self.text, "--calib-lines", "0:60", *OPTIONS]
            self.call("sqconv", "calibrate", model, *calib, "-o", stats, "-t", "1", "--force")
            again = self.folder / "again.sqc"
            self.call("sqconv", "calibrate", model, *calib, "-o", again, "-t", "3", "--force")
            self.assertEqual(stats.read_bytes(), again.read_bytes())
            self.call("sqconv", model, "-o", one, "--force", "-q", "--stats", stats, "-t", "2")
            out = self.call("sqconv", model, "-o", two, "--force", "--json", *calib)
            self.assertEqual(one.read_bytes(), two.read_bytes())
            self.call("sqcheck", one)
            self.call("sqrun", one, "-p", "hello", "-n", "4")
            plain = self.folder / "plain.sqf"
            self.call("sqconv", model, "-o", plain, "--force", "-q")
            self.assertNotEqual(plain.read_bytes(), one.read_bytes())
            calibrated = {t["name"] for t in json.loads(out)["tensors"] if t["calibrated"]}
            self.assertIn("model.layers.1.mlp.down_proj.weight", calibrated)
            self.assertEqual("model.embed_tokens.weight" in calibrated, model == self.ragged)
            # CALB stands in the file as plain JSON, and META says what it was for.
            data = one.read_bytes()
            start = data.index(b'{"length":32,')
            said, _ = json.JSONDecoder().raw_decode(data[start:start + 1000].decode("latin-1"))
            self.assertEqual((said["windows"], said["text"]["name"]), (10, "text.txt"))
            self.assertEqual(said["text"]["line_range"], [0, 60])
            self.assertIn(b'"importance":{"of":"mean square of the input","tokens":320}', data)

    def test_dry_run_says_what_is_calibrated(self):
        out = self.call("sqconv", self.model, "--dry-run", "--calib", self.text, *OPTIONS)
        self.assertEqual(out.count(b", calibrated,"), 8)  # seven matrices and the head
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_few_tokens_are_told(self):
        self.call("sqconv", self.model, "--dry-run", "--calib", self.text, "--calib-window", "128",
                  words=["warning", "256 were asked for"])

    def test_perplexity_says_what_was_calibrated_on(self):
        file = self.folder / "m.sqf"
        self.call("sqconv", self.model, "-o", file, "--calib", self.text, *OPTIONS, "--calib-lines", "0:60")
        other = self.folder / "other.txt"
        other.write_bytes(self.text.read_bytes() + b"more\n")
        for text, lines, known in ((self.text, "50%-100%", True), (self.text, "60%-100%", False),
                                   (other, "0%-100%", False)):
            with self.subTest(text=text.name, lines=lines):
                command = ["ppl", file, text, "--lines", lines, "--window", "16", "--windows", "1", "--json"]
                process = start("sqrun", *command)
                out, err = process.communicate(timeout=600)
                self.assertEqual(process.returncode, 0, err)
                self.assertEqual(json.loads(out)["calibrated_on"], known)
                self.assertEqual(b"calibrated on some of these lines" in err, known)

    def test_time_budget(self):
        def convert(name, *options):
            self.call("sqconv", self.model, "-o", self.folder / name, "--calib", self.text, *OPTIONS,
                      "--round", "gptq", *options)
            return (self.folder / name).read_bytes()

        # Enough for all of the text: the same bytes as without.
        self.assertEqual(convert("a.sqf", "--time-budget", "1h30m"), convert("b.sqf"))
        for budget, words in (("0.001s", ["one window alone takes about"]), ("10", ["90s, 10m or 1h30m"]),
                              ("m", ["90s, 10m or 1h30m"]), ("0s", ["90s, 10m or 1h30m"])):
            self.refused("sqconv", self.model, "-o", self.folder / "c.sqf", "--calib", self.text, *OPTIONS,
                         "--round", "gptq", "--time-budget", budget, code=USAGE, words=words)
        self.refused("sqconv", self.model, "-o", self.folder / "c.sqf", "--time-budget", "10m", code=USAGE,
                     words=["nothing here calibrates"])

    def test_interrupted_calibration_leaves_nothing(self):
        config = tiny.LLAMA | {"max_position_embeddings": 4096, "num_hidden_layers": 8}
        model = tiny.write_folder(self.shared / "long", config)
        text = self.shared / "long.txt"
        text.write_bytes(self.text.read_bytes() * 200)
        for options in (["calibrate", model], [model]):
            process = start("sqconv", *options, "-o", self.folder / "out", "--calib", text, "-t", "2",
                            "--calib-tokens", "400000", "--calib-window", "4000")
            # From here on the signal is caught; the pass over the text takes seconds.
            caught = 0
            while not caught >> (signal.SIGINT - 1) & 1:
                self.assertIsNone(process.poll())
                status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
                caught = int(status.split("SigCgt:")[1].split()[0], 16)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=600)
            self.assertEqual(process.returncode, INTERRUPTED, err)
            self.assertIn(b"calibration stopped", err)
            self.assertEqual(list(self.folder.iterdir()), [])

    def test_refusals(self):
        target = self.folder / "m.sqf"

        def refuse(code, *options, words, model=self.model):
            self.refused("sqconv", model, "-o", target, *options, code=code, words=words)

        empty, broken, stats = (self.folder / n for n in ("empty.txt", "broken.txt", "stats.sqc"))
        empty.write_bytes(b"")
        broken.write_bytes(b"abc\xff")
        self.call("sqconv", "calibrate", self.model, "--calib", self.text, *OPTIONS, "-o", stats)
        calib = ["--calib", self.text, *OPTIONS]
        refuse(USAGE, "--calib", empty, words=['"empty.txt" is empty'])
        refuse(MALFORMED, "--calib", broken, words=["not UTF-8 at byte 3"])
        refuse(USAGE, "--calib", self.text, "--calib-tokens", "511", words=["511 calibration tokens are less"])
        refuse(IO, "--calib", self.folder / "none.txt", words=["none.txt"])
        refuse(USAGE, "--calib", self.text, words=["context is 128"])
        refuse(USAGE, *calib, "--calib-lines", "60:60", words=["60:60"])
        refuse(USAGE, "--calib", self.text, "--calib-window", "128", "--mem-limit", "1", "-t", "2", words=["the limit is 1 MB"])
        refuse(USAGE, *calib, "--method", "none", words=["--range search"])
        refuse(USAGE, *calib, "--range", "minmax", words=["--range search"])
        refuse(USAGE, *calib, "--stats", stats, words=["--stats"])
        refuse(USAGE, "--stats", stats, words=["statistics of another model"], model=self.ragged)
        refuse(MALFORMED, "--stats", self.text, words=["no file of calibration statistics"])
        bare = tiny.write_folder(self.folder / "bare")
        (bare / "tokenizer.json").unlink()
        refuse(USAGE, *calib, words=["has no tokenizer.json"], model=bare)

        again = ["calibrate", self.model, "--calib", self.text, *OPTIONS]
        self.refused("sqconv", *again, "-o", stats, code=IO, words=["stats.sqc"])
        self.refused("sqconv", *again, code=USAGE, words=["--output"])
        self.refused("sqconv", *again, "-o", self.model / "model.safetensors", "--force", code=USAGE,
                     words=["is an input"], target=self.model / "model.safetensors")
        data = bytearray(stats.read_bytes())
        data[len(data) // 2] ^= 1
        stats.write_bytes(data)
        refuse(MALFORMED, "--stats", stats, words=["its hash is another"])
