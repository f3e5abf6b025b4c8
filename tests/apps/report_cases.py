"""--report and --eval of a real conversion: that the document says what was done and what it cost."""
import json

import tiny_model as tiny
from harness import IO, MALFORMED, USAGE, Case

CALIB = ["--calib-window", "32", "--calib-tokens", "320"]


class Report(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = tiny.write_folder(cls.shared / "model", tiny.LLAMA | {"max_position_embeddings": 1024})
        cls.text = cls.shared / "text.txt"
        cls.text.write_text("".join(f"line {i}: hello, world, {i * i}\n" for i in range(400)))

    def report(self, *options):
        self.call("sqconv", self.model, "-o", self.folder / "m.sqf", "-q", "--force", "--report",
                  self.folder / "r.json", *options)
        return json.loads((self.folder / "r.json").read_text())

    def test_errors_are_those_of_the_weights(self):
        calib = ["--calib", self.text, *CALIB]
        said = self.report(*calib, "--bits", "3")
        matrices = [t for t in said["tensors"] if t["rounding"] == "rtn" and t["layer"] >= 0]
        self.assertTrue(matrices)
        for t in matrices:
            # What the search made least is what is told; plain ranges are among its candidates.
            self.assertLess(t["output_error"]["after"], t["output_error"]["before"], t["name"])
            self.assertEqual(t["weight_range_before"], t["weight_range_after"], t["name"])
        # Without smoothing, plain ranges are the plain rounding itself; a pair changes no range.
        plain = self.report(*calib, "--bits", "3", "--range", "minmax", "--lorc", "1")
        for t, searched in zip(plain["tensors"], said["tensors"]):
            if t["layer"] < 0 or not t["output_error"]:
                continue
            self.assertEqual(t["output_error"]["before"], searched["output_error"]["before"], t["name"])
            self.assertLess(t["output_error"]["after"], t["output_error"]["before"], t["name"])
            self.assertLess(t["low_rank"]["error_after"], t["low_rank"]["error_before"], t["name"])

    def test_smoothing_and_outliers(self):
        calib = ["--calib", self.text, *CALIB]
        said = self.report(*calib, "--method", "smoothquant", "--alpha", "0.5")
        qkv = next(i for i in said["inputs"] if i["site"] == "qkv")
        self.assertEqual((qkv["smoothing"]["alpha"], qkv["smoothing"]["state"]), (0.5, "folded"))
        self.assertEqual(qkv["activation"], "int8 per token")
        before, after = qkv["range_before"], qkv["range_after"]
        self.assertEqual(before["max"], max(before["abs_max"]))
        self.assertNotEqual(before["abs_max"], after["abs_max"])
        q = next(t for t in said["tensors"] if t["role"] == "q")
        self.assertNotEqual(q["weight_range_before"], q["weight_range_after"])
        for t in said["tensors"]:  # 8 bits; errors are those of the unfolded weights
            if t["output_error"]:
                self.assertLess(t["output_error"]["after"], 1e-3, t["name"])
        said = self.report(*calib, "--method", "quik", "--round", "nearest")
        down = next(i for i in said["inputs"] if i["site"] == "down")
        sizes = down["range_before"]["abs_max"]
        kept = set(down["outliers"])
        self.assertTrue(kept)
        self.assertGreaterEqual(min(sizes[k] for k in kept),
                                max(s for k, s in enumerate(sizes) if k not in kept))

    def test_evaluation(self):
        evaluation = ["--eval", self.text]
        exact = self.report("--method", "none", *evaluation)["evaluation"]
        rough = self.report("--bits", "2", *evaluation)["evaluation"]
        self.assertLess(exact["kl"]["mean"], 1e-3)
        self.assertGreater(rough["kl"]["mean"], exact["kl"]["mean"])
        self.assertEqual(exact["source"], rough["source"])
        out = self.call("sqconv", self.model, "-o", self.folder / "m.sqf", "--force", *evaluation)
        self.assertIn(b"perplexity ", out)

    def test_refused_before_the_work(self):
        target = self.folder / "m.sqf"
        self.refused("sqconv", self.model, "-o", target, "--report", self.folder / "r.pdf", code=USAGE, words=["r.pdf"])
        self.refused("sqconv", self.model, "-o", target, "--eval", self.folder / "none.txt", code=IO, words=["none.txt"])
        (self.folder / "broken.txt").write_bytes(b"abc\xff")
        self.refused("sqconv", self.model, "-o", target, "--eval", self.folder / "broken.txt", code=MALFORMED,
                     words=["UTF-8"])
        (self.folder / "r.html").write_bytes(b"mine")
        self.refused("sqconv", self.model, "-o", target, "--report", self.folder / "r.html", code=IO,
                     words=["exists already"])

    def test_plan_is_a_dry_run(self):
        said = self.call("sqconv", "plan", self.model, "--method", "quik")
        self.assertEqual(said, self.call("sqconv", self.model, "--dry-run", "--method", "quik"))
        self.assertEqual(list(self.folder.iterdir()), [])
