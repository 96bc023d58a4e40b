"""Bits as Deep Compression counts them: gaps of a fixed width with filler zeros, Huffman's code.

A place says how many it lies behind the one before, in 5 bits (convolutions: 8). Where the step is
longer, a zero is put in that is a value like others (Han, Mao, Dally, arXiv 1510.00149, figure 2):

    places 1, 4, 42      steps of 5 bits: 2 3 32 6      values: a b 0 c

It is a count, not a file: code tables, shapes and names are not in it, as they are not in theirs.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SINGLE = 32  # bits of a value of a codebook and of a bias, as they count


def length(counts: Sequence[int] | np.ndarray) -> int:
    """Return the bits of Huffman's code for symbols that occur so often; of one symbol, a bit each.

    Two queues, one of symbols in order and one of what was joined, need no heap: the total is the
    sum of all that was joined.
    """
    single = deque(sorted(int(n) for n in counts if n > 0))
    if len(single) == 1:
        return single[0]
    joined: deque[int] = deque()
    total = 0
    while len(single) + len(joined) > 1:
        pair = [_least(single, joined), _least(single, joined)]
        joined.append(sum(pair))
        total += sum(pair)
    return total


def _least(single: deque[int], joined: deque[int]) -> int:
    if not joined or (single and single[0] <= joined[0]):
        return single.popleft()
    return joined.popleft()


def steps(flat: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps from place to place with fillers, and which of them are fillers."""
    span = 1 << bits
    step = np.diff(flat, prepend=-1)
    fillers = (step - 1) // span
    filler = np.ones(int(fillers.sum()) + len(flat), dtype=bool)
    filler[np.cumsum(fillers + 1) - 1] = False
    found = np.full(len(filler), span)
    found[~filler] = step - fillers * span
    return found, filler


@dataclass(frozen=True)
class Count:
    """What a layer takes by that account, in bits; of values and gaps, with Huffman's code."""

    name: str
    weights: int
    kept: int
    fillers: int
    value_bits: int
    gap_bits: int
    values: int
    gaps: int
    codebook: int
    biases: int

    @property
    def fixed(self) -> int:
        """The bits of values and gaps before Huffman's code."""
        return (self.kept + self.fillers) * (self.value_bits + self.gap_bits)

    @property
    def bits(self) -> int:
        """The bits of the layer."""
        return self.values + self.gaps + self.codebook + self.biases


def count(name: str, weight: np.ndarray, biases: int, convolution: bool) -> Count:
    """Count a layer whose weights share values; every distinct one is a value of its codebook."""
    flat = np.flatnonzero(weight)
    gap_bits = 8 if convolution else 5
    step, filler = steps(flat, gap_bits)
    distinct, often = np.unique(weight.ravel()[flat], return_counts=True)
    return Count(
        name=name,
        weights=weight.size,
        kept=len(flat),
        fillers=int(filler.sum()),
        value_bits=max(1, (len(distinct) - 1).bit_length()) if len(distinct) else 0,
        gap_bits=gap_bits,
        values=length([*often, int(filler.sum())]),
        gaps=length(np.bincount(step)),
        codebook=len(distinct) * SINGLE,
        biases=biases * SINGLE,
    )
