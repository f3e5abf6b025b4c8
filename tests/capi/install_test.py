#!/usr/bin/env python3
"""Installs a build, moves it elsewhere, and lives with it as another project would.

usage: install_test.py BUILD_FOLDER
"""
import os
import pathlib
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(HERE.parent / "apps")]
import reader
import tiny_model

BUILD = pathlib.Path()


def run(*command, env=None):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, env={**os.environ, **(env or {})})
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="sqf-install-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        run("cmake", "--install", BUILD, "--prefix", cls.folder / "first")
        (cls.folder / "first").rename(cls.folder / "moved")
        cls.prefix = cls.folder / "moved"
        cls.library = next(cls.prefix.rglob("libsqf.so.1"))
        cls.env = {"LD_LIBRARY_PATH": str(cls.library.parent), "SQF_LIBRARY": str(cls.library),
                   "PKG_CONFIG_PATH": str(cls.library.parent / "pkgconfig")}
        hf = tiny_model.write_folder(cls.folder / "model", tiny_model.RAGGED)
        cls.file = cls.folder / "tiny.sqf"
        run(cls.prefix / "bin/sqconv", hf, "-o", cls.file)
        cls.consumer = cls.folder / "consumer"
        run("cmake", "-G", "Ninja", "-S", HERE / "consumer", "-B", cls.consumer,
            f"-DCMAKE_PREFIX_PATH={cls.prefix}")
        run("cmake", "--build", cls.consumer)

    def flags(self, *options):
        return shlex.split(run("pkg-config", *options, "sqf", env=self.env))

    def expected(self):
        self.assertGreater(len(reader.File(self.file).tensors), 10)
        return {name: struct.pack(f"<{len(v)}f", *v) for name, v in reader.File(self.file).values()}

    def test_what_is_installed(self):
        names = {str(p.relative_to(self.prefix)) for p in self.prefix.rglob("*") if not p.is_dir()}
        library = self.library.parent.relative_to(self.prefix)
        version = re.search(r"project\(sqf VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text())[1]
        expected = {"include/sqf.h", "include/sqf.hpp", "bin/sqconv", "bin/sqcheck", "bin/sqrun",
                    *(f"{library}/{n}" for n in ("libsqf.a", "libsqf.so", "libsqf.so.1", f"libsqf.so.{version}",
                                                 "pkgconfig/sqf.pc"))}
        self.assertEqual({n for n in names if "/cmake/sqf/" not in n}, expected)
        for path in self.prefix.rglob("*.cmake"):
            self.assertNotIn(str(self.folder / "first"), path.read_text(), path)
            self.assertNotIn(str(ROOT), path.read_text(), path)
        self.assertEqual(run("pkg-config", "--modversion", "sqf", env=self.env).strip(), version)

    def test_exports_only_its_functions(self):
        lines = [line.split() for line in run("readelf", "--dyn-syms", "-W", self.library).splitlines()]
        defined = [f[7].split("@")[0] for f in lines
                   if len(f) > 7 and f[0][0].isdigit() and f[6] != "UND" and f[3] in ("FUNC", "OBJECT", "TLS", "NOTYPE")]
        defined = [name for name in defined if name != "SQF_1"]  # the version's own symbol
        declared = re.findall(r"^SQF_API [\w *]*?(sqf_\w+)\(", (ROOT / "include/sqf.h").read_text(), re.M)
        self.assertIn("sqf_open", declared)
        self.assertEqual(sorted(defined), sorted(declared))
        archive = self.library.parent / "libsqf.a"
        globals_ = [line.split()[-1] for line in run("nm", "--defined-only", "--extern-only", archive).splitlines()
                    if len(line.split()) == 3]
        self.assertEqual(sorted(set(globals_)), sorted(set(defined)))

    def test_needs_only_the_c_library(self):
        dynamic = run("readelf", "-d", "-W", self.library)
        needed = {line.split("[")[1].rstrip("]") for line in dynamic.splitlines() if "(NEEDED)" in line}
        loader = {n for n in needed if n.startswith("ld-linux")}  # part of the C library: thread-local memory
        self.assertLessEqual(needed - loader, {"libc.so.6", "libm.so.6"})
        self.assertIn("[libsqf.so.1]", dynamic)

    def test_values_are_those_of_a_second_reader(self):
        expected = b"".join(self.expected().values())
        for program in ("dump", "dump_static"):
            out = self.folder / program
            run(self.consumer / program, self.file, out)
            self.assertTrue(out.read_bytes() == expected, program)
        self.assertNotIn("libsqf", run("readelf", "-d", self.consumer / "dump_static"))

    def test_errors(self):
        garbage, damaged = self.folder / "garbage", self.folder / "damaged.sqf"
        garbage.write_bytes(b"GGUF" + bytes(1000))
        data = bytearray(self.file.read_bytes())
        data[reader.File(self.file).data_offset] ^= 1
        damaged.write_bytes(data)
        run(self.consumer / "errors", self.file, garbage, damaged)

    def test_eight_threads_and_the_cpp_header(self):
        run(self.consumer / "threads17", self.file)
        run(self.consumer / "threads20", self.file)

    def test_pkg_config(self):
        program, out = self.folder / "dump_pc", self.folder / "out_pc"
        strict = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror"]
        compiler = os.environ.get("CC", "cc")
        run(compiler, *strict, HERE / "consumer/dump.c", "-o", program, *self.flags("--cflags", "--libs"))
        run(program, self.file, out, env=self.env)
        self.assertTrue(out.read_bytes() == b"".join(self.expected().values()))
        run(compiler, *strict, "-x", "c", "-fsyntax-only", *self.flags("--cflags"), self.prefix / "include/sqf.h")

    def first_values(self):
        rows = {}
        for name, data in self.expected().items():
            rows[name] = struct.unpack("<4f", data[:16])
        return rows

    def test_c_sample(self):
        program = self.folder / "list_tensors"
        run(os.environ.get("CC", "cc"), "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror",
            ROOT / "samples/list_tensors.c", "-o", program, *self.flags("--cflags", "--libs"))
        lines = run(program, self.file, env=self.env).splitlines()
        rows = self.first_values()
        self.assertEqual([line.split()[0] for line in lines], list(rows))
        for line in lines:
            shown = line.split("bits/weight: ")[1].split()[:4]
            self.assertEqual(shown, [f"{v:g}" for v in rows[line.split()[0]]])
        self.assertIn("[264, 72]", lines[0])
        refused = subprocess.run([program, program], env={**os.environ, **self.env}, capture_output=True, text=True)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("list_tensors: ", refused.stderr)

    def test_python_sample(self):
        lines = run(sys.executable, ROOT / "samples/list_tensors.py", self.file, env=self.env).splitlines()
        rows = self.first_values()
        self.assertEqual([line.split()[0] for line in lines], list(rows))
        for line in lines:
            shown = [float(v) for v in line.split("bits/weight: ")[1].split()]
            self.assertEqual(shown, list(rows[line.split()[0]]))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    BUILD = pathlib.Path(sys.argv.pop()).resolve()
    unittest.main(verbosity=2)
