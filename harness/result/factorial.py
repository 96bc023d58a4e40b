"""A full grid of settings, analysed: what each does alone, and whether they act independently.

    y = mean + pattern + groups + exits            main effects: each sums to 0 over its levels
             + pattern:groups + ...                interactions: what the sum of the two misses
             + seed + error                        each seed is one replicate of the whole grid

By least squares with sum-to-zero coding, so it also works where runs are missing. An effect comes
with its 95 % t-interval, a term with the F-test of all its effects being 0 (the terms that are in
the model stay in it while one is tested). Settings are independent ("orthogonal") as far as the
data can tell where no interaction's test finds anything.

What a setting changes exactly not at all must not be found, whatever the processor: a BLAS may sum
in any order, so an exact 0 comes out as some rounding. `rounding` bounds it (N. J. Higham, Accuracy
and Stability of Numerical Algorithms, 2002, ch. 3 and 12). With u = eps / 2, gamma(k) = k u /
(1 - k u): a sum of k products, in any order, with or without fused multiply-add, is off by at most
gamma(k) times the sum of their sizes. x (n runs, p < n columns of whole numbers, so that x'x is
exact) has K = |x|_F |x^+|_2. The fit repeats b += (x'x)^-1 x'r, r = y - x b, where

    r      is off by at most  gamma(p + 1) (|y| + |x||b|)          its own products
                 and by       u |x||b|                             the sum b + ...
    x'r    is off by at most  gamma(n) |x|'|r|                     which moves x b by gamma(n) K |y|

(the error of the solver itself shrinks at each repetition, since it is relative to a correction
that shrinks). The first line enters twice: into the last r, and into the last correction by the r
before it. As | |x||b| | <= |x|_F |x^+| |y| = K |y|, in Euclidean lengths:

    |r - exact r|  <=  (2 gamma(p + 1) + u + gamma(n)) (1 + K) |y|  <=  4 gamma(n) (1 + K) |y|

What a term adds is the difference of two such r, with and without it: twice that. (The difference
of two sums of squares would be off by gamma(n) |r|^2, that is by the first power of eps.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations, product

import numpy as np

from harness.result.stats import Interval

Grid = Mapping[tuple[str, ...], Mapping[int, float]]  # levels of a cell: value by seed


@dataclass(frozen=True)
class Effect:
    """The effect of one level of one term, such as ("pattern:groups", ("iddl", "4"))."""

    term: str
    levels: tuple[str, ...]
    interval: Interval


@dataclass(frozen=True)
class Term:
    """The F-test of a factor or interaction, and its share of the squares about the mean."""

    name: str
    df: int
    share: float
    f: float
    p: float


@dataclass(frozen=True)
class Analysis:
    """All effects and tests of a grid; `sd` is the deviation of the error, `n` counts the runs."""

    mean: float
    effects: tuple[Effect, ...]
    terms: tuple[Term, ...]
    sd: float
    df: int
    n: int


def analyse(factors: Mapping[str, Sequence[str]], grid: Grid) -> Analysis:
    """Estimate the main effects and the interactions of all orders.

    Raises:
        ValueError: too few runs to estimate an error.
    """
    from scipy.special import fdtrc, stdtrit

    cells, seeds, y = _rows(grid)
    blocks = _blocks(factors, cells, seeds)
    x = np.column_stack([np.ones(len(y)), *blocks.values()])
    df = len(y) - np.linalg.matrix_rank(x)
    if df < 1 or np.linalg.matrix_rank(x) < x.shape[1]:
        raise ValueError(
            f"{len(y)} runs are too few for {x.shape[1]} effects: every cell of the grid needs a "
            "run, and some need two"
        )
    whole = float(np.square(y - y.mean()).sum())
    (beta, left), nothing = _fit(x, y), rounding(x, y)
    error = _squares(left, nothing) / df
    covariance = error * np.linalg.inv(x.T @ x)
    effects, terms, start = [], [], 1
    for name, block in blocks.items():
        mine = slice(start, start + block.shape[1])
        start = mine.stop
        rest = np.delete(x, mine, axis=1)
        squares = _squares(_fit(rest, y)[1] - left, 2 * nothing)
        f = squares / block.shape[1] / error if error > 0 else np.inf if squares else 0.0
        p = float(fdtrc(block.shape[1], df, f)) if np.isfinite(f) else 0.0
        share = float(squares / whole) if squares else 0.0
        terms.append(Term(name, block.shape[1], share, float(f), p))
        if name != "seed":
            t = float(stdtrit(df, 0.975))
            effects += _effects(factors, name, beta[mine], covariance[mine, mine], t, len(y))
    found = tuple(effects), tuple(terms)
    return Analysis(float(beta[0]), *found, float(np.sqrt(error)), int(df), len(y))


def _rows(grid: Grid) -> tuple[list[tuple[str, ...]], list[int], np.ndarray]:
    rows = [(cell, seed, value) for cell, runs in grid.items() for seed, value in runs.items()]
    return [r[0] for r in rows], [r[1] for r in rows], np.array([r[2] for r in rows], float)


def _coding(levels: int) -> np.ndarray:
    """Return the sum-to-zero coding of a factor: its last level is minus all others."""
    return np.vstack([np.eye(levels - 1), -np.ones(levels - 1)])


def _terms(factors: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    names = list(factors)
    return [t for size in range(1, len(names) + 1) for t in combinations(names, size)]


def _blocks(factors, cells, seeds) -> dict[str, np.ndarray]:
    """Return the columns of the design matrix: those of each term, then those of the seeds."""
    coded = {}
    for i, (name, levels) in enumerate(factors.items()):
        places = [list(levels).index(cell[i]) for cell in cells]
        coded[name] = _coding(len(levels))[places]
    found = {":".join(t): reduce(_rowwise, [coded[name] for name in t]) for t in _terms(factors)}
    known = sorted(set(seeds))
    if len(known) > 1:
        found["seed"] = _coding(len(known))[[known.index(seed) for seed in seeds]]
    return found


def _rowwise(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a[:, :, None] * b[:, None, :]).reshape(len(a), -1)


def rounding(x: np.ndarray, y: np.ndarray) -> float:
    """Bound the length of what rounding may leave of y where x explains it exactly.

    It holds for a part of x too: that has a smaller norm and no smaller singular value.
    """
    unit = np.finfo(float).eps / 2
    gamma = len(y) * unit / (1 - len(y) * unit)
    condition = np.linalg.norm(x) / np.linalg.svd(x, compute_uv=False).min()
    return float(4 * gamma * (1 + condition) * np.linalg.norm(y))


def _fit(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients of x and the residual of y, to within `rounding`."""
    gram, beta, left = x.T @ x, np.zeros(x.shape[1]), y
    for _ in range(3):  # each takes the solver's own error down by its relative size, about 1e-13
        beta = beta + np.linalg.solve(gram, x.T @ left)
        left = y - x @ beta
    return beta, left


def _squares(part: np.ndarray, nothing: float) -> float:
    """Return the sum of squares of a part, or 0 where the part may be nothing but rounding."""
    length = float(np.linalg.norm(part))
    return length**2 if length > nothing else 0.0


def _effects(factors, name: str, beta, covariance, t: float, n: int) -> list[Effect]:
    names = name.split(":")
    coding = reduce(np.kron, [_coding(len(factors[f])) for f in names])
    values, half = coding @ beta, t * np.sqrt(np.diag(coding @ covariance @ coding.T))
    levels = product(*(factors[f] for f in names))
    return [
        Effect(name, cell, Interval(float(v), float(v - h), float(v + h), n))
        for cell, v, h in zip(levels, values, half, strict=True)
    ]
