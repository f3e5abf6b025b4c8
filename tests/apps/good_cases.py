"""What must work from end to end: every option on every kind of input, converted, checked, run."""
import itertools
import json
import struct

import tiny_model as tiny
from harness import Case

GREEDY = ("-p", "hello world", "-n", "24", "--temp", "0", "-c", "64", "-q")


class Programs(Case):
    def test_version_and_help(self):
        for program, commands in {"sqconv": [[]], "sqcheck": [[], ["info"]],
                                  "sqrun": [[], ["bench"], ["ppl"]]}.items():
            for command in commands:
                out = self.call(program, *command, "--help")
                self.assertIn(program.encode(), out)
            self.assertIn(program.encode(), self.call(program, "--version"))
        self.assertIn(b"R101", self.call("sqcheck", "rules"))


class Inputs(Case):
    """Each kind of folder comes out with the same values as it went in."""

    def convert(self, source, *options, name="out.sqf"):
        target = self.folder / name
        self.call("sqconv", source, "-o", target, "--force", "-q", *options)
        self.call("sqcheck", target)
        return target

    def test_element_types_and_families(self):
        families = {"llama": tiny.LLAMA, "ragged": tiny.RAGGED, "qwen2": tiny.QWEN2, "qwen3": tiny.QWEN3}
        for (name, config), dtype in itertools.product(families.items(), ["F32", "F16", "BF16"]):
            with self.subTest(family=name, dtype=dtype):
                folder = tiny.write_folder(self.folder / f"{name}-{dtype}", config, dtype=dtype)
                for options in (["--method", "none"], []):
                    target = self.convert(folder, *options)
                    first = self.call("sqrun", target, *GREEDY, "--exact", "-t", "1")
                    self.assertEqual(self.call("sqrun", target, *GREEDY, "--exact", "-t", "1"), first)
                info = json.loads(self.call("sqcheck", "info", "--json", target))
                self.assertEqual(len(info["tensors"]),
                                 sum(n.endswith("weight") for n in tiny.shapes(config)))

    def test_values_kept_are_the_values_given(self):
        # f32 kept as f32: 16 rows side by side, column by column; a vector as it stood in the input.
        entries = tiny.tensors(tiny.LLAMA, "F32")
        target = self.convert(tiny.write_folder(self.folder / "m", entries=entries), "--method", "none")
        data = target.read_bytes()
        for name, (_, shape, raw) in entries.items():
            row = 4 * shape[-1]
            rows = [raw[at:at + row] for at in range(0, len(raw), row)]
            if len(rows) == 1:
                self.assertTrue(raw in data, name)
            for tile in {0, len(rows) // 32 * 16, (len(rows) - 1) // 16 * 16} if len(rows) > 1 else ():
                lanes = rows[tile:tile + 16] + [bytes(row)] * max(tile + 16 - len(rows), 0)
                stored = b"".join(lane[at:at + 4] for at in range(0, row, 4) for lane in lanes)
                self.assertTrue(stored in data, f"{name}, row {tile}")

    def test_texts_travel_compressed_or_not(self):
        folder = tiny.write_folder(self.folder / "m")
        (folder / "LICENSE").write_text("Do what is right.\n" * 100)
        plain, compressed = self.convert(folder, name="a.sqf"), self.convert(folder, "--compress", name="b.sqf")
        self.assertLess(compressed.stat().st_size, plain.stat().st_size)
        self.assertIn(b"Do what is right.", plain.read_bytes())
        self.assertNotIn(b"Do what is right.\nDo", compressed.read_bytes())
        self.assertEqual(self.call("sqrun", plain, *GREEDY), self.call("sqrun", compressed, *GREEDY))
        sections = {s["kind"]: s for s in json.loads(self.call("sqcheck", "info", "--json", plain))["sections"]}
        self.assertEqual(sections["LICN"]["bytes"], 1800)

    def test_shards_single_file_and_folder_agree(self):
        whole = tiny.write_folder(self.folder / "whole")
        split = tiny.write_folder(self.folder / "split", shards=3)
        texts = {self.call("sqrun", self.convert(source), *GREEDY)
                 for source in (whole, whole / "model.safetensors", split)}
        self.assertEqual(len(texts), 1)

    def test_tied_head_stored_twice(self):
        config = tiny.LLAMA | {"tie_word_embeddings": True}
        entries = tiny.tensors(config)
        plain = self.convert(tiny.write_folder(self.folder / "a", config, entries), name="a.sqf")
        entries["lm_head.weight"] = entries["model.embed_tokens.weight"]
        twice = self.convert(tiny.write_folder(self.folder / "b", config, entries), name="b.sqf")
        self.assertEqual(*(json.loads(self.call("sqcheck", "info", "--json", f))["tensors"]
                           for f in (plain, twice)))

    def test_chat_json_stdin_and_file(self):
        target = self.convert(tiny.write_folder(self.folder / "m"))
        plain = self.call("sqrun", target, *GREEDY)
        self.assertEqual(self.call("sqrun", target, "-p", "-", *GREEDY[2:], stdin=b"hello world"), plain)
        (self.folder / "p.txt").write_bytes(b"hello world")
        self.assertEqual(self.call("sqrun", target, "-f", self.folder / "p.txt", *GREEDY[2:]), plain)
        answer = json.loads(self.call("sqrun", target, *GREEDY, "--json"))
        self.assertEqual((answer["text"] + "\n").encode(), plain.decode(errors="replace").encode())
        self.call("sqrun", target, "--chat", "--system", "be brief", *GREEDY)
        talk = self.call("sqrun", target, "--chat", *GREEDY[2:], stdin=b"hello\n/reset\nhello\n/exit\n")
        self.assertTrue(talk)

    def test_other_commands(self):
        target = self.convert(tiny.write_folder(self.folder / "m"))
        text = self.folder / "t.txt"
        text.write_text("hello world, hello all\n" * 20)
        result = json.loads(self.call("sqrun", "ppl", target, text, "--window", "32", "--json", "-t", "2"))
        self.assertGreater(result["perplexity"], 1)
        self.assertLess(result["perplexity"], 1e5)
        rows = json.loads(self.call("sqrun", "bench", target, "-p", "8", "-n", "4", "-r", "1", "-t", "1,2",
                                    "--json"))
        self.assertEqual([(r["test"], r["threads"]) for r in rows],
                         [("pp8", 1), ("tg4", 1), ("pp8", 2), ("tg4", 2)])
        for args in (["--quick"], ["--json"], ["--quick", "--json"]):
            self.call("sqcheck", *args, target)

    def test_names_that_are_not_utf8(self):
        folder = tiny.write_folder(self.folder / "m")
        target = str(self.folder).encode() + b"/caf\xe9.sqf"
        as_text = target.decode(errors="surrogateescape")
        self.assertTrue(json.loads(self.call("sqconv", folder, "-o", as_text, "--json")))
        self.assertTrue(json.loads(self.call("sqcheck", as_text, "--json"))["good"])
        self.call("sqrun", "bench", as_text, "-p", "4", "-n", "2", "-r", "1", "--json")


class Options(Case):
    """Combinations of conversion options; each file must check, and run alike however it is run."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.plain = tiny.write_folder(cls.shared / "llama")
        cls.ragged = tiny.write_folder(cls.shared / "ragged", tiny.RAGGED, dtype="BF16")

    def convert(self, source, *options, name="out.sqf"):
        target = self.folder / name
        out = self.call("sqconv", source, "-o", target, "--force", "--json", *options)
        self.call("sqcheck", target)
        result, size = json.loads(out), target.stat().st_size
        self.assertEqual(result["file_bytes"], size)
        info = json.loads(self.call("sqcheck", "info", "--json", target))
        self.assertEqual({t["name"]: t["bytes"] for t in result["tensors"]},
                         {t["name"]: t["bytes"] for t in info["tensors"]})
        return target, result

    def same_text_everywhere(self, target):
        first = self.call("sqrun", target, *GREEDY, "-t", "1")
        for threads, isa in [("2", ""), ("3", ""), ("2", "scalar"), ("1", "avx2"), ("3", "avx512")]:
            env = {"SQF_ISA": isa} if isa else {}
            self.assertEqual(self.call("sqrun", target, *GREEDY, "-t", threads, env=env), first,
                             f"{threads} threads, {isa}")

    def test_widths_and_groups(self):
        errors = {}
        for bits, group in itertools.product(range(1, 9), ["32", "64", "row", "16"]):
            options = ["--bits", bits, "--group", group]
            for source in (self.plain, self.ragged):
                with self.subTest(bits=bits, group=group, source=source.name):
                    if group == "16" and bits not in (4, 8):
                        self.refused("sqconv", source, "-o", self.folder / "no.sqf", *options, code=2,
                                     words=["group 16"])
                        continue
                    target, result = self.convert(source, *options)
                    self.same_text_everywhere(target)
                    if group == "32": errors[source.name, bits] = result["relative_squared_error"]
        for name in ("llama", "ragged"):
            falling = [errors[name, bits] for bits in range(1, 9)]
            self.assertEqual(falling, sorted(falling, reverse=True))

    def test_scales_and_zeros(self):
        scales, zeros = ["f32", "f16", "bf16", "u8", "e4m3", "e8m0"], ["constant", "u4", "u8", "minimum"]
        for i, (scale, zero) in enumerate(itertools.product(scales, zeros)):
            options = ["--scale", scale, "--zero", zero, "--range", ["minmax", "search"][i % 2], "--bits", 3 + i % 2]
            with self.subTest(scale=scale, zero=zero):
                target, _ = self.convert((self.plain, self.ragged)[i // 2 % 2], *options)
                self.same_text_everywhere(target)

    def test_grids(self):
        minifloats = [f"e{e}m{bits - 1 - e}" for bits in range(3, 9) for e in range(1, bits)]
        ocp = ["e5m2ocp", "e4m3ocp", "e3m2ocp", "e2m3ocp", "e2m1ocp"]
        tables = ["binary", "ternary", "five", "nf4", "levels:-3/-1/0/0.5/2/4", "levels:-1/0/2", "affine"]
        scales, groups = ["u8", "f16", "e8m0", "e4m3", "bf16", "f32"], ["32", "row", "64", None]
        for i, grid in enumerate(minifloats + ocp + tables):
            options = ["--grid", grid, "--scale", scales[i % 6], "--range", ["search", "minmax"][i % 5 == 4],
                       *(["--group", groups[i % 4]] if groups[i % 4] else []),
                       *(["--factor", ["row", "none"][i // 4 % 2]] if scales[i % 6] != "u8" else []),
                       *(["--head", f"grid={grid}"] if i % 3 == 0 else [])]
            with self.subTest(options=options):
                target, result = self.convert((self.plain, self.ragged)[i % 2], *options)
                self.assertLess(result["relative_squared_error"], 0.65)
                self.same_text_everywhere(target)

    def test_bit_planes_decode_alike(self):
        for options in (["--bits", "3"], ["--bits", "8", "--group", "64"], ["--grid", "nf4", "--scale", "f16"]):
            texts = []
            for planes in ("widest", "bit"):
                target, result = self.convert(self.ragged, *options, "--planes", planes, "-t", "1")
                self.same_text_everywhere(target)
                texts.append((result["relative_squared_error"], self.call("sqrun", target, *GREEDY, "--exact")))
            self.assertEqual(*texts)

    def test_grids_refused(self):
        for options, words in {("--grid", "nf5"): ["grid=nf5", "nf4"],
                               ("--grid", "levels:1/1"): ["levels:1/1", "ascending"],
                               ("--grid", "nf4", "--bits", "3"): ["bits=3", "nf4"],
                               ("--grid", "e2m1", "--zero", "u4"): ["zero=u4", "e2m1"],
                               ("--grid", "ternary", "--planes", "bit"): ["planes=bit", "ternary"],
                               ("--planes", "bit", "--group", "16"): ["group 16"],
                               ("--grid", "nf4", "--group", "50"): ["group 50"],
                               ("--grid", "nf4", "--method", "none"): ["--grid", "needs a method that rounds"],
                               ("--head", "grid=e9m9"): ["grid=e9m9"],
                               ("--rule", "up_proj=grid=nope"): ["up_proj=grid=nope"]}.items():
            with self.subTest(options=options):
                self.refused("sqconv", self.plain, "-o", self.folder / "no.sqf", *options, code=2, words=words)

    def test_head_and_rules(self):
        def encodings(*options, source=self.plain):
            _, result = self.convert(source, *options)
            return {t["name"]: (t["method"], t["encoding"]) for t in result["tensors"]}
        self.assertEqual(encodings("--head", "none")["lm_head.weight"], ("none", "f16"))
        self.assertEqual(encodings("--head", "none", source=self.ragged)["model.embed_tokens.weight"],
                         ("none", "bf16"))
        head = encodings("--method", "none", "--head", "bits=8")
        self.assertTrue(head["lm_head.weight"][1].startswith("8-bit"))
        self.assertEqual(head["model.layers.0.mlp.up_proj.weight"], ("none", "f16"))
        mixed = encodings("--rule", r"layers\.1\.=bits=6,group=64", "--rule", "down_proj=none")
        self.assertTrue(mixed["model.layers.1.mlp.up_proj.weight"][1].startswith("6-bit asymmetric g64"))
        self.assertTrue(mixed["model.layers.0.mlp.up_proj.weight"][1].startswith("4-bit asymmetric g32"))
        self.assertEqual(mixed["model.layers.1.mlp.down_proj.weight"], ("none", "f16"))
        self.assertEqual(mixed["model.layers.1.input_layernorm.weight"], ("none", "f32"))
        self.same_text_everywhere(self.folder / "out.sqf")

    def test_bytes_do_not_depend_on_threads(self):
        for options in ([], ["--bits", "3"], ["--method", "none"], ["--range", "minmax", "--scale", "e4m3"],
                        ["--grid", "nf4", "--scale", "f16"], ["--grid", "e4m3", "--scale", "e8m0"]):
            one, _ = self.convert(self.ragged, *options, "-t", "1", name="one.sqf")
            three, _ = self.convert(self.ragged, *options, "-t", "3", name="three.sqf")
            self.assertEqual(one.read_bytes(), three.read_bytes())
            scalar = self.folder / "scalar.sqf"
            self.call("sqconv", self.ragged, "-o", scalar, "-q", "--force", *options, env={"SQF_ISA": "scalar"})
            self.assertEqual(scalar.read_bytes(), one.read_bytes())

    def test_dry_run_writes_nothing(self):
        plan = json.loads(self.call("sqconv", self.plain, "--dry-run", "--json"))
        _, result = self.convert(self.plain)
        self.assertEqual(plan["tensors"], result["tensors"])
        (self.folder / "out.sqf").unlink()
        self.call("sqconv", self.plain, "--dry-run", "-o", self.folder / "x.sqf")
        self.assertEqual(list(self.folder.iterdir()), [])


class Gguf(Case):
    """A GGUF of Q8_0 matrices: codes carried over, or rounded again with leave."""

    def setUp(self):
        super().setUp()
        self.file = self.folder / "m.gguf"
        self.file.write_bytes(gguf(tiny.LLAMA))

    def test_keep_and_requantize(self):
        target = self.folder / "m.sqf"
        out = json.loads(self.call("sqconv", self.file, "-o", target, "--method", "keep", "--json"))
        self.assertEqual({t["method"] for t in out["tensors"]}, {"keep", "none"})
        self.call("sqcheck", target)
        first = self.call("sqrun", target, *GREEDY)
        self.assertEqual(self.call("sqrun", target, *GREEDY, "-t", "1", env={"SQF_ISA": "scalar"}), first)
        other = self.folder / "n.sqf"
        self.refused("sqconv", self.file, "-o", other, code=2, words=["--allow-requantize", "q8_0"])
        self.call("sqconv", self.file, "-o", other, "--allow-requantize")
        self.call("sqconv", self.file, "-o", other, "--force", "--method", "none")
        self.call("sqcheck", other)


def gguf(config):
    """A GGUF v3 file of the tiny Llama: norms f32, matrices Q8_0."""
    def text(s):
        return struct.pack("<Q", len(s.encode())) + s.encode()
    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
             "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
             "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
             "post_attention_layernorm": "ffn_norm", "model.embed_tokens": "token_embd",
             "model.norm": "output_norm", "lm_head": "output"}
    numbers = {"block_count": "num_hidden_layers", "context_length": "max_position_embeddings",
               "embedding_length": "hidden_size", "feed_forward_length": "intermediate_size",
               "attention.head_count": "num_attention_heads",
               "attention.head_count_kv": "num_key_value_heads", "vocab_size": "vocab_size"}
    tokens = sorted(tiny.tokenizer()["model"]["vocab"], key=tiny.tokenizer()["model"]["vocab"].get)
    tokens += [t["content"] for t in tiny.tokenizer()["added_tokens"]]

    def strings(values):
        return struct.pack("<IIQ", 9, 8, len(values)) + b"".join(map(text, values))
    fields = {"general.architecture": struct.pack("<I", 8) + text("llama"),
              **{"llama." + k: struct.pack("<II", 4, config[v]) for k, v in numbers.items()},
              "llama.attention.layer_norm_rms_epsilon": struct.pack("<If", 6, config["rms_norm_eps"]),
              "tokenizer.ggml.model": struct.pack("<I", 8) + text("gpt2"),
              "tokenizer.ggml.pre": struct.pack("<I", 8) + text("smollm"),
              "tokenizer.ggml.tokens": strings(tokens),
              "tokenizer.ggml.token_type": struct.pack("<IIQ", 9, 5, 264) + struct.pack("<264i", *[1] * 260, *[3] * 4),
              "tokenizer.ggml.merges": strings(tiny.tokenizer()["model"]["merges"]),
              "tokenizer.ggml.eos_token_id": struct.pack("<II", 4, 263)}
    infos, data = b"", b""
    entries = tiny.tensors(config, "F32")
    for name, (_, shape, raw) in entries.items():
        kind = next(k for k in names if k in name)
        layer = name.split(".")[2] if ".layers." in name else None
        full = (f"blk.{layer}." if layer else "") + names[kind] + ".weight"
        if len(shape) == 2:
            values = struct.unpack(f"<{len(raw) // 4}f", raw)
            raw = b"".join(struct.pack("<e", 0.4 / 127) + bytes(max(-127, min(127, round(v * 127 / 0.4))) & 255 for v in values[i:i + 32])
                           for i in range(0, len(values), 32))
        data += b"\0" * (-len(data) % 32)
        infos += text(full) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *reversed(shape))
        infos += struct.pack("<IQ", 8 if len(shape) == 2 else 0, len(data))
        data += raw
    head = b"GGUF" + struct.pack("<IQQ", 3, len(entries), len(fields))
    head += b"".join(text(k) + v for k, v in fields.items()) + infos
    return head + b"\0" * (-len(head) % 32) + data
