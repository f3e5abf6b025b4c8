"""Every file call of a conversion fails once, in every way it can. Each time sqconv exits with 3 and
says which file and why, or gets over it and exits with 0; where the output goes there is what was
there, or the very file that a run without faults writes; no temporary file stays."""
import collections
import errno
import json
import os
import sys

import faults
import tiny_model as tiny
import harness
from harness import IO, MALFORMED, Case

RECOVERED = 0
# Of each kind of call: what can go wrong, and how it must end.
MODES = {
    "create": {"EIO": IO, "ENOSPC": IO, "EACCES": IO, "EROFS": IO, "EINTR": RECOVERED},
    "open_folder": {"EIO": IO, "EINTR": RECOVERED, "EACCES": RECOVERED},
    "fallocate": {"EIO": IO, "ENOSPC": IO, "EDQUOT": IO, "EINTR": RECOVERED, "EOPNOTSUPP": RECOVERED,
                  "EINVAL": RECOVERED, "ENOSYS": RECOVERED},
    "pwrite": {"EIO": IO, "ENOSPC": IO, "EDQUOT": IO, "EINTR": RECOVERED, "short": RECOVERED},
    "fsync": {"EIO": IO, "ENOSPC": IO, "EDQUOT": IO, "EINTR": RECOVERED},
    "fsync_folder": {"EIO": IO, "EINTR": RECOVERED, "EINVAL": RECOVERED},
    "close": {"EIO": IO, "ENOSPC": IO, "EINTR": RECOVERED},
    "rename": {"EIO": IO, "ENOSPC": IO, "EROFS": IO, "after-EIO": IO},
    "statvfs": {"EIO": RECOVERED, "EINTR": RECOVERED, "unknown": RECOVERED, "free-1000": IO},
    "mmap": {"ENOMEM": IO, "EACCES": IO},
    "flock": {"ENOLCK": RECOVERED, "EOPNOTSUPP": RECOVERED, "EINTR": RECOVERED},
}
IN_PLACE = b"is complete and in place"


class Faults(Case):
    runs = 0

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tiny = tiny.write_folder(cls.shared / "tiny")
        cls.medium = faults.medium_folder(cls.shared / "medium")

    @classmethod
    def tearDownClass(cls):
        print(f"{Faults.runs} runs under the shim", file=sys.stderr)

    def convert(self, source, options, fault, code, words=()):
        Faults.runs += 1
        log = self.shared / "log"
        self.call("sqconv", source, "-o", self.target, "-q", *options, code=code, words=words,
                  env=faults.environment(fault, log))
        return faults.calls(log)

    def good_run(self, source, options):
        """Bytes of a good file and the calls that made it."""
        self.folder.mkdir(exist_ok=True)
        self.target = self.folder / "m.sqf"
        self.target.unlink(missing_ok=True)
        log = self.convert(source, options, "", 0)
        self.call("sqcheck", self.target)
        good = self.target.read_bytes()
        self.target.unlink()
        return good, log

    def expected(self, log, kind, number, code):
        """Exit code and words of the error when call `number` fails in a way that should give `code`."""
        seen = [i for i, call in enumerate(log) if call[0] == kind]
        if number > len(seen):
            return RECOVERED, []
        rename = [call[0] for call in log].index("rename")
        if kind == "close" and seen[number - 1] != rename - 1:
            return RECOVERED, []  # of a file that was read
        if kind == "mmap" and seen[number - 1] < rename and seen[number - 1] < seen[-2]:
            return code, []  # of an input
        return code, ["m.sqf"] if code else []

    def every_call(self, source, options, kinds=tuple(MODES)):
        good, log = self.good_run(source, options)
        counts = collections.Counter(call[0] for call in log)
        for kind in kinds:
            self.assertGreater(counts[kind], 0, kind)
            for mode, wanted in MODES[kind].items():
                for number in range(1, counts[kind] + 2, harness.EVERY):
                    for old in (None, b"old"):
                        with self.subTest(kind=kind, mode=mode, call=number, old=old):
                            self.one_fault(source, options, (good, log), (kind, number, mode, wanted), old)

    def one_fault(self, source, options, reference, fault, old):
        (good, log), (kind, number, mode, wanted) = reference, fault
        if old is not None:
            self.target.write_bytes(old)
        code, words = self.expected(log, kind, number, wanted)
        if code and mode.split("-")[-1].startswith("E"):
            words.append(os.strerror(getattr(errno, mode.split("-")[-1])))
        ran = self.convert(source, [*options, *(["--force"] if old else [])], f"{kind}:{number}:{mode}", code, words)
        done = code == 0 or kind in ("open_folder", "fsync_folder") or mode == "after-EIO" or (
            kind == "mmap" and number == sum(call[0] == kind for call in log))
        self.assertEqual(self.target.read_bytes() if self.target.exists() else None, good if done else old)
        self.assertEqual(os.listdir(self.folder), ["m.sqf"] if done or old else [])
        if kind == "fsync" and code == IO:  # asking again may be answered with "good"
            self.assertEqual(sum(call[0] == "fsync" for call in ran), number)
        self.target.unlink(missing_ok=True)

    def test_every_call(self):
        self.every_call(self.tiny, ["-t", "1"])

    def test_every_write_of_many(self):
        self.every_call(self.medium, ["-t", "1", "--method", "none"], ("pwrite", "fsync"))

    def test_order_of_a_good_run(self):
        """The header is written when everything else is on the disk, the name given when the header is."""
        for source, options in ((self.tiny, []), (self.medium, ["--method", "none"])):
            good, log = self.good_run(source, options)
            kinds = [call[0] for call in log if call[0] not in ("mmap", "statvfs", "flock")]
            first = kinds.index("create")
            writes = [call for call in log if call[0] == "pwrite"]
            self.assertEqual(kinds[first:], ["create", "fallocate"] + ["pwrite"] * (len(writes) - 1) +
                             ["fsync", "pwrite", "fsync", "close", "rename", "open_folder", "fsync_folder", "close",
                              "close"])
            self.assertEqual([call[2:] for call in writes if call[2] == 0], [writes[-1][2:]])
            self.assertEqual(writes[-1][2:], (0, 256))
            self.assertEqual(next(call[3] for call in log if call[0] == "fallocate"), len(good))

    def test_a_file_system_that_cannot(self):
        """Without preallocation, exclusive renaming, hard links, locks: still safe."""
        good, _ = self.good_run(self.tiny, [])
        no_rename = [f"rename:1:{word}" for word in ("EINVAL", "ENOSYS", "EOPNOTSUPP", "EPERM")]
        for fault in ["fallocate:1:EOPNOTSUPP", "fallocate:1:EOPNOTSUPP,ftruncate:1:EINTR", *no_rename,
                      *(f"{no_rename[0]},link:1:{word}" for word in ("EPERM", "EOPNOTSUPP", "ENOSYS")),
                      f"{no_rename[0]},link:1:EPERM,create:2:EINTR"]:
            with self.subTest(fault):
                self.convert(self.tiny, [], fault, 0)
                self.assertEqual(self.target.read_bytes(), good)
                self.assertEqual(os.listdir(self.folder), ["m.sqf"])
                self.target.unlink()
        for fault, word in [("fallocate:1:EOPNOTSUPP,ftruncate:1:EIO", "cannot set the size"),
                            (f"{no_rename[0]},link:1:EIO", "cannot put it in place"),
                            (f"{no_rename[0]},link:1:EPERM,create:2:EIO", "cannot put it in place"),
                            (f"{no_rename[0]},link:1:EPERM,rename:2:EIO", "cannot put it in place")]:
            with self.subTest(fault):
                self.convert(self.tiny, [], fault, IO, ["m.sqf", word, "Input/output error"])
                self.assertEqual(os.listdir(self.folder), [])

    def test_a_target_that_appears_meanwhile(self):
        self.good_run(self.tiny, [])
        for fault in ["rename:1:appear", "rename:1:EINVAL,link:1:appear", "rename:1:EINVAL,link:1:EPERM,create:2:appear"]:
            with self.subTest(fault):
                self.convert(self.tiny, [], fault, IO, ["m.sqf", "File exists"])
                self.assertEqual(self.target.read_bytes(), b"appeared")
                self.assertEqual(os.listdir(self.folder), ["m.sqf"])
                self.target.unlink()

    def test_free_space(self):
        good, _ = self.good_run(self.tiny, [])
        need = len(good) + len(good) // 100
        for free, code in ((0, IO), (len(good) - 1, IO), (need - 1, IO), (need, 0)):
            words = ["m.sqf", f"needs {len(good)} bytes", f"has {free} free"] if code else []
            log = self.convert(self.tiny, [], f"statvfs:1:free-{free}", code, words)
            self.assertEqual(any(call[0] == "create" for call in log), code == 0)
        self.assertEqual(os.listdir(self.folder), ["m.sqf"])

    def test_in_place_but_perhaps_not_for_good(self):
        good, _ = self.good_run(self.tiny, [])
        for fault in ("open_folder:1:EIO", "fsync_folder:1:EIO"):
            self.convert(self.tiny, ["--force"], fault, IO, [IN_PLACE.decode(), "m.sqf", "Input/output error"])
            self.assertEqual(self.target.read_bytes(), good)

    def test_threads_that_cannot_be_had(self):
        good, _ = self.good_run(self.tiny, [])
        for fault in ("thread:1+:EAGAIN", "thread:2:EAGAIN"):
            self.convert(self.tiny, ["-t", "4"], fault, 0)
            self.assertEqual(self.target.read_bytes(), good)
            self.target.unlink()

    def test_a_temporary_that_cannot_be_removed(self):
        """It stays, and goes with the next run."""
        good, _ = self.good_run(self.tiny, [])
        self.convert(self.tiny, [], "fsync:1:EIO,unlink:1:EIO", IO, ["m.sqf"])
        self.assertEqual(len([name for name in os.listdir(self.folder) if ".tmp-" in name]), 1)
        self.convert(self.tiny, [], "rename:1:EINVAL,unlink:2:EIO", 0)
        self.assertEqual(self.target.read_bytes(), good)
        self.assertEqual(len([name for name in os.listdir(self.folder) if ".tmp-" in name]), 1)
        self.call("sqconv", self.tiny, "-o", self.target, "-q", "--force")
        self.assertEqual(os.listdir(self.folder), ["m.sqf"])
        self.assertEqual(self.target.read_bytes(), good)

    def test_what_would_not_open_replaces_nothing(self):
        folder = tiny.write_folder(self.shared / "long_template")
        (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "x" * (2 ** 20 + 1)}))
        target = self.folder / "m.sqf"
        target.write_bytes(b"old")
        self.refused("sqconv", folder, "-o", target, "-q", "--force", code=MALFORMED,
                     words=["m.sqf: would not open", "R206", "TMPL"])

    def test_lost_numbers_are_told(self):
        lost = [f"model.layers.{i}.mlp.{name}_proj.weight" for i in (0, 1) for name in ("gate", "up")]
        for value, scale, words in ((2e6, "f16", "20 scales or values were too large for their type and 0 groups"),
                                    (1e-42, "f32", "0 scales or values were too large for their type and 20 groups")):
            entries = tiny.tensors(tiny.LLAMA, "F32")
            for i, name in enumerate(lost):  # in one, two, three and four rows of two groups
                dtype, shape, data = entries[name]
                head = tiny.encode([value, -value] * (shape[1] * (i + 1) // 2), "F32")
                entries[name] = (dtype, shape, head + data[len(head):])
            folder = tiny.write_folder(self.shared / f"lost_{scale}", entries=entries)
            self.call("sqconv", folder, "-o", self.folder / f"{scale}.sqf", "-q", "--scale", scale, "--range", "minmax",
                      words=["sqconv: warning: in 4 tensors", words,
                             f"most in {lost[3]} (8), {lost[2]} (6), {lost[1]} (4)\n"])
