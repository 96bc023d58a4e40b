"""Codes which places of a table are kept by what both sides have learned from the rows before.

The chance that a place is kept is logistic(w . x) with

    1                   how full the table is
    ln column           how often its column was kept in the rows before
    ln around           the same of the columns beside it (and, with a period, above and below)
    ln before           how often the layer before kept weights of that very unit
    ln row              how many this row keeps, which stands at its front
    left, above         whether places just before are kept in this very row

Weights w begin at common sense and take a Newton step after each row. A period says that columns
are a picture of so many columns, or channels of so many taps: "above" is a period earlier.

      . . . . . .       "left": the two places before;  "above": three places a period before
      . a a a . .
      l l ? . . .
"""

from collections.abc import Iterator

import numpy as np

from compress.file import bits, smooth
from compress.file.counted import Counts

MOST = 1 << 19  # places: more are slow in plain Python
START = (0.6, 0.3, 0.3, 1.0, 1.0, 1.0)  # weights of all but the constant
PRIOR = 0.3


class Chances:
    """What is known of a table before its next row."""

    def __init__(self, shape: tuple[int, int], count: int, period: int, before: np.ndarray | None):
        rows, columns = shape
        self.columns, self.period, self.row = columns, period, 0
        self.share = (count + 0.5) / (rows * columns + 1)
        self.mean = (count + 0.5) / rows
        self.seen = np.zeros(columns)
        self.before = self._relative(before)
        self.w = [float(smooth.ln(np.array(self.share / (1 - self.share)))), *START]
        self.w[3] *= before is not None
        self.trust = [1.0] * len(self.w)
        self.x: list[np.ndarray] = []

    def _relative(self, before: np.ndarray | None) -> np.ndarray | None:
        """Return ln of the counts of the layer before, relative to their mean."""
        if before is None:
            return None
        before = before.astype(np.float64)
        mean = (smooth.total(before) + 1) / len(before)
        return smooth.ln((before + 0.1 * mean) / (1.1 * mean))

    def of_row(self, kept: int) -> list[list[int]]:
        """Return the chances of the next row without, with left, above, both."""
        log_row = float(smooth.ln(np.array((kept + 0.2) / (self.mean + 0.2))))
        ones = np.ones(self.columns)
        x = self.x = [ones, self._rate(self.seen, PRIOR), self._rate(self._around(), 0.1)]
        x += [0 * ones if self.before is None else self.before, ones * log_row]
        z = sum((w * part for w, part in zip(self.w, x, strict=False)), start=ones * 0)
        left, above = self.w[5:]
        found = [z, z + left, z + above, z + (left + above)]
        return [self._whole(each) for each in found[: 4 if self.period else 2]]

    def _whole(self, z: np.ndarray) -> list[int]:
        chance = (smooth.logistic(z) * bits.ONE).astype(np.int64)
        return np.clip(chance, bits.LEAST, bits.ONE - bits.LEAST).tolist()

    def _rate(self, seen: np.ndarray, prior: float) -> np.ndarray:
        expected = 4 * prior
        rate = (seen + expected * self.share) / ((self.row + expected) * self.share)
        return smooth.ln(rate + 0.01)

    def _around(self) -> np.ndarray:
        """Return the mean of the counts of the columns around each one."""
        if not self.period:
            wide = np.pad(self.seen, 1)
            return (wide[:-2] + wide[2:]) / 2
        grid = np.pad(self.seen.reshape(-1, self.period), 1)
        straight = grid[:-2, 1:-1] + grid[2:, 1:-1] + grid[1:-1, :-2] + grid[1:-1, 2:]
        corners = grid[:-2, :-2] + grid[:-2, 2:] + grid[2:, :-2] + grid[2:, 2:]
        return ((straight + 0.5 * corners) / 6).ravel()

    def learn(self, kept: np.ndarray) -> None:
        """Take a step of Newton's method, a feature at a time, on the row that was coded last."""
        x = [*self.x, *self.beside(kept)]
        z = sum((w * part for w, part in zip(self.w, x, strict=True)), start=np.zeros(len(kept)))
        p = smooth.logistic(z)
        for i, part in enumerate(x):
            self.trust[i] += smooth.total(part * part * (p * (1 - p)))
            self.w[i] += 0.7 * smooth.total(part * (kept - p)) / self.trust[i]

    def count(self, kept: np.ndarray) -> None:
        """Count a row, also one from which there was nothing to learn."""
        self.seen += kept
        self.row += 1

    def beside(self, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return for each place whether places just before it are kept: left of it, and above."""
        left, above = _shifted(kept, 1) + _shifted(kept, 2), np.zeros(len(kept))
        for distance in (-1, 0, 1) if self.period else ():
            above += _shifted(kept, self.period + distance)
        return np.minimum(left, 1), np.minimum(above, 1)


def _shifted(row: np.ndarray, by: int) -> np.ndarray:
    found = np.zeros(len(row))
    found[by:] = row[: max(0, len(row) - by)]
    return found


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
