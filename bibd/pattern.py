"""Which inputs each output of a layer reads: named patterns, in plain numpy.

A pattern is a compressed table. Output r reads inputs indices[indptr[r]:indptr[r+1]]:

    outputs          inputs 0 1 2 3              indptr  = 0 2 4
       0                    x x . .              indices = 0 1 1 3
       1                    . x . x

Families so far (a dict below; the name is the registry):

    iddl     the modular rule of the IDDL study. With q = ceil(sqrt(in)), point p = q*i + j, the
             full table has q+1 parallel classes of q blocks. Class 0: the q rows of the q x q grid;
             class k+1: the lines j = k*i + c (mod q), for k = 0..q-1. Rows wrap, columns past `in`
             are cut. A balanced design only for prime q; the name promises nothing else.
    random   the same number of connections as `iddl`, anywhere.
    dense    everything.
"""

import difflib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isqrt

import numpy as np


@dataclass(frozen=True, eq=False)
class Pattern:
    """The connections of one layer; `seed` None is the canonical order of its family."""

    family: str
    in_features: int
    out_features: int
    indptr: np.ndarray
    indices: np.ndarray
    seed: int | None = None

    def __post_init__(self):
        for table in (self.indptr, self.indices):
            table.setflags(write=False)

    def __deepcopy__(self, memo):
        return self  # nothing in it can change

    @property
    def nonzeros(self) -> int:
        """Number of connections."""
        return len(self.indices)

    @property
    def density(self) -> float:
        """Connections over possible connections."""
        return self.nonzeros / (self.in_features * self.out_features)

    @cached_property
    def fan_in(self) -> np.ndarray:
        """Connections of each output."""
        return np.diff(self.indptr)

    @cached_property
    def rows(self) -> np.ndarray:
        """Output of each connection; together with `indices` the coordinate form."""
        return np.repeat(np.arange(self.out_features), self.fan_in)

    @property
    def flat(self) -> np.ndarray:
        """Place of each connection in the row-major (out, in) weight."""
        return self.rows * self.in_features + self.indices

    def mask(self) -> np.ndarray:
        """The table as booleans (out, in)."""
        mask = np.zeros(self.out_features * self.in_features, dtype=bool)
        mask[self.flat] = True
        return mask.reshape(self.out_features, self.in_features)

    def digest(self) -> str:
        """SHA-256 of the table: two layers share it only if they share every connection."""
        table = np.concatenate([[self.in_features, self.out_features], self.indptr, self.indices])
        return hashlib.sha256(table.astype("<i8").tobytes()).hexdigest()

    def __str__(self):
        seed = "" if self.seed is None else f", seed={self.seed}"
        return f"{self.family}({self.in_features}, {self.out_features}{seed})"


def _from_flat(family: str, shape: tuple[int, int], flat: np.ndarray, seed: int | None) -> Pattern:
    v, b = shape
    rows, cols = np.divmod(np.sort(flat), v)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=b))])
    return Pattern(family, v, b, indptr, cols, seed)


def _modular(v: int, b: int) -> np.ndarray:
    """Flat places of the modular rule, with b*q work."""
    q = isqrt(v - 1) + 1  # ceil(sqrt(v))
    row = np.arange(b) % (q * (q + 1))
    group, c = (row // q)[:, None], (row % q)[:, None]
    i = np.arange(q)
    points = np.where(group == 0, q * c + i, q * i + ((group - 1) * i + c) % q)
    return (points + v * np.arange(b)[:, None])[points < v]


def iddl(v: int, b: int, seed: int | None = None) -> Pattern:
    """The modular rule; a seed relabels inputs and outputs, which keeps every count."""
    flat = _modular(v, b)
    if seed is not None:
        rng = np.random.default_rng(seed)
        rows, cols = np.divmod(flat, v)
        flat = rng.permutation(b)[rows] * v + rng.permutation(v)[cols]
    return _from_flat("iddl", (v, b), flat, seed)


def random(v: int, b: int, seed: int | None = None) -> Pattern:
    """As many connections as `iddl` has, drawn without replacement; None draws as seed 0 does."""
    rng = np.random.default_rng(0 if seed is None else seed)
    flat = rng.choice(v * b, size=len(_modular(v, b)), replace=False, shuffle=False)
    return _from_flat("random", (v, b), flat, seed)


def dense(v: int, b: int, seed: int | None = None) -> Pattern:
    """Every input to every output; the seed changes nothing."""
    return _from_flat("dense", (v, b), np.arange(v * b), seed)


def diagonal(patterns: Sequence[Pattern]) -> Pattern:
    """Several patterns of one size as blocks along the diagonal of one table."""
    v, b, n = patterns[0].in_features, patterns[0].out_features, len(patterns)
    starts = np.cumsum([0, *(p.nonzeros for p in patterns)])
    indptr = [p.indptr[:-1] + start for p, start in zip(patterns, starts, strict=False)]
    indices = [p.indices + i * v for i, p in enumerate(patterns)]
    return Pattern(
        "diagonal", n * v, n * b, np.concatenate([*indptr, starts[-1:]]), np.concatenate(indices)
    )


PATTERNS: dict[str, Callable[..., Pattern]] = {"iddl": iddl, "random": random, "dense": dense}


def make_pattern(
    family: str, in_features: int, out_features: int, seed: int | None = None
) -> Pattern:
    """The named pattern for a layer of this size, a function of its arguments alone."""
    check_family(family)
    for name, size in (("in_features", in_features), ("out_features", out_features)):
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {size!r}")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int | np.integer)):
        raise ValueError(f"seed must be None or a whole number, got {seed!r}")
    if seed is not None and seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}; use 0 or more")
    return PATTERNS[family](int(in_features), int(out_features), seed)


def check_family(family: str) -> None:
    """Refuse a name that is no pattern, with the nearest one that is."""
    if family not in PATTERNS:
        near = difflib.get_close_matches(str(family), PATTERNS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"unknown pattern {family!r}: {hint}there are {', '.join(PATTERNS)}")
