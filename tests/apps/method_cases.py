"""sqconv --method: every method's file is good and answers, the file says what was done, and what
cannot be done is refused before anything is written."""
import json
import os
import shutil
import signal
import struct
import subprocess

import harness
import tiny_model as tiny
from harness import INTERRUPTED, MALFORMED, USAGE, Case

METHODS = ["rtn", "smoothquant", "smoothquant+", "awq", "gptq", "quik"]
OPTIONS = ["--calib-window", "32", "--calib-tokens", "320", "--search-tokens", "128"]


def objects(path, *keys):
    """The JSON objects in a file's head that have these keys: META, CALB."""
    text = path.read_bytes().split(b"\0" * 64)
    decoder, found = json.JSONDecoder(), []
    for piece in text:
        piece = piece.decode("latin-1")
        for at in (i for i, c in enumerate(piece) if c == "{"):
            try:
                value, _ = decoder.raw_decode(piece[at:])
            except ValueError:
                continue
            if isinstance(value, dict) and all(key in value for key in keys):
                found.append(value)
                break
    return found


class Methods(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = tiny.write_folder(cls.shared / "llama")
        cls.text = cls.shared / "text.txt"
        cls.text.write_text("".join(f"line {i}: hello, world, {i * i}\n" for i in range(100)))
        cls.calib = ["--calib", cls.text, *OPTIONS]

    def convert(self, model, name, *options):
        path = self.folder / f"{name}.sqf"
        self.call("sqconv", model, "-o", path, "--force", "-q", *options)
        return path

    def good(self, path):
        self.call("sqcheck", path)
        self.call("sqrun", path, "-p", "hello", "-n", "4", "--temp", "0")

    def test_every_method_on_every_architecture(self):
        models = [self.model]
        for name, config, dtype in (("ragged", tiny.RAGGED, "BF16"), ("qwen2", tiny.QWEN2, "F16"),
                                    ("qwen3", tiny.QWEN3, "F32")):
            models.append(tiny.write_folder(self.shared / name, config, dtype=dtype))
        for model in models:
            for method in METHODS:
                path = self.convert(model, method, "--method", method, *self.calib)
                self.good(path)
                meta, = objects(path, "quantization", "model")
                self.assertEqual(meta["quantization"]["method"], method)

    def test_compositions(self):
        for name, *options in (
                ("smoothquant", "--round", "gptq", "--lorc", "4"),
                ("smoothquant", "--act", "int8:static", "--alpha", "0.5"),
                ("smoothquant", "--act", "e4m3", "--outliers", "1/16", "--sites", "qkv,o,gate_up,down"),
                ("smoothquant+", "--lorc", "4", "--lorc-type", "f16", "--keep-smoothing"),
                ("awq", "--round", "gptq", "--gptq-order", "natural", "--bits", "3"),
                ("awq", "--round", "gptq", "--range", "clip", "--gptq-order", "natural", "--group", "32"),
                ("rtn", "--range", "clip", "--hessian", "float", "--head", "bits=8,range=clip"),
                ("rtn", "--rule", "down_proj=range=clip,bits=3"),
                ("awq", "--sites", "qkv:apply,o:apply,gate_up:apply,down:apply", "--lorc", "2"),
                ("gptq", "--hessian", "float", "--gptq-order", "ascending", "--damping", "0.1"),
                ("gptq", "--grid", "nf4", "--act", "int8"),
                ("quik", "--bits", "8", "--act", "int8:asym", "--lorc", "4"),
                ("quik", "--round", "nearest", "--act", "int4:asym:tensor"),
                ("quik", "--outliers", "0", "--compress"),
                ("rtn", "--act", "int8:asym", "--bits", "8", "--group", "row", "--zero", "constant")):
            path = self.convert(self.model, "composed", "--method", name, *options, *self.calib)
            self.good(path)

    def test_the_file_says_what_was_done(self):
        path = self.convert(self.model, "a", "--method", "smoothquant", *self.calib)
        meta, = objects(path, "quantization")
        recipe = meta["quantization"]
        self.assertEqual(recipe["smoothing"], {"method": "smoothquant", "sites": "qkv,gate_up,down"})
        self.assertEqual((recipe["activations"], recipe["rounding"]), ("int8", "rtn"))
        calb, = objects(path, "text", "windows")
        self.assertEqual((calb["windows"], calb["length"], calb["text"]["name"]), (10, 32, "text.txt"))
        self.assertEqual([(i["layer"], i["site"]) for i in calb["inputs"]],
                         [(layer, site) for layer in (0, 1) for site in ("qkv", "gate_up", "down")])
        for entry in calb["inputs"]:
            self.assertEqual(entry["smoothing"], "folded")
            self.assertTrue(0 <= entry["alpha"] <= 1)
            self.assertLessEqual(entry["loss"]["after"], entry["loss"]["before"])


        path = self.convert(self.model, "b", "--method", "quik", *self.calib)
        meta, = objects(path, "quantization")
        recipe = meta["quantization"]
        self.assertEqual((recipe["activations"], recipe["outliers"]), ("int4:asym", 0.0625))
        self.assertEqual(recipe["gptq"], {"order": "ascending", "damping": 0.01, "hessian": "quantized"})
        self.assertEqual(recipe["rules"], [["\\.down_proj\\.", "bits=8,act=int8:asym"]])
        calb, = objects(path, "text", "inputs")
        self.assertEqual(len(calb["inputs"]), 8)
        self.assertTrue(all(i["outliers"] == 32 and "alpha" not in i for i in calb["inputs"]))

        path = self.convert(self.model, "c", "--method", "awq", "--alpha", "0.25", "--sites", "o,down:apply",
                            "--act", "int8:static", *OPTIONS, "--calib", self.text)
        calb, = objects(path, "text", "inputs")
        self.assertEqual(len(calb["inputs"]), 8)  # all have a scale
        for entry in calb["inputs"]:
            self.assertGreater(entry["scale"], 0)
            self.assertNotIn("loss", entry)
            self.assertEqual(entry.get("smoothing"), {"o": "folded", "down": "applied"}.get(entry["site"]))
            self.assertEqual(entry.get("alpha"), 0.25 if "smoothing" in entry else None)

        path = self.convert(self.model, "e", "--method", "awq", *self.calib, "--sites", "down")
        recipe = objects(path, "quantization")[0]["quantization"]
        self.assertEqual(recipe["range"], "clip")
        self.assertEqual(recipe["clip"], {"of": "partial dot products of a group", "not": "q, k", "behind": "quantized"})
        path = self.convert(self.model, "f", "--method", "awq", *self.calib, "--sites", "down", "--round", "gptq")
        recipe = objects(path, "quantization")[0]["quantization"]
        self.assertEqual(recipe["range"], "search")
        self.assertNotIn("clip", recipe)

        path = self.convert(self.model, "d", "--method", "gptq", *self.calib, "--lorc", "4", "--range", "minmax")
        meta, = objects(path, "quantization")
        self.assertEqual(meta["quantization"]["lorc"], {"rank": 4, "factors": "i8", "weight": "rms"})

    def test_threads_do_not_matter(self):
        for method in METHODS:
            one, three = (self.convert(self.model, f"{method}{t}", "--method", method, "-t", t, *self.calib)
                          for t in (1, 3))
            self.assertEqual(one.read_bytes(), three.read_bytes(), method)

    def test_statistics_from_a_file(self):
        stats = self.folder / "s.sqc"
        self.call("sqconv", "calibrate", self.model, "--calib", self.text, "--calib-window", "32",
                  "--calib-tokens", "320", "-o", stats)
        for options in (["awq", "--alpha", "0.3", "--range", "search"], ["smoothquant", "--alpha", "0.5"],
                        ["quik", "--round", "nearest"]):
            one = self.convert(self.model, "one", "--method", *options, "--stats", stats)
            two = self.convert(self.model, "two", "--method", *options, *self.calib)
            self.assertEqual(one.read_bytes(), two.read_bytes(), options)
        # Searches and GPTQ take both.
        for method in ("awq", "gptq", "quik"):
            one = self.convert(self.model, "one", "--method", method, "--stats", stats, *self.calib)
            two = self.convert(self.model, "two", "--method", method, *self.calib)
            self.assertEqual(one.read_bytes(), two.read_bytes(), method)
            self.refused("sqconv", self.model, "-o", self.folder / "m.sqf", "--method", method, "--stats",
                         stats, code=USAGE, words=["needs --calib TEXT"])

    def test_plans(self):
        said = {"smoothquant": ["smoothing folded", "reads int8"], "awq": ["smoothing folded", ", clipped"],
                "gptq": ["gptq  4-bit"], "quik": ["f16 columns", "reads int4:asym", "reads int8:asym"]}
        for method in METHODS:
            for calib in (self.calib, []):
                text = self.call("sqconv", self.model, "--dry-run", "--method", method, *calib).decode()
                for word in said.get(method, []):
                    self.assertIn(word, text)
                plan = json.loads(self.call("sqconv", self.model, "--dry-run", "--json", "--method", method,
                                            *calib))
                path = self.folder / "m.sqf"
                if calib:
                    done = json.loads(self.call("sqconv", self.model, "-o", path, "--force", "--json",
                                                "--method", method, *calib))
                    self.assertEqual(done["tensors"], plan["tensors"])
                    self.assertEqual(done["file_bytes"], path.stat().st_size)
                    path.unlink()
        quik = {t["name"]: t for t in plan["tensors"]}["model.layers.1.mlp.down_proj.weight"]
        self.assertEqual((quik["outliers"], quik["rank"], quik["activations"], quik["smoothing"]),
                         (32, 0, "int8:asym", "none"))
        self.assertEqual(list(self.folder.iterdir()), [])
        # Tensors of one kind that are treated differently stand on lines of their own.
        text = self.call("sqconv", self.model, "--dry-run", "--rule", r"\.0\..*q_proj=lorc=4").decode()
        self.assertEqual(text.count("    1 x layers.*.self_attn.q_proj.weight"), 2)

    def test_dead_channels_and_rows_of_zeros(self):
        entries = tiny.tensors(tiny.LLAMA, "F32")

        def zero(name, rows=(), columns=()):
            dtype, shape, data = entries[name]
            values = list(struct.unpack(f"<{len(data) // 4}f", data))
            for i in range(len(values)):
                if i // shape[-1] in rows or i % shape[-1] in columns:
                    values[i] = 0
            entries[name] = (dtype, shape, struct.pack(f"<{len(values)}f", *values))

        # Channels that a norm silences, that up_proj and v_proj never fill, that nobody weighs.
        zero("model.layers.0.input_layernorm.weight", columns=range(5))
        zero("model.layers.1.post_attention_layernorm.weight", columns=range(64))
        zero("model.layers.0.mlp.up_proj.weight", rows=range(30))
        zero("model.layers.0.self_attn.v_proj.weight", rows=range(16))
        zero("model.layers.0.mlp.down_proj.weight", rows=range(20), columns=range(40, 50))
        zero("model.layers.1.self_attn.q_proj.weight", columns=range(64))
        model = tiny.write_folder(self.folder / "dead", entries=entries)
        for method in METHODS:
            path = self.convert(model, method, "--method", method, *self.calib)
            self.good(path)
        for options in (["awq", "--round", "gptq"], ["smoothquant", "--act", "int8:static", "--lorc", "4"]):
            self.good(self.convert(model, "more", "--method", *options, *self.calib))

    def test_refusals(self):
        target = self.folder / "m.sqf"

        def refuse(*options, words, code=USAGE, model=self.model):
            self.refused("sqconv", model, "-o", target, *options, code=code, words=words)

        for method in ("awq", "smoothquant", "smoothquant+", "gptq", "quik"):
            refuse("--method", method, words=["--method " + method, "needs --calib"])
        refuse("--method", "awq", "--alpha", "0.5", "--range", "search", words=["needs --calib or --stats"])
        refuse("--method", "awq", "--alpha", "0.5", words=["--method awq as asked for needs --calib TEXT"])
        refuse("--range", "clip", words=["needs --calib TEXT"])
        refuse("--range", "clipped", words=["range=clipped"])
        refuse("--act", "int8:static", words=["needs --calib or --stats"])
        for alpha in ("2", "-1", "nan", "half", "0.5x", ""):
            refuse("--method", "awq", *self.calib, f"--alpha={alpha}", words=["--alpha"])
        refuse("--method", "awq", *self.calib, "--sites", "fc1", words=['"fc1"', "gate_up"])
        refuse("--method", "awq", *self.calib, "--sites", "o:now", words=['"o:now"'])
        refuse("--method", "gptq", *self.calib, "--sites", "qkv", words=["--sites"])
        refuse("--method", "rtn", "--alpha", "0.5", words=["--alpha"])
        refuse("--method", "QUIK", *self.calib, words=["--method"])
        refuse("--method", "none", "--lorc", "4", words=["--lorc"])
        refuse("--method", "quik", *self.calib, "--act", "int8", "--rule", "k_proj=act=int4",
               words=["k_proj", "q_proj", "disagree"])
        refuse("--method", "quik", *self.calib, "--rule", "up_proj=outliers=0", words=["up_proj", "disagree"])
        refuse("--method", "quik", *self.calib, "--outliers", "0.7", words=["outliers=0.7"])
        refuse("--act", "int9", words=["int9"])
        refuse("--act", "int8:static:asym", *self.calib, words=["static"])
        refuse("--method", "gptq", *self.calib, "--damping", "2", words=["--damping"])
        refuse("--lorc", "-1", words=["lorc=-1"])
        empty, broken, short = (self.folder / n for n in ("empty.txt", "broken.txt", "short.txt"))
        empty.write_bytes(b"")
        broken.write_bytes(b"abc\xff")
        short.write_bytes(b"hello")
        for method in ("awq", "gptq"):
            refuse("--method", method, "--calib", empty, *OPTIONS, words=['"empty.txt" is empty'])
            refuse("--method", method, "--calib", short, *OPTIONS, words=["short.txt"])
            refuse("--method", method, "--calib", broken, *OPTIONS, words=["not UTF-8"], code=MALFORMED)
        stats = self.folder / "s.sqc"
        other = tiny.write_folder(self.folder / "other", tiny.LLAMA | {"intermediate_size": 160})
        self.call("sqconv", "calibrate", other, "--calib", self.text, "--calib-window", "32",
                  "--calib-tokens", "320", "-o", stats)
        for options in (["awq", "--alpha", "0.5", *self.calib], ["quik", "--round", "nearest", "--range", "minmax"],
                        ["smoothquant", *self.calib]):
            refuse("--method", *options, "--stats", stats, words=["of another model"])

    def test_interrupted_searches_leave_no_file(self):
        config = tiny.LLAMA | {"max_position_embeddings": 2048, "num_hidden_layers": 12}
        model = tiny.write_folder(self.shared / "deep", config)
        text = self.shared / "long.txt"
        text.write_bytes(self.text.read_bytes() * 40)
        for method, word in (("awq", b"searching"), ("smoothquant+", b"searching"), ("gptq", b"proj")):
            try:
                ours, theirs = os.openpty()
            except OSError:
                self.skipTest("no pseudo terminals here")
            self.addCleanup(os.close, ours)
            process = subprocess.Popen(
                [harness.PROGRAMS / "sqconv", model, "-o", self.folder / "out", "--calib", text, "-t", "2",
                 "--method", method, "--calib-tokens", "32768", "--calib-window", "512",
                 "--search-tokens", "32768"], stdout=subprocess.DEVNULL, stderr=theirs)
            os.close(theirs)
            # A terminal is told what goes on; the signal falls into that.
            said = b""
            while word not in said:
                said += os.read(ours, 256)
            process.send_signal(signal.SIGINT)
            process.wait(timeout=600)
            self.assertEqual(process.returncode, INTERRUPTED, said)
            # What it had worked out stays for --resume (resume_cases.py), the output does not appear.
            self.assertEqual([p.name for p in self.folder.iterdir()], ["out.work"])
            shutil.rmtree(self.folder / "out.work")
