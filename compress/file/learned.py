"""Codes which places of a table are kept by what both sides have learned from the rows before.

A row begins with how many it keeps; then come its decisions, place after place, each by its chance
(compress.file.chances), up to the last place that is kept.
"""

from collections.abc import Iterator

import numpy as np

from compress.file import bits
from compress.file.chances import Chances
from compress.file.counted import Counts

MOST = 1 << 19  # places of a table ...
ROOM = 3 << 18  # ... and of a file: each takes about a microsecond, as this is plain Python


class Sizes:
    """How many places rows keep: n + 1 in binary, its length and first digit by counts."""

    def __init__(self, most: int):
        self.length, self.most = Counts(5), most
        self.digits = [Counts(1) for _ in range(32)]

    def path(self, n: int) -> Iterator[tuple[int, int]]:
        """Yield the decisions of a number and their chances."""
        digits = (n + 1).bit_length() - 1
        yield from self.length.path(digits)
        for place in reversed(range(digits)):
            bit = (n + 1) >> place & 1
            if place == digits - 1:
                yield from self.digits[digits].path(bit)
            else:
                yield bit, bits.ONE // 2

    def read(self, decoder: bits.Decoder) -> int:
        """Read a number.

        Raises:
            ValueError: one that no row can have.
        """
        digits, n = self.length.read(decoder), 1
        for place in reversed(range(digits)):
            first = place == digits - 1
            bit = self.digits[digits].read(decoder) if first else decoder.bit(bits.ONE // 2)
            n = 2 * n + bit
        if n - 1 > self.most:
            raise ValueError(f"a row of {self.most} places cannot keep {n - 1}")
        return n - 1


def encode(kept: np.ndarray, period: int = 0, before: np.ndarray | None = None) -> bytes:
    """Code a table of booleans (rows, columns).

    Args:
        kept: The table.
        period: As above; it divides the columns.
        before: How many weights the layer before keeps for each column's unit.
    """
    chances, sizes = Chances(kept.shape, int(kept.sum()), period, before), Sizes(kept.shape[1])
    steps: list[tuple[int, int]] = []
    for row in kept.astype(np.float64):
        n = int(row.sum())
        steps += sizes.path(n)
        if 0 < n < len(row):
            steps += _steps(row, chances.of_row(n), chances.beside(row))
            chances.learn(row)
        chances.count(row)
    return bits.encode(*zip(*steps, strict=True)) if steps else b""


def _steps(row: np.ndarray, tables: list[list[int]], beside) -> list[tuple[int, int]]:
    """Return the decisions of a row up to the last place that it keeps, and their chances."""
    which = (beside[0] + 2 * beside[1]).astype(int).tolist()
    decided = row.astype(int).tolist()
    end = int(np.flatnonzero(row)[-1]) + 1
    return [(decided[c], tables[which[c]][c]) for c in range(end)]


def decode(
    data: bytes, shape: tuple[int, int], count: int, period: int, before: np.ndarray | None = None
) -> np.ndarray:
    """Return the table; the caller has bounded its shape by MOST.

    Raises:
        ValueError: a code that is damaged.
    """
    columns = shape[1]
    if period and columns % period:
        raise ValueError(f"a period of {period} does not divide {columns} columns")
    chances, sizes, decoder = Chances(shape, count, period, before), Sizes(columns), None
    kept = np.zeros(shape)
    decoder = bits.Decoder(data)
    for row in kept:
        n = sizes.read(decoder)
        if n == columns:
            row[:] = 1
        elif n:
            row[_read(decoder, chances.of_row(n), n, period)] = 1
            chances.learn(row)
        chances.count(row)
    decoder.end()
    return kept > 0


def _read(decoder: bits.Decoder, tables: list[list[int]], n: int, period: int) -> list[int]:
    """Read the n places that a row keeps."""
    columns, found = len(tables[0]), []
    left, above = [0] * (columns + 3), [0] * (columns + 3 + period)
    for c in range(columns):
        if decoder.bit(tables[left[c] + 2 * above[c]][c]):
            found.append(c)
            if len(found) == n:
                return found
            left[c + 1] = left[c + 2] = 1
            if period:
                above[c + period - 1] = above[c + period] = above[c + period + 1] = 1
    raise ValueError(f"a row ends before its {n} places")


def periods(columns: int, taps: int) -> list[int]:
    """Return the periods that are worth a try, where `taps` columns belong to one channel."""
    side = int(columns**0.5 + 0.5)
    square = [side] if side * side == columns and side > 3 else []
    return [0, *square, *([taps] if 2 < taps < columns else [])]
