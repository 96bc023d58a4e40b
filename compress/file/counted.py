r"""Codes few small symbols without any table: both sides count what has come so far.

A symbol of b bits is b decisions down a tree, each by the counts (ones + 1/2) / (all + 1) of its
node (Krichevsky and Trofimov): about half a bit a node and doubling, less than a table costs.

                 1            the path of symbol 1 0 is: node 1 says 1, node 3 says 0
              /     \
             2       3
"""

from collections.abc import Iterator, Sequence

import numpy as np

from compress.file import bits

MOST = 1 << 17  # decisions; more are slow in plain Python, and a table costs little beside them


class Counts:
    """How often each node of a tree for symbols of `width` bits has said 0 and 1."""

    def __init__(self, width: int):
        self.width = width
        self.zeros, self.ones = [0] * (1 << width), [0] * (1 << width)

    def chance(self, node: int) -> int:
        """Return the chance of a 1 at this node, out of bits.ONE."""
        zeros, ones = self.zeros[node], self.ones[node]
        return bits.bounded((2 * ones + 1) * bits.ONE // (2 * (zeros + ones) + 2))

    def add(self, node: int, bit: int) -> None:
        """Count what a node has said."""
        (self.ones if bit else self.zeros)[node] += 1

    def path(self, symbol: int) -> Iterator[tuple[int, int]]:
        """Yield the decisions of a symbol and their chances, and count them."""
        node = 1
        for place in reversed(range(self.width)):
            bit = symbol >> place & 1
            yield bit, self.chance(node)
            self.add(node, bit)
            node = 2 * node + bit

    def read(self, decoder: bits.Decoder) -> int:
        """Read a symbol, and count it."""
        node = 1
        for _ in range(self.width):
            bit = decoder.bit(self.chance(node))
            self.add(node, bit)
            node = 2 * node + bit
        return node - (1 << self.width)

    def read_all(self, decoder: bits.Decoder, count: int) -> np.ndarray:
        """Read many symbols, as `read` does, with everything in one loop: three times as fast."""
        zeros, ones, found = self.zeros, self.ones, []
        x, data, at = decoder.x, decoder.data, decoder.at
        most, mask, half = bits.ONE - bits.LEAST, bits.ONE - 1, bits.ONE // 2
        for _ in range(count):
            node = 1
            for _ in range(self.width):
                one = ones[node]
                f = (2 * one + 1) * half // (zeros[node] + one + 1)
                f = bits.LEAST if f < bits.LEAST else most if f > most else f
                slot = x & mask
                if slot < f:
                    x = f * (x >> bits.BITS) + slot
                    ones[node] = one + 1
                    node = 2 * node + 1
                else:
                    x = (bits.ONE - f) * (x >> bits.BITS) + slot - f
                    zeros[node] += 1
                    node = 2 * node
                while x < bits.LOW:
                    if at >= len(data):
                        raise ValueError("a code of decisions ends too early")
                    x = x << 8 | data[at]
                    at += 1
            found.append(node - (1 << self.width))
        decoder.x, decoder.at = x, at
        return np.array(found, dtype=np.int64)


def encode(symbols: Sequence[int] | np.ndarray, width: int) -> bytes:
    """Code symbols below 2^width."""
    counts, steps = Counts(width), []
    for symbol in np.asarray(symbols).tolist():
        steps += counts.path(symbol)
    return bits.encode(*zip(*steps, strict=True)) if steps else b""


def decode(data: bytes, width: int, count: int) -> np.ndarray:
    """Return the `count` symbols that `encode` has coded; the caller has bounded `count`.

    Raises:
        ValueError: a code that is damaged.
    """
    if count * width == 0:
        if data:
            raise ValueError(f"a code of no decisions has no bytes, got {len(data)}")
        return np.zeros(count, dtype=np.int64)
    counts, decoder = Counts(width), bits.Decoder(data)
    found = counts.read_all(decoder, count)
    decoder.end()
    return found
