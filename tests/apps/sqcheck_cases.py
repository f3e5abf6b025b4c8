"""What sqcheck says: verdicts on one file and on several, what is inside a file, how two differ."""
import json
import pathlib
import re
import struct
import subprocess

import harness
import tiny_model as tiny
from harness import IO, MALFORMED, UNSUPPORTED, USAGE, Case

GOLDEN = pathlib.Path(__file__).parent.parent / "golden"
Q_PROJ = "model.layers.0.self_attn.q_proj.weight"


class Files(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        config = tiny.LLAMA | {"num_hidden_layers": 3}
        cls.entries = tiny.tensors(config)
        source = tiny.write_folder(cls.shared / "m", config, cls.entries)
        for name, options in {"q4": [], "q8": ["--bits", "8"], "f16": ["--method", "none"]}.items():
            file = cls.shared / f"{name}.sqf"
            subprocess.run([harness.PROGRAMS / "sqconv", source, "-o", file, "-q", *options], check=True)
            setattr(cls, name, file)
        (cls.shared / "none.gguf").write_bytes(b"GGUF" + bytes(400))

    def info(self, file, *options, code=0):
        return json.loads(self.call("sqcheck", "info", "--json", *options, file, code=code))

    def text(self, *args, locale="C.UTF-8", **options):
        return self.call("sqcheck", *args, env={"LC_ALL": locale}, **options).decode()

    def components(self, file, tensor):
        record = next(t for t in self.info(file)["tensors"] if t["name"] == tensor)
        return [c for part in record["parts"] for c in part["components"]] + record.get("components", [])

    def damaged(self, file, *offsets, name="damaged.sqf"):
        data = bytearray(file.read_bytes())
        for at in offsets:
            data[at] ^= 1
        target = self.folder / name
        target.write_bytes(data)
        return target


class Check(Files):
    def test_good_files(self):
        self.assertEqual(self.text(self.q4), f"{self.q4}: good\n")
        self.assertEqual(self.text(self.q4, self.q8), f"{self.q4}: good\n{self.q8}: good\n")
        self.assertIn("not read", self.text("--quick", self.q4))

    def test_the_gravest_code_wins(self):
        absent, damaged = self.folder / "absent.sqf", self.damaged(self.q4, 300)
        unknown = self.folder / "unknown.sqf"
        unknown.write_bytes(self.q4.read_bytes())
        config = tiny.LLAMA | {"num_hidden_layers": 1}
        for files, code in [((self.q4, absent), IO), ((absent, self.q4), IO), ((self.q4, damaged), MALFORMED),
                            ((damaged, absent), MALFORMED), ((absent, damaged, self.q4), MALFORMED)]:
            self.call("sqcheck", *files, code=code, words=[f.name for f in files if f != self.q4])
        source = tiny.write_folder(self.folder / "m", config)
        tokenizer = tiny.tokenizer()
        tokenizer["model"] = {"type": "Unigram", "vocab": [["a", 0.5]]}
        (source / "tokenizer.json").write_text(json.dumps(tokenizer))
        self.call("sqconv", source, "-o", unknown, "--force", "-q")
        out = self.call("sqcheck", unknown, code=UNSUPPORTED, words=["note", "Unigram"])
        self.assertIn(b": good\n", out)
        answer = json.loads(self.call("sqcheck", "--json", unknown, code=UNSUPPORTED))
        self.assertEqual((answer["good"], answer["findings"], len(answer["notes"])), (True, [], 1))
        self.call("sqcheck", unknown, absent, code=IO)
        self.call("sqcheck", absent, unknown, self.q4, code=IO)
        self.call("sqcheck", unknown, damaged, code=MALFORMED)

    def test_json_of_one_file_and_lines_of_several(self):
        one = self.call("sqcheck", "--json", self.q4)
        self.assertGreater(one.count(b"\n"), 100)
        answer = json.loads(one)
        self.assertEqual((answer["file"], answer["good"], answer["findings"]), (str(self.q4), True, []))
        self.assertEqual(answer["info"]["tensors"], self.info(self.q4)["tensors"])
        files = [self.q4, self.shared / "none.gguf", self.folder / "absent", self.q8]
        lines = self.call("sqcheck", "--json", *files, code=MALFORMED).splitlines()
        answers = [json.loads(line) for line in lines]
        self.assertEqual([a["file"] for a in answers], list(map(str, files)))
        self.assertEqual([a["good"] for a in answers], [True, False, False, True])
        self.assertTrue(all("info" not in a for a in answers))
        foreign, absent = answers[1]["findings"][0], answers[2]["findings"][0]
        self.assertEqual((foreign["rule"], foreign["code"], foreign["offset"]), (102, MALFORMED, 0))
        self.assertEqual((absent["rule"], absent["code"]), (0, IO))
        self.assertEqual(set(absent), {"rule", "code", "message"})

    def test_a_damaged_byte_names_tensor_and_offset(self):
        plane = self.components(self.q4, Q_PROJ)[0]
        file = self.damaged(self.q4, plane["offset"] + 17)
        found = json.loads(self.call("sqcheck", "--json", file, code=MALFORMED))["findings"]
        self.assertEqual([f["rule"] for f in found], [502, 503])
        self.assertEqual((found[1]["tensor"], found[1]["offset"]), (Q_PROJ, plane["offset"]))
        self.call("sqcheck", file, code=MALFORMED,
                  words=["R502", "R503", Q_PROJ, str(plane["offset"]), f"{file}: 2 findings"])
        self.assertIn(b"good", self.call("sqcheck", "--quick", file))
        self.assertTrue(json.loads(self.call("sqcheck", "--quick", "--json", file))["good"])

    def test_every_damaged_tensor_is_named_up_to_the_limit(self):
        names = [Q_PROJ, "model.layers.1.mlp.up_proj.weight", "model.norm.weight"]
        file = self.damaged(self.q4, *(self.components(self.q4, n)[0]["offset"] for n in names))
        found = json.loads(self.call("sqcheck", "--json", file, code=MALFORMED))["findings"]
        self.assertEqual(sorted(f["tensor"] for f in found if f["rule"] == 503), sorted(names))
        one = json.loads(self.call("sqcheck", "--json", "--max-findings", "1", file, code=MALFORMED))
        self.assertEqual(len(one["findings"]), 1)
        self.call("sqcheck", "--max-findings", "2", file, code=MALFORMED, words=["2 findings, and there may be more"])

    def test_model_rules_do_not_stop_the_check_of_the_data(self):
        bad = next((GOLDEN / "bad").glob("R702_*.sqf"))
        tensor = self.info(bad)["tensors"][0]
        at = tensor["parts"][0]["components"][0]["offset"]
        found = json.loads(self.call("sqcheck", "--json", self.damaged(bad, at), code=MALFORMED))["findings"]
        self.assertEqual([f["rule"] for f in found], [702, 502, 503])
        self.assertIn("tensor", found[0])
        quick = json.loads(self.call("sqcheck", "--json", "--quick", self.damaged(bad, at), code=MALFORMED))
        self.assertEqual([f["rule"] for f in quick["findings"]], [702])

    def test_golden_files(self):
        good, bad = sorted((GOLDEN / "good").glob("*.sqf")), sorted((GOLDEN / "bad").glob("*.sqf"))
        self.assertTrue(good and bad)
        self.call("sqcheck", *good)
        lines = self.call("sqcheck", "--json", *bad, code=MALFORMED).splitlines()
        for file, line in zip(bad, lines, strict=True):
            answer = json.loads(line)
            with self.subTest(file.name):
                self.assertEqual(answer["findings"][0]["rule"] if answer["findings"] else None, int(file.name[1:4]))

    def test_help_and_usage(self):
        for command, *words in [([], "--quick", "steps 1 to 14", "info FILE", "diff A B"), (["info"], "--ranges", "--all"),
                                (["diff"], "same values", "Exit codes"), (["rules"], "rules")]:
            out = self.text(*command, "--help")
            for word in words:
                self.assertIn(word, out)
        for args in ([], ["info"], ["diff", self.q4], ["diff", self.q4, self.q4, self.q4], ["info", self.q4, self.q8],
                     ["--max-findings", "0", self.q4], ["--ranges", self.q4], ["rules", self.q4]):
            self.call("sqcheck", *args, code=USAGE)


class Info(Files):
    def test_tree_folds_layers_that_are_alike(self):
        out = self.text("info", self.q4)
        self.assertRegex(out, r"─ 0\.\.2 +3 alike")
        self.assertEqual(out.count("q_proj.weight"), 1)
        self.assertEqual(self.text("info", "--all", self.q4).count("q_proj.weight"), 3)
        self.assertLessEqual(max(map(len, out.splitlines())), 100)
        # The fold's sum is that of its three layers.
        total = sum(t["bytes"] for t in self.info(self.q4)["tensors"] if ".layers." in t["name"])
        self.assertRegex(out, rf"3 alike.* {total / 1e3:.1f} KB")

    def test_layers_that_differ_stay_apart(self):
        file = self.folder / "m.sqf"
        self.call("sqconv", self.shared / "m", "-o", file, "-q", "--rule", r"layers\.0\.mlp=bits=6")
        out = self.text("info", file)
        self.assertRegex(out, r"─ 0 +\d")
        self.assertRegex(out, r"─ 1\.\.2 +2 alike")
        self.assertEqual(out.count("q_proj.weight"), 2)

    def test_letters(self):
        plain = self.text("info", self.q4, locale="C")
        self.assertTrue(plain.isascii())
        self.assertIn("|- ", plain)
        drawn = self.text("info", self.q4)
        for letter, sign in {"├─": "|-", "└─": "`-", "│": "|"}.items():
            drawn = drawn.replace(letter, sign)
        self.assertEqual(drawn, plain)
        self.assertNotIn("\x1b", plain)

    def test_what_the_text_says(self):
        out = self.text("info", self.q4)
        for word in ("SQF 1.0", "written by sqconv", "llama: 3 layers", "context 128", "rope theta 10000", "TOKN", "inputs",
                     "4-bit asymmetric g32", "bits per weight"):
            self.assertIn(word, out)
        parts = self.text("info", GOLDEN / "good" / "column_parts.sqf")
        self.assertIn("2 column parts", parts)
        self.assertIn("with column factors, row sums", parts)
        others = self.text("info", GOLDEN / "good" / "activations.sqf")
        for word in ("with bias, low-rank 3 f16", "int4 asymmetric per token; divided by a smoothing vector"):
            self.assertIn(word, others)
        self.assertIn("zstd of", self.text("info", GOLDEN / "good" / "compressed.sqf"))

    def test_json_accounts_for_every_byte(self):
        for file in [self.q4, self.f16, *sorted((GOLDEN / "good").glob("*.sqf"))]:
            with self.subTest(file.name):
                info, places = self.info(file), []
                for tensor in info["tensors"]:
                    own = [c for p in tensor["parts"] for c in p["components"]] + tensor.get("components", [])
                    self.assertEqual(sum(c["bytes"] for c in own), tensor["bytes"])
                    self.assertAlmostEqual(tensor["bits_per_weight"], 8 * tensor["bytes"] / tensor["weights"])
                    places += [(c["offset"], c["bytes"]) for c in own]
                for given in info["inputs"]:
                    shared = [s["columns"] for s in given["sets"] if "columns" in s]
                    places += [(c["offset"], c["bytes"]) for c in shared + [given[k] for k in ("smooth",) if k in given]]
                places.sort()
                for (a, size), (b, _) in zip(places, places[1:]):
                    self.assertLessEqual(a + size, b)
                data = info["sections"][-1]
                self.assertEqual(sum(size for _, size in places) + info["data"]["gaps"], data["bytes"])
                self.assertEqual(sum(e["bytes"] for e in info["encodings"]), info["data"]["tensors"])
                self.assertEqual(info["bits_per_weight"], 8 * data["bytes"] / info["weights"])
                self.assertEqual(info["file_bytes"], file.stat().st_size)

    def test_ranges_are_those_of_the_values(self):
        entries = {name: ("F32", shape, struct.pack(f"<{len(raw) // 2}f", *struct.unpack(f"<{len(raw) // 2}e", raw)))
                   for name, (_, shape, raw) in self.entries.items()}
        name = "model.layers.1.mlp.down_proj.weight"
        values = list(struct.unpack(f"<{len(entries[name][2]) // 4}f", entries[name][2]))
        values[5:9] = [0.0, -7.5, 0.0, 6.25]
        entries[name] = ("F32", entries[name][1], struct.pack(f"<{len(values)}f", *values))
        config = tiny.LLAMA | {"num_hidden_layers": 3}
        source, file = tiny.write_folder(self.folder / "m", config, entries), self.folder / "m.sqf"
        self.call("sqconv", source, "-o", file, "-q", "--method", "none")
        ranges = {t["name"]: t["ranges"] for t in self.info(file, "--ranges")["tensors"]}
        self.assertEqual(len(ranges), len(self.info(file)["tensors"]))
        got = ranges[name]
        self.assertEqual((got["min"], got["max"], got["non_finite"]), (-7.5, 6.25, 0))
        self.assertAlmostEqual(got["mean_abs"], sum(map(abs, values)) / len(values))
        self.assertAlmostEqual(got["zeros"], sum(v == 0 for v in values) / len(values))
        self.assertNotIn("scales", got)
        self.assertIn("-7.5 .. 6.25", self.text("info", "--ranges", file))
        self.assertIn("scales", next(t for t in self.info(self.q4, "--ranges")["tensors"] if t["name"] == Q_PROJ)["ranges"])
        self.assertNotIn("ranges", self.info(file)["tensors"][0])

    def test_ranges_note_what_is_not_finite(self):
        offset = self.components(self.f16, "model.norm.weight")[0]["offset"]
        data = bytearray(self.f16.read_bytes())
        element = self.components(self.f16, "model.norm.weight")[0]["element"]
        data[offset:offset + 4] = struct.pack("<f", float("inf")) if element == "f32" else b"\x00\x7c\x00\x7e"
        file = self.folder / "inf.sqf"
        file.write_bytes(data)
        got = next(t for t in self.info(file, "--ranges")["tensors"] if t["name"] == "model.norm.weight")["ranges"]
        self.assertEqual(got["non_finite"], 1 if element == "f32" else 2)
        self.assertIn("NOT FINITE", self.text("info", "--ranges", file))


class Diff(Files):
    def diff(self, *args, code=0):
        return json.loads(self.call("sqcheck", "diff", "--json", *args, code=code))

    def test_a_file_is_like_itself(self):
        for file in [self.q4, *sorted((GOLDEN / "good").glob("*.sqf"))]:
            found = self.diff(file, file)
            self.assertEqual({t["result"] for t in found["tensors"]}, {"same bytes"})
            self.assertEqual((found["same_values"], found["meta"], found["sections"]), (True, [], []))

    def test_four_bits_and_eight(self):
        near, far = self.diff(self.f16, self.q8, code=MALFORMED), self.diff(self.f16, self.q4, code=MALFORMED)
        self.assertFalse(near["same_values"])
        for a, b in zip(near["tensors"], far["tensors"], strict=True):
            if "norm" in a["name"]:
                self.assertIn(a["result"], ("same bytes", "same values"))
            elif "layers" in a["name"]:
                self.assertEqual((a["result"], b["result"]), ("differ", "differ"))
                self.assertTrue(0 < a["relative_error"] < 1e-3 < b["relative_error"] < 0.05, (a, b))
                self.assertGreater(b["largest"], a["largest"])
                self.assertIn("-> 8-bit", a["details"][0])
        out = self.text("diff", self.q4, self.q8, code=MALFORMED)
        self.assertIn("/quantization/layers: ", out)
        self.assertIn("21 differ", out)
        self.assertNotIn("model.norm.weight", out)
        self.assertIn("model.norm.weight", self.text("diff", "--all", self.q4, self.q8, code=MALFORMED))

    def test_the_error_is_that_of_the_values(self):
        name = "model.layers.2.mlp.gate_proj.weight"
        dtype, shape, raw = self.entries[name]
        values = list(struct.unpack(f"<{len(raw) // 2}e", raw))
        changed = values[:]
        changed[100] += 0.5
        entries = self.entries | {name: (dtype, shape, struct.pack(f"<{len(values)}e", *changed))}
        source, file = tiny.write_folder(self.folder / "m", tiny.LLAMA | {"num_hidden_layers": 3}, entries), self.folder / "m.sqf"
        self.call("sqconv", source, "-o", file, "-q", "--method", "none")
        found = self.diff(self.f16, file, code=MALFORMED)
        differing = [t for t in found["tensors"] if t["result"] != "same bytes"]
        self.assertEqual([t["name"] for t in differing], [name])
        step = struct.unpack("<e", struct.pack("<e", changed[100]))[0] - values[100]
        self.assertAlmostEqual(differing[0]["largest"], abs(step))
        self.assertAlmostEqual(differing[0]["relative_error"], step * step / sum(v * v for v in values))

    def test_same_values_stored_otherwise(self):
        wide = {name: ("F32", shape, struct.pack(f"<{len(raw) // 2}f", *struct.unpack(f"<{len(raw) // 2}e", raw)))
                for name, (_, shape, raw) in self.entries.items()}
        source, file = tiny.write_folder(self.folder / "m", tiny.LLAMA | {"num_hidden_layers": 3}, wide), self.folder / "m.sqf"
        self.call("sqconv", source, "-o", file, "-q", "--method", "none")
        found = self.diff(self.f16, file)
        self.assertTrue(found["same_values"])
        self.assertIn("same values", {t["result"] for t in found["tensors"]})
        self.assertNotEqual(found["meta"], [])  # sizes of the sources

    def test_tensors_of_several_parts(self):
        parts = GOLDEN / "good" / "column_parts.sqf"
        at = next(t for t in self.info(parts)["tensors"] if t["name"] == "outliers")["parts"][0]["components"][0]["offset"]
        found = self.diff(parts, self.damaged(parts, at), code=MALFORMED)
        differing = [t for t in found["tensors"] if t["result"] != "same bytes"]
        self.assertEqual([t["name"] for t in differing], ["outliers"])
        self.assertGreater(differing[0]["relative_error"], 0)

    def test_other_models(self):
        found = self.diff(self.q4, GOLDEN / "good" / "model_tied.sqf", code=MALFORMED)
        results = {t["name"]: t for t in found["tensors"]}
        self.assertEqual(results["lm_head.weight"]["result"], "only in A")
        self.assertEqual(results["model.layers.2.mlp.up_proj.weight"]["result"], "only in A")
        self.assertIn("shape", results["model.norm.weight"]["details"][0])
        pointers = {d["pointer"]: d for d in found["meta"]}
        self.assertEqual(pointers["/model/hidden_size"]["a"], 64)
        self.assertIn("TOKN", {s["kind"] for s in found["sections"]})
        turned = self.diff(GOLDEN / "good" / "model_tied.sqf", self.q4, code=MALFORMED)
        self.assertEqual({t["name"]: t["result"] for t in turned["tensors"]}["lm_head.weight"], "only in B")
        self.call("sqcheck", "diff", self.q4, self.folder / "absent", code=IO, words=["absent"])
        self.call("sqcheck", "diff", self.shared / "none.gguf", self.q4, code=MALFORMED, words=["none.gguf", "R102"])
