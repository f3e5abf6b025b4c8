#!/usr/bin/env python3
"""Holds sqconv, sqcheck and sqrun to their contract, as a user meets it.

usage: programs_test.py FOLDER [CASE ...]      FOLDER holds the built programs
"""
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
import harness

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    harness.PROGRAMS = pathlib.Path(sys.argv[1]).resolve()
    names = sys.argv[2:] or [p.stem for p in sorted(pathlib.Path(__file__).parent.glob("*_cases.py"))]
    suite = unittest.defaultTestLoader.loadTestsFromNames(names)
    result = unittest.TextTestRunner(verbosity=2, buffer=False).run(suite)
    sys.exit(not (result.wasSuccessful() and result.testsRun))
