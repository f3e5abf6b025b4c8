"""Copies validator sources with every check switchable: where the global `sqf_mutant` equals a check's number,
the check never fires. One build then stands for hundreds of programs that each lack one check.

usage: mutate.py OUTPUT_FOLDER SOURCE...     writes the copies and mutants.txt: number, file, line, what is missing

A check is an `if` whose body refuses (returns an error, adds a finding, returns a problem's text), and each operand of
a top-level `||` in its condition by itself.
"""
import pathlib
import re
import sys

REFUSES = re.compile(r"""\s*(?:\{\s*)?(?://[^\n]*\n\s*)*(?:
    return\s+(?:broken|bad|report|Error|r|ok|r\.error\(\)|broken_here)\b | return\s+findings\.add | findings\.add |
    findings_\.add | return\s+" | return\s+std::string | return\s+std::nullopt | return\s+false | return\s+problem |
    report\( | return\s+name_problem | return\s+byte | add_\w+\()""", re.X)


def walk(text, at=0):
    """(index, depth of brackets behind it) of each character outside strings."""
    depth, i = 0, at
    while i < len(text):
        c = text[i]
        if c in "\"'":
            end = i + 1
            while text[end] != c:
                end += 2 if text[end] == "\\" else 1
            i = end
        else:
            depth += (c in "([{") - (c in ")]}")
            yield i, depth
        i += 1


def matching(text, at):
    """Index behind the parenthesis that closes the one at `at`."""
    return next(i for i, depth in walk(text, at) if depth == 0) + 1


def split_top(text, separator):
    """Pieces between separators outside brackets."""
    cuts = [i for i, depth in walk(text) if depth == 0 and text.startswith(separator, i)]
    starts = [0, *(cut + len(separator) for cut in cuts)]
    return [text[start:end] for start, end in zip(starts, [*cuts, len(text)])]


class Mutator:
    def __init__(self):
        self.rows = []

    def guard(self, condition, where):
        """The condition with a switch on the whole and on each alternative."""
        parts = split_top(condition, "||")
        if len(split_top(condition, "?")) > 1:
            parts = [condition]  # an operand of ?: cannot be cut out
        guarded = []
        for part in parts:
            self.rows.append((len(self.rows) + 1, where, " ".join(part.split())))
            guarded.append(f"(::sqf_mutant != {len(self.rows)} && ({part}))")
        return " || ".join(guarded)

    def rewrite(self, name, text):
        out, at = [], 0
        for found in re.finditer(r"\bif \(", text):
            begin = found.end() - 1
            if begin < at:
                continue
            end = matching(text, begin)
            if not REFUSES.match(text, end):
                continue
            inside = text[begin + 1:end - 1]
            where = f"{name}:{text.count(chr(10), 0, begin) + 1}"
            pieces = split_top(inside, ";")
            declared = re.fullmatch(r"\s*(?:const )?auto\*?(?: const)? ?\*?(\w+) = .*", inside, re.S)
            declared = declared or re.fullmatch(r"\s*const std::byte\* (\w+) = .*", inside, re.S)
            if len(pieces) == 2:
                condition = f"{pieces[0]}; {self.guard(pieces[1], where)}"
            elif declared:
                condition = f"{inside}; {self.guard(declared[1], where)}"
            else:
                condition = self.guard(inside, where)
            out.append(text[at:begin] + "(" + condition + ")")
            at = end
        return "".join(out) + text[at:]


def main():
    folder, sources = pathlib.Path(sys.argv[1]), sys.argv[2:]
    folder.mkdir(parents=True, exist_ok=True)
    mutator = Mutator()
    for source in map(pathlib.Path, sources):
        text = mutator.rewrite(source.name, source.read_text())
        (folder / source.name).write_text("extern int sqf_mutant;\n" + text)
    (folder / "mutants.txt").write_text("".join(f"{n}\t{where}\t{what}\n" for n, where, what in mutator.rows))


if __name__ == "__main__":
    main()
