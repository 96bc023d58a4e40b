"""How likely each place of a row is kept, as learned from the rows before.

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

import numpy as np

from compress.file import bits, smooth

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
