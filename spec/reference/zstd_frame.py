"""One zstd frame (RFC 8878) as sqf.md, 2.3 wants it: checked from its headers before a decompressor sees
it."""

MAX_WINDOW = 8 << 20
MAX_BLOCK = 128 << 10


class FrameError(ValueError):
    """The bytes are not one zstd frame that SQF allows."""


class NoDecompressor(Exception):
    """Neither compression.zstd (Python 3.14) nor the package zstandard is here."""


def _need(data, at, size):
    if len(data) - at < size:
        raise FrameError("the frame is cut short")


def check(data, raw_size):
    """Raises FrameError unless `data` (bytes) is one frame of content size `raw_size`, by its headers."""
    _need(data, 0, 5)
    if data[:4] != b"\x28\xb5\x2f\xfd":
        raise FrameError("no zstd frame")
    descriptor = data[4]
    size_flag, single = descriptor >> 6, descriptor >> 5 & 1
    checksum, dictionary_flag = descriptor >> 2 & 1, descriptor & 3
    if descriptor & 8:
        raise FrameError("the reserved bit of the frame's header is set")
    at = 5
    window = 0
    if not single:
        _need(data, at, 1)
        base = 1 << (10 + (data[at] >> 3))
        window = base + base // 8 * (data[at] & 7)
        at += 1
    # Not even one that says that there is no dictionary.
    if dictionary_flag:
        raise FrameError("the frame has a dictionary-ID field")
    size = (1 if single else 0, 2, 4, 8)[size_flag]
    if not size:
        raise FrameError("the frame does not state its content size")
    _need(data, at, size)
    content = int.from_bytes(data[at:at + size], "little") + (256 if size == 2 else 0)
    at += size
    if content != raw_size:
        raise FrameError(f"the frame's content size is {content}, not {raw_size}")
    window = content if single else window
    if window > MAX_WINDOW:
        raise FrameError(f"a window of {window} bytes")
    most = min(window, MAX_BLOCK)
    possible = 0
    last = False
    while not last:
        _need(data, at, 3)
        block = int.from_bytes(data[at:at + 3], "little")
        at += 3
        last, kind, size = block & 1, block >> 1 & 3, block >> 3
        if kind == 3:
            raise FrameError("a block of the reserved type")
        if size > most:
            raise FrameError("a block larger than the frame's blocks may be")
        possible += most if kind == 2 else size
        size = 1 if kind == 1 else size
        _need(data, at, size)
        at += size
    at += 4 if checksum else 0
    if at != len(data):
        raise FrameError("the frame is cut short" if at > len(data) else "something behind the frame")
    if possible < raw_size:
        raise FrameError("the frame's blocks cannot hold its content size")


def _decompress_standard(data, raw_size):
    from compression import zstd
    decompressor = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 23})
    raw = decompressor.decompress(data, max_length=raw_size + 1)
    if len(raw) != raw_size or not decompressor.eof or decompressor.unused_data:
        raise FrameError("the frame does not hold what it says")
    return raw


def _decompress_package(data, raw_size):
    import zstandard
    try:
        decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
        raw = decompressor.decompress(data, max_output_size=raw_size)
    except zstandard.ZstdError as error:
        raise FrameError(str(error)) from None
    if len(raw) != raw_size:
        raise FrameError("the frame does not hold what it says")
    return raw


def decompress(data, raw_size):
    """The raw bytes of a frame that passed `check`. Raises FrameError, or NoDecompressor where none is
    installed."""
    try:
        from compression import zstd
    except ImportError:
        try:
            return _decompress_package(data, raw_size)
        except ImportError:
            raise NoDecompressor from None
    try:
        return _decompress_standard(data, raw_size)
    except zstd.ZstdError as error:
        raise FrameError(str(error)) from None
