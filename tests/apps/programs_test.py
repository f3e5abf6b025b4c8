#!/usr/bin/env python3
"""Holds sqconv, sqcheck and sqrun to their contract, as a user meets it.

usage: programs_test.py FOLDER [--sanitized] [CASE ...]      FOLDER holds the built programs

--sanitized, for programs that are: every fifth of the repetitions that kill them or fail their calls, and no figures of
memory; all else is run as always.
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
    arguments = sys.argv[2:]
    if arguments[:1] == ["--sanitized"]:
        harness.SANITIZED, harness.EVERY, arguments = True, 5, arguments[1:]
    names = arguments or [p.stem for p in sorted(pathlib.Path(__file__).parent.glob("*_cases.py"))]
    suite = unittest.defaultTestLoader.loadTestsFromNames(names)
    result = unittest.TextTestRunner(verbosity=2, buffer=False).run(suite)
    sys.exit(not (result.wasSuccessful() and result.testsRun))
