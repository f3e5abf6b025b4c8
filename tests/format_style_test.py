#!/usr/bin/env python3
"""Every tracked C++ source is as clang-format leaves it. Other versions than 14 differ in details: skipped (77)."""
import pathlib
import re
import shutil
import subprocess
import sys

VERSION = "14"
SKIPPED = 77


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent)
    tool = shutil.which(f"clang-format-{VERSION}") or shutil.which("clang-format")
    if tool is None or shutil.which("git") is None:
        print("no clang-format or no git")
        return SKIPPED
    version = subprocess.run([tool, "--version"], capture_output=True, text=True).stdout
    if not re.search(rf"version {VERSION}\.", version):
        print(f"not clang-format {VERSION}: {version.strip()}")
        return SKIPPED
    listed = subprocess.run(["git", "ls-files", "-z", "--", "*.cpp", "*.hpp"], cwd=root, capture_output=True, text=True)
    sources = [name for name in listed.stdout.split("\0") if (root / name).is_file()]
    if not sources:
        print("not a git checkout")
        return SKIPPED
    return subprocess.run([tool, "--dry-run", "-Werror", *sources], cwd=root).returncode


sys.exit(main())
