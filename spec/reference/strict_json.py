"""Strict JSON (sqf.md, 1): a parser that keeps no recursion of its own, so that depth is a number and not a
stack.

RFC 8259 text in UTF-8 without a byte order mark: one value, nothing but white space around it; no key twice
in an object
(compared after escapes are resolved); no escaped surrogate without its partner; no number whose nearest f64
is infinite;
at most `depth` arrays and objects open at once.
"""

import re

_SPACE = re.compile(r"[ \t\n\r]*")
# A whole string without escapes, the usual case, or a number. What is neither is looked at by its first
# character.
_PLAIN = re.compile(r'"([^"\\\x00-\x1f]*)"')
_RUN = re.compile(r'[^"\\\x00-\x1f]*')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_HEX4 = re.compile(r"[0-9a-fA-F]{4}")

_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}

# The largest f64 is below 1.8e308: an integer with more digits than this is beyond it.
_MOST_DIGITS = 309


class JsonError(ValueError):
    """The text is not strict JSON. The message says what and at which character."""


def _fail(what, at):
    raise JsonError(f"{what} at character {at}")


def _unit(text, at):
    match = _HEX4.match(text, at)
    if not match:
        _fail("an escape \\u without four hexadecimal digits", at)
    return int(match.group(), 16)


def _string(text, at):
    """The string whose first character after the quotation mark is at `at`, and where the text goes on."""
    pieces = []
    while True:
        run = _RUN.match(text, at)
        pieces.append(run.group())
        at = run.end()
        stop = text[at:at + 1]
        if stop == '"':
            return "".join(pieces), at + 1
        if stop != "\\":
            _fail("a string without its end" if not stop else "a control character in a string", at)
        letter = text[at + 1:at + 2]
        if letter in _ESCAPES:
            pieces.append(_ESCAPES[letter])
            at += 2
            continue
        if letter != "u":
            _fail("an unknown escape", at)
        unit = _unit(text, at + 2)
        if 0xD800 <= unit < 0xDC00:
            if text[at + 6:at + 8] != "\\u":
                _fail("an escaped surrogate without its partner", at)
            low = _unit(text, at + 8)
            if not 0xDC00 <= low < 0xE000:
                _fail("an escaped surrogate without its partner", at)
            pieces.append(chr(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00)))
            at += 12
        elif 0xDC00 <= unit < 0xE000:
            _fail("an escaped surrogate without its partner", at)
        else:
            pieces.append(chr(unit))
            at += 6


def _number(match, at):
    # float() rounds to nearest and gives an infinity where that is the nearest f64.
    if match.group(1) is not None or match.group(2) is not None:
        value = float(match.group())
        if value in (float("inf"), float("-inf")):
            _fail("a number whose nearest f64 is infinite", at)
        return value
    digits = match.group()
    if len(digits) > _MOST_DIGITS + 1 or float(digits) in (float("inf"), float("-inf")):
        _fail("a number whose nearest f64 is infinite", at)
    return int(digits)


def parse(data, depth=16, spans=None, most=1 << 20):
    """The value in the bytes `data`: dict, list, str, bool, None, int (no fraction, no exponent) or float.

    spans    a dict that takes {(key, key): (first character, end)} of the arrays and objects that are members
             of the outermost value's members; a key is None in an array

    most     how many values there may be, of any type, arrays and objects and the outermost one counted too

    Raises JsonError where the bytes are not strict JSON.
    """
    try:
        text = str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise JsonError(f"not UTF-8 at byte {error.start}") from None
    skip = _SPACE.match
    plain = _PLAIN.match
    number = _NUMBER.match
    # What is open around the value at hand: the container and, in an object, the key that waits for its
    # value.
    stack = []
    container = key = None
    third = 0
    at = skip(text, 0).end()
    while True:
        # Here a value starts.
        most -= 1
        if most < 0:
            _fail("more values than are allowed", at)
        first = text[at:at + 1]
        opened = False
        if first == '"':
            match = plain(text, at)
            if match:
                value, at = match.group(1), match.end()
            else:
                value, at = _string(text, at + 1)
        elif first == "{" or first == "[":
            if len(stack) >= depth:
                _fail(f"more than {depth} arrays and objects open at once", at)
            stack.append((container, key))
            if len(stack) == 3:
                third = at
            container = {} if first == "{" else []
            key = None
            opened = True
            at = skip(text, at + 1).end()
        elif first in _WORDS:
            word, value = _WORDS[first]
            if not text.startswith(word, at):
                _fail("an unknown word", at)
            at += len(word)
        else:
            match = number(text, at)
            if not match:
                _fail("no value", at)
            value = _number(match, at)
            at = match.end()

        # Put values where they belong, and close what closes behind them, until another value must start.
        while True:
            if not opened:
                if container is None:
                    at = skip(text, at).end()
                    if at != len(text):
                        _fail("something behind the value", at)
                    return value
                if key is None:
                    container.append(value)
                else:
                    container[key] = value
                at = skip(text, at).end()
            is_object = type(container) is dict
            character = text[at:at + 1]
            if character == ("}" if is_object else "]"):
                value = container
                at += 1
                if len(stack) == 3 and spans is not None:
                    spans[stack[1][1], stack[2][1]] = third, at
                container, key = stack.pop()
                opened = False
                continue
            if not opened:
                if character != ",":
                    _fail("no comma", at)
                at = skip(text, at + 1).end()
            if is_object:
                match = plain(text, at)
                if match:
                    key, at = match.group(1), match.end()
                elif text[at:at + 1] == '"':
                    key, at = _string(text, at + 1)
                else:
                    _fail("no key", at)
                if key in container:
                    _fail("a key that the object has already", at)
                at = skip(text, at).end()
                if text[at:at + 1] != ":":
                    _fail("no colon", at)
                at = skip(text, at + 1).end()
            break


def is_integer(value):
    """An integer is a number without fraction and exponent; true and false are none."""
    return type(value) is int


def is_number(value):
    return type(value) in (int, float)
