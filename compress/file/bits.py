"""Codes single decisions, each by a probability of its own that may depend on all before it.

    state x in [2^24, 2^32), bytes;  f / 2^16 is the probability of a 1, which has the slots below f

The same range coder as compress.file.rans, one state and a decision at a time: for what is small
and costs much, and in plain whole numbers, which are the same everywhere and for ever.
"""

from collections.abc import Sequence

BITS = 16
ONE = 1 << BITS
LOW = 1 << 24
LEAST = 32  # of ONE: what a decision's probability is kept away from 0 and 1


def encode(decisions: Sequence[int], chances: Sequence[int]) -> bytes:
    """Code decisions (0 or 1), each by its chance of a 1 out of ONE; backwards, as ANS must."""
    x, out = LOW, bytearray()
    for bit, f in zip(reversed(decisions), reversed(chances), strict=True):
        start, size = (0, f) if bit else (f, ONE - f)
        while x >= size << 16:
            out.append(x & 255)
            x >>= 8
        x = (x // size << BITS) + x % size + start
    return x.to_bytes(4, "little") + out[::-1]


class Decoder:
    """Reads decisions back, in the order in which they were made."""

    def __init__(self, data: bytes):
        """Begin with the state that stands at the front.

        Raises:
            ValueError: there is none.
        """
        if len(data) < 4:
            raise ValueError(f"a code of decisions has at least 4 bytes, got {len(data)}")
        self.x, self.data, self.at = int.from_bytes(data[:4], "little"), data, 4

    def bit(self, f: int) -> int:
        """Return the next decision, whose chance of a 1 is `f` out of ONE.

        Raises:
            ValueError: the code ends too early.
        """
        x = self.x
        slot = x & (ONE - 1)
        found = slot < f
        x = f * (x >> BITS) + slot if found else (ONE - f) * (x >> BITS) + slot - f
        while x < LOW:
            if self.at >= len(self.data):
                raise ValueError("a code of decisions ends too early")
            x = x << 8 | self.data[self.at]
            self.at += 1
        self.x = x
        return int(found)

    def end(self) -> None:
        """Check that all was read, and that it ends where the coder began.

        Raises:
            ValueError: it does not.
        """
        if self.x != LOW or self.at != len(self.data):
            raise ValueError("a code of decisions does not end where it should")


def bounded(chance: int) -> int:
    """Return a chance out of ONE that leaves room for the other decision."""
    return min(max(chance, LEAST), ONE - LEAST)
