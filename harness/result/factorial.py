"""A full grid of settings, analysed: what each does alone, and whether they act independently.

    y = mean + pattern + groups + exits            main effects: each sums to 0 over its levels
             + pattern:groups + ...                interactions: what the sum of the two misses
             + seed + error                        each seed is one replicate of the whole grid

By least squares with sum-to-zero coding, so it also works where runs are missing. An effect comes
with its 95 % t-interval, a term with the F-test of all its effects being 0 (the terms that are in
the model stay in it while one is tested). Settings are independent ("orthogonal") as far as the
data can tell where no interaction's test finds anything.
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
    """One level of one term, such as ("pattern:groups", ("iddl", "4"))."""

    term: str
    levels: tuple[str, ...]
    interval: Interval


@dataclass(frozen=True)
class Term:
    """F-test of a factor or an interaction; `share` of the sum of squares about the mean."""

    name: str
    df: int
    share: float
    f: float
    p: float


@dataclass(frozen=True)
class Analysis:
    """All effects and tests; `sd` is the standard deviation of the error, `n` the runs."""

    mean: float
    effects: tuple[Effect, ...]
    terms: tuple[Term, ...]
    sd: float
    df: int
    n: int


def analyse(factors: Mapping[str, Sequence[str]], grid: Grid) -> Analysis:
    """Main effects and interactions of all orders.

    Raises:
        ValueError: too few runs to estimate an error.
    """
    from scipy.special import fdtrc, stdtrit

    cells, seeds, y = _rows(grid)
    blocks = _blocks(factors, cells, seeds)
    x = np.column_stack([np.ones(len(y)), *blocks.values()])
    beta, df = np.linalg.lstsq(x, y, rcond=None)[0], len(y) - np.linalg.matrix_rank(x)
    if df < 1 or np.linalg.matrix_rank(x) < x.shape[1]:
        raise ValueError(
            f"{len(y)} runs are too few for {x.shape[1]} effects: every cell of the grid needs a "
            "run, and some need two"
        )
    whole = float(np.square(y - y.mean()).sum())
    zero = 1e-20 * max(whole, float(np.square(y).sum()))  # what rounding leaves of nothing
    error = _clean(_squares(x, y), zero) / df
    covariance = error * np.linalg.inv(x.T @ x)
    effects, terms, start = [], [], 1
    for name, block in blocks.items():
        mine = slice(start, start + block.shape[1])
        start = mine.stop
        rest = np.delete(x, mine, axis=1)
        squares = _clean(_squares(rest, y) - error * df, zero)
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
    """Sum-to-zero: the last level is minus all others."""
    return np.vstack([np.eye(levels - 1), -np.ones(levels - 1)])


def _terms(factors: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    names = list(factors)
    return [t for size in range(1, len(names) + 1) for t in combinations(names, size)]


def _blocks(factors, cells, seeds) -> dict[str, np.ndarray]:
    """The columns of each term, then those of the seeds."""
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


def _squares(x: np.ndarray, y: np.ndarray) -> float:
    """What is left of y after x."""
    return float(np.square(y - x @ np.linalg.lstsq(x, y, rcond=None)[0]).sum())


def _clean(squares: float, zero: float) -> float:
    """A sum of squares; 0 where it is nothing but rounding."""
    return squares if squares > zero else 0.0


def _effects(factors, name: str, beta, covariance, t: float, n: int) -> list[Effect]:
    names = name.split(":")
    coding = reduce(np.kron, [_coding(len(factors[f])) for f in names])
    values, half = coding @ beta, t * np.sqrt(np.diag(coding @ covariance @ coding.T))
    levels = product(*(factors[f] for f in names))
    return [
        Effect(name, cell, Interval(float(v), float(v - h), float(v + h), n))
        for cell, v, h in zip(levels, values, half, strict=True)
    ]
