"""Block designs: points in blocks, so that pairs of points meet as evenly as can be.

Names as in the literature: v points, b blocks, k points in a block, r blocks through a point, and
lam blocks through each pair of points. A 2-(v, k, lam) design has v r = b k and
lam (v - 1) = r (k - 1).

    affine plane AG(2, q)      v = q^2, b = q^2 + q, k = q, r = q + 1, lam = 1. Points (i, j) have
                               the number q i + j. Class 0: the lines i = c; class s + 1: the lines
                               j = s i + c, for every slope s of GF(q); they are parallel
    projective plane PG(2, q)  v = b = q^2 + q + 1, k = r = q + 1, lam = 1: one more point for each
                               class, where its lines meet, and the line of those points
    singer(q)                  the same parameters, cyclic: block t is D + t modulo v
    modular(q)                 the affine construction with arithmetic modulo q in place of GF(q):
                               a design for prime q only
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import isqrt
from typing import Any

import numpy as np

from bibd.field import field, near_prime_powers, prime_power


@dataclass(frozen=True, eq=False)
class Design:
    """Points in blocks: block j holds indices[indptr[j]:indptr[j+1]], in ascending order."""

    name: str
    v: int
    indptr: np.ndarray
    indices: np.ndarray
    classes: np.ndarray | None = None  # parallel class of each block, where the design has them

    def __post_init__(self):
        for table in (self.indptr, self.indices):
            table.setflags(write=False)

    @property
    def b(self) -> int:
        """The number of blocks."""
        return len(self.indptr) - 1

    @property
    def nonzeros(self) -> int:
        """The number of (point, block) incidences."""
        return len(self.indices)

    @cached_property
    def sizes(self) -> np.ndarray:
        """The number of points in each block."""
        return np.diff(self.indptr)

    @cached_property
    def degrees(self) -> np.ndarray:
        """The number of blocks through each point."""
        return np.bincount(self.indices, minlength=self.v)

    def block(self, j: int) -> np.ndarray:
        """Return the points of block j."""
        return self.indices[self.indptr[j] : self.indptr[j + 1]]

    def incidence(self) -> np.ndarray:
        """Return the table (b, v) as booleans: a weight's mask, outputs by inputs."""
        table = np.zeros((self.b, self.v), dtype=bool)
        table[np.repeat(np.arange(self.b), self.sizes), self.indices] = True
        return table

    def __str__(self):
        return f"{self.name}: {self.v} points, {self.b} blocks"


def from_blocks(v: int, blocks: Iterable[Iterable[int]], name: str = "user") -> Design:
    """Make a design from your own blocks.

    Raises:
        ValueError: a point out of range, or twice in a block; names the block.
    """
    if not _is_whole(v, 1):
        raise ValueError(
            f"from_blocks takes the number of points, at least 1, and then the blocks; got {v!r} "
            "for the number"
        )
    rows = [_points(j, block, v) for j, block in enumerate(_each(blocks, "the blocks are lists"))]
    if not rows:
        raise ValueError("a design needs at least one block, got none")
    return _from_rows(name, v, rows)


def _points(j: int, block: Any, v: int) -> np.ndarray:
    """Return the points of block j in ascending order; refuse what are no points."""
    found = list(_each(block, f"block {j} is a list"))
    for point in found:
        if not _is_whole(point, None):
            raise ValueError(f"block {j} holds {point!r}; points are whole numbers, 0 to {v - 1}")
        if not 0 <= point < v:
            raise ValueError(f"block {j} holds point {point}; points are 0 to {v - 1}")
    points = np.array(sorted(found), dtype=np.int64)
    if (np.diff(points) == 0).any():
        twice = points[:-1][np.diff(points) == 0][0]
        raise ValueError(f"block {j} holds point {twice} twice; a block is a set")
    return points


def _each(of: Any, what: str) -> Iterable[Any]:
    if isinstance(of, str | bytes) or not isinstance(of, Iterable):
        raise ValueError(f"{what} of points, got {of!r}: from_blocks(4, [[0, 1], [2, 3]])")
    return of


def _is_whole(got: object, least: int | None) -> bool:
    """Return whether this is a whole number of at least `least` (True and False are none)."""
    whole = isinstance(got, int | np.integer) and not isinstance(got, bool | np.bool_)
    return whole and (least is None or int(got) >= least)  # pyright: ignore


def from_mask(mask: Any, name: str = "mask") -> Design:
    """Make a design from a table (blocks, points), such as the mask of a weight (out, in).

    For the mask of a convolution (out, in, kh, kw), name the channels: `mask.any((2, 3))`.

    Args:
        mask: Anything that numpy takes for a table, or a tensor of any dtype, layout and device;
            what is not zero is an incidence.
        name: What the design is called.

    Raises:
        ValueError: not two axes, or one of them is empty.
    """
    if hasattr(mask, "detach"):
        mask = mask.detach()
        mask = (mask.to_dense() if "sparse" in str(mask.layout) else mask).cpu() != 0
    table = np.asarray(mask).astype(bool)
    if table.ndim != 2:
        raise ValueError(
            f"a mask has two axes (blocks, points), got shape {table.shape}; of a convolution's "
            "weight take (weight != 0).any((2, 3))"
        )
    if not table.size:
        raise ValueError(f"a mask needs at least one block and one point, got shape {table.shape}")
    return _from_table(name, table)


def affine_plane(q: int) -> Design:
    """Make the affine plane AG(2, q) for a prime power q, class by class.

    Raises:
        ValueError: no such plane exists, or none is known; says why, and names the nearest.
    """
    check_order(q)
    gf, i = field(q), np.arange(q)
    slope, c = np.divmod(np.arange(q * q), q)
    slanted = q * i + gf.add(gf.mul(slope[:, None], i), c[:, None])
    return _lines(f"AG(2,{q})", q, slanted)


def modular(q: int) -> Design:
    """Make the design of the original study's rule for q >= 2, which is a BIBD for prime q only."""
    if not _is_whole(q, 2):
        raise ValueError(f"the modular rule needs a whole q of at least 2, got {q!r}")
    i = np.arange(q)
    slope, c = np.divmod(np.arange(q * q), q)
    return _lines(f"modular({q})", q, q * i + (slope[:, None] * i + c[:, None]) % q)


def projective_plane(q: int) -> Design:
    """Make PG(2, q): the affine plane with a point at infinity for each class."""
    plane = affine_plane(q)
    assert plane.classes is not None
    lines = plane.indices.reshape(-1, q)
    lines = np.concatenate([lines, q * q + plane.classes[:, None]], axis=1)
    lines = np.concatenate([lines, q * q + np.arange(q + 1)[None]])
    return _regular(f"PG(2,{q})", q * q + q + 1, lines)


def singer(q: int) -> Design:
    """Make the cyclic plane of order q from the translates of a planar difference set."""
    base, v = np.array(difference_set(q)), q * q + q + 1
    return _regular(f"Singer({q})", v, (base + np.arange(v)[:, None]) % v)


def difference_set(q: int) -> list[int]:
    """Return q + 1 residues whose differences are every nonzero residue once.

    The modulus is q^2 + q + 1.

    The zeros of a sequence s[n+3] = x s[n+2] + y s[n+1] + z s[n] over GF(q) whose period, up to
    scalars, is q^2 + q + 1 (Singer 1938); coefficients are tried until they have it.
    """
    check_order(q)
    gf, v = field(q), q * q + q + 1
    mul = gf.mul(np.arange(q)[:, None], np.arange(q)).tolist()
    add = gf.add(np.arange(q)[:, None], np.arange(q)).tolist()
    # z primitive first: with z = 1 the period is a third too short wherever q leaves 1 modulo 3.
    for z, x, y in product(np.roll(gf.exp, -1).tolist(), range(q), range(q)):
        s = [0, 0, 1]
        for n in range(v - 3):
            s.append(add[add[mul[x][s[n + 2]]][mul[y][s[n + 1]]]][mul[z][s[n]]])
            if s[-1] == 0 and s[-2] == 0:
                break  # back at the start, too early
        zeros = [n for n, value in enumerate(s) if value == 0]
        if len(s) == v and len(zeros) == q + 1 and _is_difference_set(zeros, v):
            return zeros
    raise AssertionError(f"no difference set of order {q}")


def _is_difference_set(points: list[int], v: int) -> bool:
    differences = np.subtract.outer(points, points) % v
    return bool((np.bincount(differences.ravel(), minlength=v)[1:] == 1).all())


def complement(design: Design) -> Design:
    """Replace every block by the points that it leaves out: 2-(v, v-k, b-2r+lam)."""
    return _from_table(f"complement of {design.name}", ~design.incidence())


def dual(design: Design) -> Design:
    """Exchange points and blocks."""
    order = np.argsort(design.indices, kind="stable")
    rows = np.repeat(np.arange(design.b), design.sizes)[order]
    indptr = np.concatenate([[0], np.cumsum(design.degrees)])
    return Design(f"dual of {design.name}", design.b, indptr, rows)


def truncate(design: Design, v: int, b: int) -> Design:
    """Keep the first b blocks, and of those the first v points."""
    if not (_is_whole(v, 1) and _is_whole(b, 1)):
        raise ValueError(f"sizes to cut to are whole numbers of at least 1, got {v!r} and {b!r}")
    if not (1 <= v <= design.v and 1 <= b <= design.b):
        raise ValueError(
            f"{design.name} has {design.v} points and {design.b} blocks; cannot cut it to "
            f"{v} points and {b} blocks"
        )
    rows = [design.block(j)[design.block(j) < v] for j in range(b)]
    classes = None if design.classes is None else design.classes[:b]
    return _from_rows(f"{design.name} cut to ({v}, {b})", v, rows, classes)


def tiled(design: Design, t: int) -> Design:
    """Replace every incidence by a full t-by-t tile (Kronecker product with ones)."""
    if not _is_whole(t, 1):
        raise ValueError(f"the side of a tile is a whole number of at least 1, got {t!r}")
    table = np.kron(design.incidence(), np.ones((t, t), dtype=bool))
    return _from_table(f"{design.name} in tiles of {t}", table)


def check_order(q: int) -> None:
    """Refuse an order for which no plane exists or is known, with the reason and the nearest."""
    if not _is_whole(q, 2):
        raise ValueError(f"the order of a plane is a whole number of at least 2, got {q!r}")
    if prime_power(int(q)) is None:
        low, high = near_prime_powers(int(q))
        raise ValueError(
            f"{why_not(int(q))}; the nearest orders that do exist are {low} and {high}"
        )


def why_not(q: int) -> str:
    """Return what is known about planes of an order that is no prime power."""
    if q % 4 in (1, 2) and not _two_squares(q):
        return (
            f"no plane of order {q} exists (Bruck-Ryser: {q} leaves {q % 4} modulo 4 and is no sum "
            "of two squares)"
        )
    if q == 10:
        return "no plane of order 10 exists (excluded by computer search, Lam, Thiel, Swiercz 1989)"
    return f"a plane of order {q} is not known to exist ({q} is no power of a prime)"


def check_parameters(v: int, k: int, lam: int) -> tuple[int, int]:
    """Return (b, r) of a 2-(v, k, lam) design if the necessary conditions allow one.

    Raises:
        ValueError: names the condition that fails: divisibility, Fisher, or Bruck-Ryser.
    """
    what = f"a 2-({v}, {k}, {lam}) design"
    if not (1 < k < v and lam >= 1):
        raise ValueError(f"{what} needs 1 < k < v and lam >= 1")
    r, rest = divmod(lam * (v - 1), k - 1)
    if rest:
        raise ValueError(f"{what} cannot exist: r = lam (v-1) / (k-1) is not whole (divisibility)")
    b, rest = divmod(v * r, k)
    if rest:
        raise ValueError(f"{what} cannot exist: b = v r / k is not whole (divisibility)")
    if b < v:
        raise ValueError(
            f"{what} cannot exist: it would have {b} blocks, fewer than points (Fisher)"
        )
    if lam == 1 and v in (
        k * k,
        k * k - k + 1,
    ):  # an affine plane of order k, a projective of k - 1
        check_order(k if v == k * k else k - 1)
    return b, r


def _two_squares(n: int) -> bool:
    return any(isqrt(n - a * a) ** 2 == n - a * a for a in range(isqrt(n) + 1))


def _lines(name: str, q: int, slanted: np.ndarray) -> Design:
    """Return a design with the lines i = c (class 0) before the slanted ones."""
    lines = np.concatenate([np.arange(q * q).reshape(q, q), slanted])
    return _regular(name, q * q, lines, np.repeat(np.arange(q + 1), q))


def _regular(name: str, v: int, lines: np.ndarray, classes: np.ndarray | None = None) -> Design:
    b, k = lines.shape
    return Design(name, v, np.arange(0, (b + 1) * k, k), np.sort(lines, axis=1).ravel(), classes)


def _from_rows(name: str, v: int, rows: list[np.ndarray], classes=None) -> Design:
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)])
    indices = np.concatenate(rows) if rows else np.zeros(0)
    return Design(name, v, indptr.astype(np.int64), indices.astype(np.int64), classes)


def _from_table(name: str, table: np.ndarray) -> Design:
    indptr = np.concatenate([[0], np.cumsum(table.sum(1))])
    return Design(name, table.shape[1], indptr, np.nonzero(table)[1])
