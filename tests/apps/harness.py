"""Runs the programs and holds them to what every call must keep: an exit code of the documented
six, never a signal; an error that starts with the program's name; files left alone on failure."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

PROGRAMS = pathlib.Path()  # set by programs_test.py
SANITIZED = False  # they are slow, and take memory of their own
EVERY = 1  # of the many repetitions of faults and kills
MALFORMED, USAGE, IO, UNSUPPORTED, INTERRUPTED = 1, 2, 3, 4, 5


def start(program, *args, env=None, **options):
    return subprocess.Popen([PROGRAMS / program, *map(str, args)], env={**os.environ, **(env or {})},
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


class Case(unittest.TestCase):
    """Has a folder of its own, and one shared by the class for inputs that many tests read."""
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.shared = pathlib.Path(tempfile.mkdtemp(prefix="sqf-programs-"))
        cls.addClassCleanup(shutil.rmtree, cls.shared, ignore_errors=True)

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sqf-programs-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def call(self, program, *args, code=0, words=(), env=None, stdin=b"", timeout=600):
        """Runs to the end; returns stdout. `words` must all stand in stderr."""
        process = start(program, *args, env=env, stdin=subprocess.PIPE)
        try:
            out, err = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        shown = f"{program} {' '.join(map(str, args))}\n{err.decode(errors='replace')}"
        self.assertEqual(process.returncode, code, shown)
        for word in words:
            self.assertIn(word.encode(), err, shown)
        return out

    def refused(self, program, *args, code, words=(), target=None, **options):
        """A call that must fail and change nothing in `target`'s folder (default: the test's)."""
        root = target.parent if target else self.folder
        before = self.listing(root)
        self.call(program, *args, code=code, words=words, **options)
        self.assertEqual(self.listing(root), before, "files changed")

    @staticmethod
    def listing(root):
        def state(path):
            info = path.lstat()
            return str(path), info.st_mode, info.st_size, info.st_mtime_ns, info.st_ino
        return sorted(state(p) for p in root.rglob("*") if not p.is_dir())
