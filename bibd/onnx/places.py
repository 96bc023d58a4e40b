"""Where the connections of a pattern stand: by a formula where it is a plane, else as differences.

The lines of a plane need no table: output r reads, for i = 0, 1, ..., q - 1,

    slope s, c      s, c = divmod(r + shift, q)
    s = 0           q c + i
    else            q i + (s - 1) i + c, where the last two terms are computed in GF(q)

and what lies beyond the inputs is left out. A formula is written once, for numpy and for graphs
(`ops`), and a pattern has one only where numpy's answer is its table, connection by connection.
"""

from dataclasses import dataclass, replace
from math import isqrt
from typing import Any

import numpy as np

from bibd.families import fan_in
from bibd.field import field, next_prime_power, prime_power
from bibd.pattern import Pattern

TYPES = (np.uint8, np.uint16, np.uint32, np.int64)


@dataclass(frozen=True)
class Plane:
    """The formula of a table.

    Attributes:
        q: The order.
        points: How many points there are; the plane may have more.
        blocks: How many lines are taken, from `shift` on, round and round.
        count: How many connections there are.
        shift: The number of the first line.
        infinite: Whether each class of parallels meets in one more point (a projective plane).
        modular: Whether it is computed modulo q, also where GF(q) is another thing.
        dual: Whether points are outputs, and lines inputs.
        points_at: The order of points; None: as they are.
        blocks_at: The order of lines; None: as they are.
    """

    q: int
    points: int
    blocks: int
    count: int
    shift: int = 0
    infinite: bool = False
    modular: bool = False
    dual: bool = False
    points_at: np.ndarray | None = None
    blocks_at: np.ndarray | None = None

    def places(self, ops: Any) -> Any:
        """Return the place of each connection in the row-major weight, in ascending order."""
        q = self.q
        r, i = ops.column(self.blocks), ops.row(q + self.infinite)
        line = (r + self.shift) % (q * q + q + self.infinite)
        slope, c = line // q, line % q
        points = ops.where(slope == 0, q * c + i, q * i + self._sloped(ops, slope - 1, i, c))
        if self.infinite:
            points = ops.where(i == q, q * q + slope, points)
            points = ops.where(slope == q + 1, q * q + i, points)
        there, points = points < self.points, points % self.points
        points = points if self.points_at is None else ops.take(self.points_at, points)
        blocks = r if self.blocks_at is None else ops.take(self.blocks_at, r)
        places = points * self.blocks + blocks if self.dual else blocks * self.points + points
        return ops.least(ops.where(there, places, self.points * self.blocks), self.count)

    def _sloped(self, ops: Any, slope: Any, i: Any, c: Any) -> Any:
        """Return slope times i plus c."""
        q = self.q
        if self.modular or prime_power(q) == (q, 1):
            return (slope * i + c) % q
        numbers, gf = np.arange(q), field(q)
        times = gf.mul(numbers[:, None], numbers).ravel()
        plus = gf.add(numbers[:, None], numbers).ravel()
        return ops.take(plus, ops.take(times, slope % q * q + i % q) * q + c)


class Numpy:
    """The operations of a formula, on arrays."""

    where = staticmethod(np.where)

    def column(self, n: int) -> np.ndarray:
        """Return 0, 1, ..., n - 1, one below the other."""
        return np.arange(n)[:, None]

    def row(self, n: int) -> np.ndarray:
        """Return 0, 1, ..., n - 1, one beside the other."""
        return np.arange(n)

    def take(self, table: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Return the entries of a table at these places."""
        return table[at]

    def least(self, x: np.ndarray, count: int) -> np.ndarray:
        """Return so many of the smallest entries, in ascending order."""
        return np.sort(x, axis=None)[:count]


def formula(pattern: Pattern) -> Plane | None:
    """Return the formula of a pattern; None where it has none."""
    if pattern.groups > 1:
        return None
    found = _guess(pattern)
    same = found is not None and np.array_equal(found.places(Numpy()), pattern.flat)
    return found if same else None


def _guess(pattern: Pattern) -> Plane | None:
    """Return the plane that the family of a pattern is made of, if it is of one."""
    family, dual = pattern.family.removesuffix("_dual"), pattern.family.endswith("_dual")
    v, b = pattern.shape[::-1] if dual else pattern.shape
    order, n = isqrt(v), pattern.nonzeros
    if family == "iddl":
        plane = Plane(fan_in(v), v, b, n, dual=dual, modular=True)
    elif family != "bibd":
        return None
    elif v == order * order + order + 1 and prime_power(order):
        plane = Plane(order, v, b, n, dual=dual, infinite=True)
    else:
        q = next_prime_power(fan_in(v))
        plane = Plane(q, v, b, n, dual=dual, shift=q)
    if pattern.seed is None:
        return plane
    rng = np.random.default_rng(pattern.seed)  # as bibd.families.relabel permutes
    return replace(plane, blocks_at=rng.permutation(b), points_at=rng.permutation(v))


def differences(flat: np.ndarray) -> np.ndarray:
    """Return the first place and then the steps from each to the next."""
    return smallest(np.diff(flat, prepend=0))


def smallest(numbers: np.ndarray) -> np.ndarray:
    """Return whole numbers, none of them negative, in the smallest type that holds them."""
    most = int(numbers.max(initial=0))
    return numbers.astype(next(t for t in TYPES if most <= np.iinfo(t).max))
