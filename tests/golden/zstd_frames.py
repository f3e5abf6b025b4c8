"""zstd frames written by hand (RFC 8878): stored blocks and runs, every header field as wished."""

import struct

MAGIC = b"\x28\xb5\x2f\xfd"
BLOCK = 128 << 10


def block(kind, size, body, last):
    return struct.pack("<I", size << 3 | kind << 1 | last)[:3] + body


def stored(data):
    """Raw blocks."""
    pieces = [data[i:i + BLOCK] for i in range(0, len(data), BLOCK)] or [b""]
    return b"".join(block(0, len(p), p, i + 1 == len(pieces)) for i, p in enumerate(pieces))


def run(byte, count):
    """Run-length blocks: a few bytes for any number."""
    sizes = [min(BLOCK, count - at) for at in range(0, count, BLOCK)]
    return b"".join(block(1, n, bytes([byte]), i + 1 == len(sizes)) for i, n in enumerate(sizes))


def header(content_size, window=None, dictionary=b"", checksum=False, reserved=0):
    """window: the descriptor byte; without one the frame is a single segment. content_size None: not
    stated, which takes a window. dictionary: 0, 1, 2 or 4 bytes of an identifier."""
    single = window is None
    if content_size is None:
        code, size = 0, b""
        assert not single
    elif single and content_size < 256:
        code, size = 0, struct.pack("<B", content_size)
    elif 256 <= content_size < 65792:
        code, size = 1, struct.pack("<H", content_size - 256)
    elif content_size < 1 << 32:
        code, size = 2, struct.pack("<I", content_size)
    else:
        code, size = 3, struct.pack("<Q", content_size)
    dictionary_code = {0: 0, 1: 1, 2: 2, 4: 3}[len(dictionary)]
    descriptor = code << 6 | single << 5 | reserved << 3 | checksum << 2 | dictionary_code
    return (MAGIC + bytes([descriptor]) + (b"" if single else bytes([window])) + dictionary + size)


def frame(data, content_size=-1, blocks=None, **fields):
    size = len(data) if content_size == -1 else content_size
    return header(size, **fields) + (stored(data) if blocks is None else blocks)


def skippable(body=b"hidden"):
    return struct.pack("<II", 0x184D2A50, len(body)) + body
