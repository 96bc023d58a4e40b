"""Whole numbers of any size, of which small ones are frequent: gaps between places, counts of rows.

A number below 8 is its own class; a larger one has the class of its leading three binary digits,
and the others follow as they are:

    n          0 1 2 3 4 5 6 7 | 8-9 10-11 12-13 14-15 | 16-19 ... | 32-39 ...
    class      0 1 2 3 4 5 6 7 |  8    9    10    11   |  12   ... |  16   ...
    bits more  0               |  1                    |   2       |   3
"""

import numpy as np

from compress.file import symbols
from compress.file.numbers import Reader, block, pack_bits, unpack_bits

WIDTH = 8  # bits of a class
LAST = 4 * 50 + 7  # that of 2^53 - 1


def encode(values: np.ndarray) -> bytes:
    """Code whole numbers from 0 on, below 2^53: their classes, and what is left of each class."""
    kind, more, rest = _split(np.asarray(values, dtype=np.int64))
    top = int(kind.max(initial=0)).bit_length()
    out = bytes([top]) + block(symbols.encode(kind, top))
    for size in np.unique(more[more > 0]).tolist():
        out += pack_bits(rest[more == size], size)
    return out


def decode(data: bytes, count: int) -> np.ndarray:
    """Return `count` numbers; the caller has bounded `count`.

    Raises:
        ValueError: a stream that is damaged.
    """
    reader = Reader(data)
    top = reader.byte(WIDTH)
    kind = symbols.decode(reader.block(), top, count).astype(np.int64)
    if kind.max(initial=0) > LAST:
        reader.refuse(f"a number has class {kind.max()} where {LAST} is the highest")
    more = np.maximum(0, (kind - 4) // 4)
    base = np.where(kind < 8, kind, (4 + kind % 4) << more)
    for size in np.unique(more[more > 0]).tolist():
        some = more == size
        n = int(some.sum())
        base[some] += unpack_bits(reader.take((n * size + 7) // 8), size, n)
    reader.end()
    return base


def _split(n: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the class of each number, how many bits are left, and these bits."""
    length = np.frexp(np.maximum(n, 1).astype(np.float64))[1].astype(np.int64)
    more = np.maximum(0, length - 3)
    lead = n >> more
    return np.where(n < 8, n, 4 * more + lead), more, n - (lead << more)
