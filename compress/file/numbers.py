"""Whole numbers, texts and parts of a file as bytes, and a reader that never trusts them.

A number takes 7 bits a byte, the lowest first, the highest bit says that more follow (LEB128).
"""

from typing import NoReturn

import numpy as np

MOST = 1 << 62  # of a number


def number(n: int) -> bytes:
    """Return a whole number from 0 on as bytes."""
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def block(data: bytes) -> bytes:
    """Return bytes with their length before them."""
    return number(len(data)) + data


class Damaged(ValueError):
    """A file that does not say what a file of this format can say."""


class Reader:
    """Reads bytes from front to back; every length is checked before anything is made of it."""

    def __init__(self, data: bytes | memoryview):
        self.data, self.at = memoryview(data), 0

    @property
    def left(self) -> int:
        """How many bytes follow."""
        return len(self.data) - self.at

    def refuse(self, what: str) -> NoReturn:
        """Raise the error that a part of a file deserves."""
        raise Damaged(f"{what} (at byte {self.at} of a part of {len(self.data)})")

    def take(self, n: int) -> bytes:
        """Return the next n bytes.

        Raises:
            Damaged: there are fewer.
        """
        if n > self.left:
            self.refuse(f"{n:,} bytes were announced, {self.left:,} follow")
        self.at += n
        return bytes(self.data[self.at - n : self.at])

    def byte(self, most: int = 255) -> int:
        """Return the next byte, which may be `most` at most."""
        (found,) = self.take(1)
        if found > most:
            self.refuse(f"a mark {found} was found where {most} is the highest")
        return found

    def number(self, most: int = MOST) -> int:
        """Return the next number, which may be `most` at most."""
        n, shift = 0, 0
        while True:
            (found,) = self.take(1)
            n |= (found & 127) << shift
            shift += 7
            if found < 128:
                break
            if shift > 63:
                self.refuse("a number has no end")
        if n > most:
            self.refuse(f"a number is {n:,} where {most:,} is the highest")
        return n

    def block(self) -> bytes:
        """Return bytes that have their length before them."""
        return self.take(self.number())

    def end(self) -> None:
        """Check that nothing follows."""
        if self.left:
            self.refuse(f"{self.left:,} bytes follow the end")


def pack_bits(values: np.ndarray, width: int) -> bytes:
    """Return whole numbers below 2^width one after the other, width bits each."""
    values = np.asarray(values)
    table = np.empty((len(values), width), dtype=bool)
    for place in range(width):
        table[:, width - 1 - place] = values >> place & 1
    return np.packbits(table).tobytes()


def unpack_bits(data: bytes, width: int, count: int) -> np.ndarray:
    """Return `count` numbers of `width` bits, of just as many bytes as they need.

    Raises:
        Damaged: it is another number of bytes, or bits behind the last number are set.
    """
    if len(data) != (width * count + 7) // 8:
        raise Damaged(f"{count:,} numbers of {width} bits cannot have {len(data):,} bytes")
    found = np.unpackbits(np.frombuffer(data, np.uint8))
    if found[width * count :].any():
        raise Damaged("bits are set behind the last number")
    values = np.zeros(count, dtype=np.int64)
    for place in range(width):
        values = values << 1 | found[place : width * count : width]
    return values
