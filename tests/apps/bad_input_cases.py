"""What sqconv must refuse: damaged weights, configs that cannot be, arguments that make no sense.
Each with its exit code, a message that names what and where, and nothing written."""
import copy
import json
import math
import os
import struct

import tiny_model as tiny
from harness import IO, MALFORMED, UNSUPPORTED, USAGE, Case

Q_PROJ = "model.layers.1.self_attn.q_proj.weight"


class BadInput(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.entries = tiny.tensors(tiny.LLAMA)
        cls.good = tiny.write_folder(cls.shared / "good", entries=cls.entries)

    def setUp(self):
        super().setUp()
        self.outputs = self.folder / "outputs"
        self.outputs.mkdir()

    def refuse(self, source, code, *words, options=()):
        """Refused with and without an output in the way, which stays as it is."""
        target = self.outputs / "m.sqf"
        self.refused("sqconv", source, "-o", target, *options, code=code, words=["sqconv: error: ", *words])
        target.write_bytes(b"kept")
        self.refused("sqconv", source, "-o", target, "--force", *options, code=code, words=words)
        self.assertEqual(target.read_bytes(), b"kept")
        target.unlink()

    def folder_with(self, weights=None, config=None, name="m", **texts):
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        for file in self.good.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        if weights is not None: (folder / "model.safetensors").write_bytes(weights)
        if config is not None: (folder / "config.json").write_bytes(config)
        for file, data in texts.items():
            (folder / file.replace("__", ".")).write_bytes(data)
        return folder


class Weights(BadInput):
    def with_header(self, change):
        header, data = tiny.header_of(self.entries), b"".join(d for _, _, d in self.entries.values())
        return tiny.pack(change(header) or header, data)

    def test_damaged_files(self):
        good = tiny.safetensors(self.entries)
        length = struct.unpack("<Q", good[:8])[0]
        cases = {
            "empty": (b"", "empty"),
            "short": (good[:5], "5 bytes"),
            "in the header": (good[:length // 2], "truncated", str(length)),
            "in the data": (good[:-1], "data_offsets", "truncated"),
            "one byte more": (good + b"\0", "1 bytes after the last tensor"),
            "2^63": (struct.pack("<Q", 1 << 63) + good[8:], str(1 << 63)),
            "2^64 - 1": (struct.pack("<Q", (1 << 64) - 1) + good[8:], str((1 << 64) - 1)),
            "header 0": (bytes(8) + good[8:], "length is 0"),
            "garbage": (bytes(range(7, 256)) * 9, "neither safetensors nor GGUF"),
            "web page": (b"<!DOCTYPE html><html>404</html>", "web page"),
            "pickle": (b"\x80\x02" + bytes(50), "pickle"),
            "lfs": (b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
            "no JSON": (tiny.pack(b'{"a": nonsense', b""), "JSON", "byte"),
            "no object": (tiny.pack(b"{}", b""), "no tensor"),
            "nul": (tiny.pack(b'{"a\0b":1}', b""), "JSON"),
            "not UTF-8": (tiny.pack(b'{"\xff\xfe": {}}', b""), "JSON"),
            "deep": (tiny.pack(b'{"a":' * 5000 + b"1" + b"}" * 5000, b""), "nesting"),
        }
        for name, (data, *words) in cases.items():
            with self.subTest(name):
                self.refuse(self.folder_with(data), MALFORMED, "model.safetensors", *words)

    def test_truncated_anywhere(self):
        good = tiny.safetensors(self.entries)
        for length in range(0, len(good), len(good) // 40):
            self.refuse(self.folder_with(good[:length]), MALFORMED, "model.safetensors")

    def test_header_entries(self):
        size = len(self.entries[Q_PROJ][2])

        def entry(**change):
            return lambda h: h[Q_PROJ].update(change)

        def move(h):
            begin, end = h[Q_PROJ]["data_offsets"]
            h[Q_PROJ]["data_offsets"] = [begin - 64, end - 64]

        def dtype_first(h):
            return json.dumps(h).replace('"dtype"', '"dtype": "F16", "dtype"', 1).encode()

        def twice(h):
            text = json.dumps(h)
            return (text[:-1] + ', "' + Q_PROJ + '": ' + json.dumps(h[Q_PROJ]) + "}").encode()

        cases = {
            "overlap": (move, MALFORMED, "begins at data byte", "overlapping"),
            "out of range": (entry(data_offsets=[1 << 40, (1 << 40) + size]), MALFORMED, str(1 << 40)),
            "backwards": (entry(data_offsets=[size, 0]), MALFORMED, "backwards"),
            "negative": (entry(data_offsets=[-1, size]), MALFORMED, "data_offsets"),
            "one offset": (entry(data_offsets=[0]), MALFORMED, "data_offsets"),
            "text offsets": (entry(data_offsets=["0", "1"]), MALFORMED, "data_offsets"),
            "other size": (entry(shape=[64, 63]), MALFORMED, "8192", "8064"),
            "overflow": (entry(shape=[1 << 40, 1 << 40]), MALFORMED, "overflow"),
            "overflow to fit": (entry(shape=[1 << 62, 4, 2]), MALFORMED, "overflow"),
            "negative shape": (entry(shape=[-64, 64]), MALFORMED, "-64"),
            "zero shape": (entry(shape=[0, 64]), MALFORMED, "dimension 0"),
            "fraction": (entry(shape=[64.5, 64]), MALFORMED, "64.5"),
            "scalar": (entry(shape=[]), UNSUPPORTED, "scalar"),
            "rank 4": (entry(shape=[1, 1, 64, 64]), UNSUPPORTED, "rank 4"),
            "text shape": (entry(shape="64"), MALFORMED, "shape"),
            "unknown dtype": (entry(dtype="F17"), MALFORMED, "F17"),
            "dtype a number": (entry(dtype=16), MALFORMED, "dtype"),
            "I64": (entry(dtype="I64"), UNSUPPORTED, "I64"),
            "F8": (entry(dtype="F8_E4M3"), UNSUPPORTED, "F8_E4M3"),
            "twice": (twice, MALFORMED, "duplicate key"),
            "key twice": (dtype_first, MALFORMED, "duplicate key", "dtype"),
        }
        for name, (change, code, *words) in cases.items():
            with self.subTest(name):
                where = [] if "twice" in name else [Q_PROJ]
                self.refuse(self.folder_with(self.with_header(change)), code, *where, *words)

    def test_not_finite(self):
        for dtype, value, word in [("F16", math.nan, "NaN"), ("F32", math.inf, "infinite"),
                                   ("BF16", -math.inf, "infinite")]:
            for name, row, column in [(Q_PROJ, 37, 5), ("lm_head.weight", 263, 63), ("model.norm.weight", 0, 9)]:
                for options in [(), ("--method", "none"), ("-t", "3")]:
                    with self.subTest(dtype=dtype, tensor=name, options=options):
                        entries = tiny.tensors(tiny.LLAMA, dtype)
                        kind, shape, data = entries[name]
                        size = 4 if dtype == "F32" else 2
                        at = (row * shape[-1] + column) * size
                        data = data[:at] + tiny.encode([value], dtype) + data[at + size:]
                        entries[name] = (kind, shape, data)
                        self.refuse(self.folder_with(tiny.safetensors(entries)), MALFORMED, name,
                                    f"row {row} column {column}", word, options=options)
        entries = tiny.tensors(tiny.QWEN2, "F32")
        name = "model.layers.0.self_attn.k_proj.bias"
        kind, shape, data = entries[name]
        entries[name] = (kind, shape, data[:12] + struct.pack("<f", math.nan) + data[16:])
        self.refuse(self.folder_with(tiny.safetensors(entries), json.dumps(tiny.QWEN2).encode()), MALFORMED,
                    name, "element 3")

    def test_the_first_bad_weight_is_named_whatever_the_threads(self):
        entries = dict(self.entries)
        kind, shape, data = entries["lm_head.weight"]
        bad = bytearray(data)
        for row in (20, 100, 250):
            bad[row * 128 + 4:row * 128 + 6] = tiny.encode([math.nan], "F16")
        entries["lm_head.weight"] = (kind, shape, bytes(bad))
        folder = self.folder_with(tiny.safetensors(entries))
        for threads in (1, 3, 8):
            self.refuse(folder, MALFORMED, "row 20 column 2", options=["-t", threads])

    def test_tensors_against_config(self):
        def changed(change):
            entries = dict(self.entries)
            change(entries)
            return tiny.safetensors(entries)
        half = self.entries[Q_PROJ][2][:64 * 64]
        cases = {
            "missing": (lambda e: e.pop(Q_PROJ), f'"{Q_PROJ}" is missing'),
            "extra": (lambda e: e.update({"surprise": ("F16", [2], bytes(4))}), '"surprise"'),
            "extra bias": (lambda e: e.update({Q_PROJ[:-6] + "bias": ("F16", [64], bytes(128))}), "q_proj.bias"),
            "shape": (lambda e: e.update({Q_PROJ: ("F16", [32, 64], half)}), Q_PROJ, "[32, 64]", "[64, 64]"),
            "rank": (lambda e: e.update({Q_PROJ: ("F16", [64 * 64], self.entries[Q_PROJ][2])}), "[4096]"),
            "no head": (lambda e: e.pop("lm_head.weight"), "lm_head.weight"),
            "two at once": (lambda e: (e.pop(Q_PROJ), e.pop("model.norm.weight")), Q_PROJ, "model.norm.weight"),
        }
        for name, (change, *words) in cases.items():
            with self.subTest(name):
                self.refuse(self.folder_with(changed(change)), MALFORMED, *words)

    def test_shards(self):
        folder = tiny.write_folder(self.folder / "shards", shards=3)
        index = folder / "model.safetensors.index.json"
        good = json.loads(index.read_bytes())
        second = folder / "model-00002-of-00003.safetensors"

        def with_index(text, code, *words):
            index.write_bytes(text if isinstance(text, bytes) else json.dumps(text).encode())
            self.refuse(folder, code, *words)
        self.refuse(second, USAGE, "give the folder")
        with_index(b"{", MALFORMED, "index.json")
        with_index({}, MALFORMED, "weight_map")
        with_index({"weight_map": {}}, MALFORMED, "empty")
        with_index({"weight_map": {"a": 1}}, MALFORMED, "file name")
        with_index({"weight_map": {"a": "../x.safetensors"}}, MALFORMED, "../x.safetensors")
        moved = copy.deepcopy(good)
        moved["weight_map"][Q_PROJ] = next(s for s in good["weight_map"].values() if s != good["weight_map"][Q_PROJ])
        with_index(moved, MALFORMED, Q_PROJ)
        fewer = copy.deepcopy(good)
        del fewer["weight_map"][Q_PROJ]
        with_index(fewer, MALFORMED, Q_PROJ)
        index.write_text(json.dumps(good))
        data = second.read_bytes()
        second.write_bytes(data[:-5])
        self.refuse(folder, MALFORMED, second.name)
        second.unlink()
        self.refuse(folder, MALFORMED, second.name, "missing")


class Config(BadInput):
    def test_values(self):
        missing = object()
        cases = [
            ({"model_type": "mamba"}, UNSUPPORTED, 'model_type "mamba"'),
            ({"model_type": missing}, MALFORMED, '"model_type" is missing'),
            ({"model_type": 3}, MALFORMED, "model_type"),
            ({"hidden_size": missing}, MALFORMED, '"hidden_size" is missing'),
            ({"hidden_size": "64"}, MALFORMED, '"hidden_size" is "64"'),
            ({"hidden_size": 64.5}, MALFORMED, '"hidden_size" is 64.5'),
            ({"hidden_size": 0}, MALFORMED, '"hidden_size" is 0'),
            ({"hidden_size": -64}, MALFORMED, '"hidden_size" is -64'),
            ({"hidden_size": 1 << 63}, MALFORMED, str(1 << 63)),
            ({"hidden_size": 10 ** 30}, MALFORMED, "config.json"),
            ({"hidden_size": 128}, MALFORMED, "[64]", "[128]"),
            ({"vocab_size": 1 << 40}, MALFORMED, str(1 << 40)),
            ({"vocab_size": 265}, MALFORMED, "[264, 64]", "[265, 64]"),
            ({"intermediate_size": None}, MALFORMED, "intermediate_size"),
            ({"num_hidden_layers": 0}, MALFORMED, '"num_hidden_layers" is 0'),
            ({"num_hidden_layers": 3}, MALFORMED, "model.layers.2.input_layernorm.weight"),
            ({"num_hidden_layers": 1}, MALFORMED, "model.layers.1."),
            ({"num_hidden_layers": 1 << 30}, MALFORMED, str(1 << 30)),
            ({"num_attention_heads": 0}, MALFORMED, '"num_attention_heads" is 0'),
            ({"num_attention_heads": 5}, MALFORMED, '"num_attention_heads" is 5'),
            ({"num_key_value_heads": 0}, MALFORMED, '"num_key_value_heads" is 0'),
            ({"num_key_value_heads": 3}, MALFORMED, '"num_key_value_heads" is 3'),
            ({"num_key_value_heads": [2]}, MALFORMED, '"num_key_value_heads" is [2]'),
            ({"head_dim": 15}, MALFORMED, '"head_dim" is 15'),
            ({"head_dim": 0}, MALFORMED, '"head_dim" is 0'),
            ({"max_position_embeddings": missing}, MALFORMED, "max_position_embeddings"),
            ({"max_position_embeddings": -1}, MALFORMED, "-1"),
            ({"rms_norm_eps": "tiny"}, MALFORMED, '"rms_norm_eps" is "tiny"'),
            ({"rms_norm_eps": -1}, MALFORMED, "rms_norm_eps"),
            ({"tie_word_embeddings": 1}, MALFORMED, '"tie_word_embeddings" is 1'),
            ({"tie_word_embeddings": True}, MALFORMED, "lm_head.weight"),
            ({"attention_bias": True}, MALFORMED, "q_proj.bias"),
            ({"hidden_act": "gelu"}, UNSUPPORTED, "gelu"),
            ({"hidden_act": ["silu"]}, MALFORMED, "hidden_act"),
            ({"sliding_window": 64}, UNSUPPORTED, "sliding"),
            ({"sliding_window": "64"}, MALFORMED, "sliding_window"),
            ({"quantization_config": {"bits": 4}}, UNSUPPORTED, "quantization_config"),
            ({"rope_theta": 0}, MALFORMED, '"rope_theta" is 0'),
            ({"rope_theta": "10000"}, MALFORMED, "rope_theta"),
            ({"rope_scaling": "linear"}, MALFORMED, "rope_scaling"),
            ({"rope_scaling": {"type": "yarn", "factor": 4}}, UNSUPPORTED, "yarn"),
            ({"rope_scaling": {"rope_type": "dynamic", "factor": 4}}, UNSUPPORTED, "dynamic"),
            ({"rope_scaling": {"rope_type": "longrope", "factor": 4}}, UNSUPPORTED, "longrope"),
            ({"rope_scaling": {"type": 7, "factor": 4}}, MALFORMED, "type"),
            ({"rope_scaling": {"type": "linear"}}, MALFORMED, '"factor" is missing'),
            ({"rope_scaling": {"type": "linear", "factor": 0}}, MALFORMED, '"factor" is 0'),
            ({"rope_scaling": {"rope_type": "llama3", "factor": 8}}, MALFORMED, "low_freq_factor"),
            ({"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 1,
                               "original_max_position_embeddings": 64}}, MALFORMED, "high_freq_factor"),
            ({"rope_parameters": {"rope_type": "yarn", "factor": 4}}, UNSUPPORTED, "yarn"),
            ({"partial_rotary_factor": 0.5}, UNSUPPORTED, "partial_rotary_factor"),
            ({"eos_token_id": 264}, MALFORMED, "eos_token_id"),
            ({"eos_token_id": [1, "2"]}, MALFORMED, "eos_token_id"),
            ({"eos_token_id": -1}, MALFORMED, "eos_token_id"),
            ({"bos_token_id": 1000}, MALFORMED, '"bos_token_id" is 1000'),
        ]
        for change, code, *words in cases:
            with self.subTest(change=str(change)):
                config = {k: v for k, v in (tiny.LLAMA | change).items() if v is not missing}
                self.refuse(self.folder_with(config=json.dumps(config).encode()), code, *words)

    def test_text_files(self):
        good = json.dumps(tiny.LLAMA).encode()
        for text, *words in [(b"", "JSON"), (b"[]", "object"), (b"3", "object"), (good[:-1], "JSON"), (good + b"x", "JSON"),
                             (b"\xff\xfe" + good, "JSON"), (b'{"hidden_size": 64, ' + good[1:], "duplicate key"),
                             (b'{"a":' * 100000, "nesting"), (b'{"a": 1e999}', "range")]:
            with self.subTest(text[:40]):
                self.refuse(self.folder_with(config=text), MALFORMED, "config.json", *words)
        self.refuse(self.folder_with(tokenizer_config__json=b"{"), MALFORMED, "tokenizer_config.json")
        self.refuse(self.folder_with(tokenizer_config__json=b'{"chat_template": 3}', name="n"), MALFORMED, "chat_template")
        self.refuse(self.folder_with(generation_config__json=b'{"eos_token_id": "x"}', name="o"), MALFORMED, "generation_config.json")
        folder = self.folder_with(name="p")
        (folder / "config.json").unlink()
        self.refuse(folder, MALFORMED, "config.json")


class Arguments(BadInput):
    def test_usage(self):
        good = self.good
        for options, *words in [
                (["--bits", "9"], "bits=9"), (["--bits", "0"], "bits=0"), (["--bits", "four"], "four"),
                (["--group", "33"], "33"), (["--group", "0"], "group=0"), (["--group", "-32"], "-32"),
                (["--group", "99999999999"], "99999999999"), (["--scale", "f8"], "f8"), (["--zero", "u2"], "u2"),
                (["--zero", "u4", "--bits", "8"], "u4"), (["--range", "best"], "best"),
                (["--head", "bits=17"], "bits=17"), (["--head", "quick"], "quick"), (["--head", "bits"], "bits"),
                (["--rule", "nothing_like_this=bits=4"], "nothing_like_this"), (["--rule", "down_proj"], "down_proj"),
                (["--rule", "=bits=4"], "=bits=4"), (["--rule", "down_proj=bits=44"], "bits=44"),
                (["--rule", "down_proj=bits=4,"], "bits=4,"), (["--rule", "(=bits=4"], "("),
                (["--rule", "layernorm=bits=4"], "vector"), (["--method", "keep"], "keep"),
                (["--method", "none", "--bits", "4"], "--bits"), (["--rule", "down_proj=group=16,bits=3"], "group 16")]:
            with self.subTest(" ".join(options)):
                self.refuse(good, USAGE, *words, options=options)
        target = self.outputs / "m.sqf"
        for args in [[], [good], [good, "-o"], [good, "-o", target, "--fast"], [good, "-o", target, "extra"],
                     [good, "-o", target, "--method", "magic"], [good, "-o", target, "-t", "0"],
                     [good, "-o", target, "-t", "x"], [good, "-o", ""], [good, "-o", target, "--bits"]]:
            with self.subTest(" ".join(map(str, args))):
                self.refused("sqconv", *args, code=USAGE)

    def test_inputs_that_are_none(self):
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        empty = self.folder / "empty"
        empty.mkdir()
        pytorch = self.folder / "pytorch"
        pytorch.mkdir()
        (pytorch / "pytorch_model.bin").write_bytes(b"PK\x03\x04")
        self.refuse(self.folder / "absent", IO, "absent", "No such file")
        self.refuse(fifo, IO, "fifo", "not a regular file")
        self.refuse(empty, MALFORMED, "model.safetensors")
        self.refuse(pytorch, MALFORMED, "pytorch_model.bin")
        self.call("sqconv", self.good, "-o", self.folder / "a.sqf", "-q")
        self.refuse(self.folder / "a.sqf", MALFORMED, "SQF")

    def test_output_is_an_input(self):
        for shards in (1, 3):
            folder = tiny.write_folder(self.folder / f"m{shards}", shards=shards)
            weights = next(folder.glob("model*.safetensors"))
            link, hard = folder / "link.sqf", folder / "hard.sqf"
            link.symlink_to(weights)
            os.link(weights, hard)
            for target in (weights, folder / "config.json", folder / "tokenizer.json", link, hard,
                           folder / ".." / folder.name / weights.name):
                for options in ([], ["--force"]):
                    with self.subTest(target=target.name, options=options, shards=shards):
                        self.refused("sqconv", folder, "-o", target, *options, code=USAGE, words=["is an input", target.name])
            index = folder / "model.safetensors.index.json"
            if index.exists():
                self.refused("sqconv", folder, "-o", index, "--force", code=USAGE, words=["is an input"])
            else:
                self.refused("sqconv", weights, "-o", weights, "--force", code=USAGE, words=["is an input"])
                self.refused("sqconv", link, "-o", weights, "--force", code=USAGE, words=["is an input"])

    def test_targets(self):
        target = self.outputs / "m.sqf"
        self.call("sqconv", self.good, "-o", target, "-q")
        self.refused("sqconv", self.good, "-o", target, code=IO, words=["m.sqf", "--force"])
        before = target.read_bytes()
        self.call("sqconv", self.good, "-o", target, "-q", "--force", "--bits", "8")
        self.assertNotEqual(target.read_bytes(), before)
        self.refused("sqconv", self.good, "-o", self.outputs / "none" / "m.sqf", code=IO, words=["No such file"])
        self.refused("sqconv", self.good, "-o", target / "m.sqf", code=IO, words=["Not a directory"])
        self.refused("sqconv", self.good, "-o", self.outputs, code=IO, words=["outputs", "not a regular file"])
        self.refused("sqconv", self.good, "-o", self.outputs, "--force", code=IO, words=["not a regular file"])
        dangling = self.outputs / "dangling.sqf"
        dangling.symlink_to(self.outputs / "nowhere")
        self.refused("sqconv", self.good, "-o", dangling, "--force", code=IO, words=["not a regular file"])
        fifo = self.outputs / "fifo"
        os.mkfifo(fifo)
        self.refused("sqconv", self.good, "-o", fifo, "--force", code=IO, words=["not a regular file"])
        if os.geteuid() == 0:  # whom permissions do not stop, a file system without files does
            self.refused("sqconv", self.good, "-o", "/proc/m.sqf", code=IO, words=["/proc/m.sqf"])
        else:
            self.outputs.chmod(0o500)
            self.refused("sqconv", self.good, "-o", self.outputs / "n.sqf", code=IO, words=["n.sqf", "Permission denied"])
            self.outputs.chmod(0o700)
