"""XXH3-64 with seed 0 and the default secret (xxHash's doc/xxhash_spec.md).

Up to 240 bytes are plain Python integers. Beyond, the sums over the 16 stripes of a 1024-byte block commute,
so NumPy
takes them for many blocks at once; only the scrambling between blocks is a chain.
"""

import struct

import numpy as np

SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
    "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb"
    "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")

MASK = (1 << 64) - 1
PRIME32_1, PRIME32_2, PRIME32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
PRIME64_1, PRIME64_2, PRIME64_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
PRIME64_4, PRIME64_5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
PRIME_MX1, PRIME_MX2 = 0x165667919E3779F9, 0x9FB21C651E98DF25

_u32 = struct.Struct("<I").unpack_from
_u64 = struct.Struct("<Q").unpack_from


def _s64(offset):
    return _u64(SECRET, offset)[0]


# The secret's words at every offset, so that short inputs do not unpack them again.
_S = [_s64(i) for i in range(len(SECRET) - 7)]
_S32_0, _S32_4 = _u32(SECRET, 0)[0], _u32(SECRET, 4)[0]

# Stripe s of a block uses the 8 words of the secret from byte 8 s on.
_BLOCK_KEYS = np.array([[_S[8 * (stripe + lane)] for lane in range(8)] for stripe in range(16)],
                       dtype=np.uint64)
_SCRAMBLE_KEYS = np.array([_S[128 + 8 * lane] for lane in range(8)], dtype=np.uint64)
_LAST_KEYS = np.array([_S[121 + 8 * lane] for lane in range(8)], dtype=np.uint64)
_START = np.array([PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3, PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1],
                  dtype=np.uint64)
_SWAPPED = [1, 0, 3, 2, 5, 4, 7, 6]
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_47 = np.uint64(47)
_P32_1 = np.uint64(PRIME32_1)

_BLOCKS_AT_ONCE = 256


def _fold(a, b):
    product = a * b
    return (product & MASK) ^ (product >> 64)


def _avalanche(h):
    h ^= h >> 37
    h = (h * PRIME_MX1) & MASK
    return h ^ (h >> 32)


def _xxh64_avalanche(h):
    h ^= h >> 33
    h = (h * PRIME64_2) & MASK
    h ^= h >> 29
    h = (h * PRIME64_3) & MASK
    return h ^ (h >> 32)


def _rotate(h, bits):
    return ((h << bits) | (h >> (64 - bits))) & MASK


def _up_to_16(data, size):
    if size > 8:
        low = _u64(data, 0)[0] ^ _S[24] ^ _S[32]
        high = _u64(data, size - 8)[0] ^ _S[40] ^ _S[48]
        swapped = int.from_bytes(low.to_bytes(8, "little"), "big")
        return _avalanche((size + swapped + high + _fold(low, high)) & MASK)
    if size >= 4:
        h = (_u32(data, size - 4)[0] + (_u32(data, 0)[0] << 32)) ^ _S[8] ^ _S[16]
        h ^= _rotate(h, 49) ^ _rotate(h, 24)
        h = (h * PRIME_MX2) & MASK
        h ^= (h >> 35) + size
        h = (h * PRIME_MX2) & MASK
        return h ^ (h >> 28)
    if size:
        combined = (data[0] << 16) | (data[size >> 1] << 24) | data[size - 1] | (size << 8)
        return _xxh64_avalanche(combined ^ _S32_0 ^ _S32_4)
    return _xxh64_avalanche(_S[56] ^ _S[64])


def _mix16(data, offset, secret_offset):
    return _fold(_u64(data, offset)[0] ^ _S[secret_offset], _u64(data, offset + 8)[0] ^ _S[secret_offset + 8])


def _up_to_240(data, size):
    h = size * PRIME64_1
    if size <= 128:
        for i in range((size - 1) // 32, -1, -1):
            h += _mix16(data, 16 * i, 32 * i) + _mix16(data, size - 16 * (i + 1), 32 * i + 16)
        return _avalanche(h & MASK)
    for i in range(8):
        h += _mix16(data, 16 * i, 16 * i)
    h = _avalanche(h & MASK)
    for i in range(8, size // 16):
        h += _mix16(data, 16 * i, 16 * (i - 8) + 3)
    return _avalanche((h + _mix16(data, size - 16, 136 - 17)) & MASK)


def _sums(words, keys):
    """The additions of stripes `words` [..., stripes, 8] to the eight accumulators: [..., 8]."""
    keyed = words ^ keys
    high = keyed >> _32
    keyed &= _LOW
    keyed *= high
    sums = keyed.sum(axis=-2, dtype=np.uint64)
    sums += words.sum(axis=-2, dtype=np.uint64)[..., _SWAPPED]
    return sums


def _long(data, size):
    lanes = _START.copy()
    shifted = np.empty_like(lanes)
    blocks = (size - 1) // 1024
    for first in range(0, blocks, _BLOCKS_AT_ONCE):
        count = min(_BLOCKS_AT_ONCE, blocks - first)
        words = np.frombuffer(data, dtype="<u8", count=count * 128, offset=first * 1024).reshape(count, 16, 8)
        for sums in _sums(words, _BLOCK_KEYS):
            lanes += sums
            np.right_shift(lanes, _47, out=shifted)
            lanes ^= shifted
            lanes ^= _SCRAMBLE_KEYS
            lanes *= _P32_1
    stripes = (size - 1 - 1024 * blocks) // 64
    if stripes:
        words = np.frombuffer(data, dtype="<u8", count=stripes * 8, offset=blocks * 1024).reshape(stripes, 8)
        lanes += _sums(words, _BLOCK_KEYS[:stripes])
    # The last 64 bytes are a stripe of their own, overlapping the one before.
    lanes += _sums(np.frombuffer(data, dtype="<u8", count=8, offset=size - 64).reshape(1, 8), _LAST_KEYS)
    lanes = lanes.tolist()
    h = size * PRIME64_1
    for i in range(4):
        h += _fold(lanes[2 * i] ^ _S[11 + 16 * i], lanes[2 * i + 1] ^ _S[19 + 16 * i])
    return _avalanche(h & MASK)


def hash64(data):
    """XXH3-64 of a bytes-like object of single bytes (bytes, memoryview, contiguous uint8 array), as an
    int."""
    size = len(data)
    if size <= 16:
        return _up_to_16(bytes(data), size)
    if size <= 240:
        return _up_to_240(data, size)
    return _long(data, size)
