"""A file under the reader: what the steps of sqf.md, 6 have found so far, good and bad."""

import mmap
import os
import stat

import numpy as np

from .findings import Finding, Malformed


class File:
    """One file of bytes. `open_file` makes it; the steps fill it in, each from what the steps before it have
    checked.

    size            bytes in the file
    header          the header record, after step 1
    sections        the section records in table order, after step 4
    raw             {kind: raw bytes} of the sections before DATA, after step 5
    meta            META's object, after step 6
    directory       TDIR's header, after step 7
    encodings, inputs, tensors, parts, components     sequences of records, after step 7
    column_sets     for each input its column-set records, after step 9
    names           the tensors' names as bytes, after step 10
    findings        every Finding so far, in the order of the specification
    unsupported     in words: what the reader does not know or cannot do
    damage          how many findings say more than that the file is too new
    notes           in words: what was not looked at
    steps           how many steps have passed without a finding
    """

    def __init__(self, data, path=None):
        self.path = path
        self.view = memoryview(data)
        self.bytes = np.frombuffer(data, dtype=np.uint8) if len(data) else np.zeros(0, dtype=np.uint8)
        self.size = len(data)
        self.header = self.sections = self.meta = self.directory = None
        self.raw = {}
        self.encodings = self.inputs = self.tensors = self.parts = self.components = ()
        self.levels = {}
        self.column_sets = []
        self.names = []
        self.used = bytearray()
        self.findings = []
        self.unsupported = []
        self.damage = 0
        self.notes = []
        self.steps = 0
        self._index = None

    @property
    def good(self):
        return not self.findings and not self.unsupported

    @property
    def opened(self):
        """Steps 1 to 13 found nothing: every view into DATA is in bounds."""
        return self.steps >= 13

    def report(self, rule, message):
        self.findings.append(Finding(rule, message))
        self.damage += 1

    def refuse(self, rule, message):
        """A finding that tells of a file that is newer than the reader, and of no damage."""
        self.findings.append(Finding(rule, message))
        self.unsupported.append(message)

    def section(self, kind):
        """The record of the section `kind` (bytes), or None."""
        for section in self.sections:
            if section.kind == kind:
                return section
        return None

    def component_bytes(self, index):
        """The bytes of component `index` as a uint8 array; the file has passed step 12."""
        component = self.components[index]
        return self.bytes[component.offset:component.offset + component.size]

    def tensor_index(self, name):
        """The index of the tensor `name` (str); Malformed where the file did not open, KeyError where it has
        none."""
        if not self.opened:
            raise Malformed("the file does not open: " + "; ".join(map(str, self.findings)))
        if self._index is None:
            self._index = {each.decode(): i for i, each in enumerate(self.names)}
        return self._index[name]


def load(source):
    """A File without any step taken, of bytes or of a path.

    A regular file is mapped; raises OSError where the path cannot be read. Whoever shortens a mapped file
    ends this
    process: copy a file first that somebody else may write to.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return File(bytes(source))
    with open(source, "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{os.fspath(source)}: not a regular file")
        if not status.st_size:
            return File(b"", source)
        return File(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), source)
