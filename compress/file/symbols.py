"""Streams of small symbols, each in the way that takes the fewest bytes.

0 bits      width bits each
1 counted   no table: both sides count (compress.file.counted); for few symbols
2 table     frequencies of 12 bits, then rANS (compress.file.rans)
3 one       all of them are the same symbol
"""

import numpy as np

from compress.file import counted, rans
from compress.file.numbers import Damaged, pack_bits, unpack_bits

MOST_WIDTH = 8
QUICK = 1 << 15  # decisions; more, counted one by one, must save ...
WORTH = 64  # ... more than a 64th, as a table is read much faster


def encode(symbols: np.ndarray, width: int) -> bytes:
    """Code symbols below 2^width; the first byte says how."""
    symbols = np.asarray(symbols, dtype=np.int64).ravel()
    if not len(symbols) * width:
        return b""
    counts = np.bincount(symbols, minlength=1 << width)
    if counts.max() == len(symbols):
        return bytes([3, int(symbols[0])])
    best = b"\2" + with_table(symbols, counts)
    if (decisions := len(symbols) * width) <= counted.MOST:
        other = b"\1" + counted.encode(symbols, width)
        least = len(best) // WORTH if decisions > QUICK else 0
        best = other if len(other) < len(best) - least else best
    plain = 1 + (len(symbols) * width + 7) // 8
    return best if len(best) < plain else b"\0" + pack_bits(symbols, width)


def decode(data: bytes, width: int, count: int) -> np.ndarray:
    """Return `count` symbols; the caller has bounded `count` by what it may allocate.

    Raises:
        ValueError: a stream that is damaged.
    """
    if not count * width:
        if data:
            raise Damaged(f"no symbols take no bytes, got {len(data):,}")
        return np.zeros(count, dtype=np.int64)
    way, rest = data[:1], data[1:]
    if way == b"\0":
        return unpack_bits(rest, width, count)
    if way == b"\1" and count * width <= counted.MOST:
        return counted.decode(rest, width, count)
    if way == b"\2":
        return _of_table(rest, width, count)
    if way == b"\3" and len(rest) == 1 and rest[0] < 1 << width:
        return np.full(count, rest[0], dtype=np.int64)
    raise Damaged(f"{count:,} symbols of {width} bits are coded in no known way ({data[:2]!r})")


def with_table(symbols: np.ndarray, counts: np.ndarray) -> bytes:
    """Return which symbols occur, their frequencies less one, and their code."""
    freq = rans.frequencies(counts)
    used = np.packbits(freq > 0).tobytes()
    return used + pack_bits(freq[freq > 0] - 1, rans.BITS) + rans.encode(symbols, freq)


def _of_table(data: bytes, width: int, count: int) -> np.ndarray:
    size = ((1 << width) + 7) // 8
    used = np.unpackbits(np.frombuffer(data[:size], np.uint8))[: 1 << width]
    n = int(used.sum())
    end = size + (n * rans.BITS + 7) // 8
    if len(used) != 1 << width or not n or len(data) < end:
        raise Damaged("a table of frequencies ends too early")
    freq = np.zeros(1 << width, dtype=np.int64)
    freq[used > 0] = unpack_bits(data[size:end], rans.BITS, n) + 1
    return rans.decode(data[end:], freq, count)
