"""kill -9 at 200 random moments of a conversion. Where the output goes there is nothing, what was
there, or the whole new file; the next run is in no way hindered and clears up."""
import collections
import fcntl
import os
import random
import signal
import subprocess
import sys
import time

import faults
import harness
import tiny_model as tiny
from harness import Case, start

KILLS = 200
SEED = 20250808
# Spread the calls over time, so that a moment falls between any two of them.
SLOW = ",".join(f"{kind}:0+:delay-{ms}" for kind, ms in (
    ("create", 4), ("flock", 4), ("fallocate", 4), ("pwrite", 6), ("fsync", 6), ("close", 3), ("rename", 8),
    ("link", 8), ("unlink", 8), ("open_folder", 6), ("fsync_folder", 4)))


class Kills(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tiny = tiny.write_folder(cls.shared / "tiny")
        cls.medium = faults.medium_folder(cls.shared / "medium")

    def begin(self, *options):
        return start("sqconv", self.medium, "-o", self.target, "-q", "--method", "none", *options[1:],
                     env=faults.environment(SLOW + options[0]))

    def test_kills(self):
        rng = random.Random(SEED)
        self.target = self.folder / "m.sqf"
        self.call("sqconv", self.tiny, "-o", self.target, "-q")
        small = self.target.read_bytes()
        self.target.unlink()
        # Without a target, with one, and on a file system that can only link.
        ways = {"new": ("",), "replace": ("", "--force"), "link": (",rename:1:EINVAL",)}
        whole, took = {}, {}
        for way, options in ways.items():
            for _ in range(3):
                self.target.unlink(missing_ok=True)
                begun = time.monotonic()
                self.assertEqual(self.begin(*options).wait(60), 0)
                took[way] = min(took.get(way, 60), time.monotonic() - begun)
            self.call("sqcheck", self.target)
            whole[way] = self.target.read_bytes()
        self.target.unlink()
        self.assertGreater(min(took.values()), 0.1)
        met = collections.Counter()
        for _ in range(KILLS // harness.EVERY):
            way = rng.choice(list(ways))
            old = small if way == "replace" else None
            if old is not None:
                self.target.write_bytes(old)
            process = self.begin(*ways[way])
            time.sleep(rng.uniform(0, took[way] * 1.05))
            process.kill()
            process.communicate()
            self.assertIn(process.returncode, (0, -signal.SIGKILL))
            met[self.state(old, whole[way], process.returncode)] += 1
            # The next run is one of a process with another number.
            self.call("sqconv", self.tiny, "-o", self.target, "-q", "--force")
            self.assertEqual(self.target.read_bytes(), small)
            self.assertEqual(os.listdir(self.folder), ["m.sqf"])
            self.target.unlink()
        print(f"{KILLS // harness.EVERY} kills within {max(took.values()):.3f} s: {dict(met)}", file=sys.stderr)
        for phase in ("before", "while writing", "in place") if harness.EVERY == 1 else ():
            self.assertGreater(met[phase], 0, met)

    def state(self, old, new, code):
        """The phase that a killed run was in, from what it left; fails where that is not allowed."""
        found = self.target.read_bytes() if self.target.exists() else None
        self.assertTrue(found in (old, new), "the target is neither old nor new")
        left = [self.folder / name for name in os.listdir(self.folder) if name != "m.sqf"]
        self.assertLessEqual(len(left), 1)
        for path in left:
            self.assertEqual(path.name, f".m.sqf.tmp-{path.name.rpartition('-')[2]}")
        if code == 0:
            self.assertEqual((found, left), (new, []))
            return "ended"
        if found == new:
            return "in place, two names" if left else "in place"
        if not left:
            return "before"
        return "written, not in place" if left[0].read_bytes() == new else "while writing"

    def test_only_what_nobody_writes_is_removed(self):
        """Not of a living process, not of another target, not what only looks like it."""
        target = self.folder / "m.sqf"
        writer = start("sqconv", self.medium, "-o", target, "-q", "--method", "none",
                       env=faults.environment("fsync:1:delay-3000"))
        while not any(".tmp-" in name for name in os.listdir(self.folder)):
            self.assertIsNone(writer.poll())
            time.sleep(0.001)
        # A number that no process has: 2^22 is the largest that Linux gives.
        dead = 2 ** 22 + 1
        ours = self.folder / f".m.sqf.tmp-{dead}"
        kept = [f".m.sqf.tmp-{os.getpid()}", ".m.sqf.tmp-1", ".m.sqf.tmp-", f".m.sqf.tmp-{dead}x", ".m.sqf.tmp--5",
                f".m.sqf.tmp-{2 ** 70}", f".n.sqf.tmp-{dead}", f"m.sqf.tmp-{dead}", f".m.sqf.tmp-{dead + 1}"]
        for name in kept[:-1]:
            (self.folder / name).write_bytes(b"kept")
        (self.folder / kept[-1]).symlink_to("elsewhere")
        ours.write_bytes(b"left behind")
        # As a writer in another container shows itself: no process of that number here, but a lock.
        elsewhere = (self.folder / f".m.sqf.tmp-{dead + 2}").open("wb")
        self.addCleanup(elsewhere.close)
        fcntl.flock(elsewhere, fcntl.LOCK_EX)
        kept.append(os.path.basename(elsewhere.name))
        self.call("sqconv", self.tiny, "-o", target, "-q")
        mine = f".m.sqf.tmp-{writer.pid}"
        self.assertEqual(sorted(os.listdir(self.folder)), sorted([*kept, mine, "m.sqf"]))
        before = target.read_bytes()
        _, err = writer.communicate(timeout=600)  # without --force, it finds the name taken
        self.assertEqual(writer.returncode, 3, err)
        self.assertIn(b"File exists", err)
        self.assertEqual(target.read_bytes(), before)
        self.assertEqual(sorted(os.listdir(self.folder)), sorted([*kept, "m.sqf"]))

    def test_left_behind_under_our_own_number(self):
        """As in containers, where every run has the same one."""
        target = self.folder / "m.sqf"
        script = 'printf left > "$1/.m.sqf.tmp-$$"; shift; exec "$@"'
        done = subprocess.run(["sh", "-c", script, "sh", self.folder, harness.PROGRAMS / "sqconv", self.tiny,
                               "-o", target, "-q"], capture_output=True, timeout=600)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(os.listdir(self.folder), ["m.sqf"])
        self.call("sqcheck", target)
