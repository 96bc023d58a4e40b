"""Certifies what a design is, by computing it instead of claiming it.

Labels:  BIBD       every pair of points in exactly lam blocks, all blocks of one size
         packing    every pair in at most one block
         irregular  the rest

Row and column weights cannot tell these apart; the coverage of pairs can. Beside it stands the
second singular value of the incidence table, which says how well the layer mixes. For given
weights it cannot be below sqrt((nnz - s1^2) / (min(v, b) - 1)); a BIBD attains that bound
(sqrt(r - lam)). A random table sits near the Ramanujan bound sqrt(r - 1) + sqrt(k - 1).

    print(bibd.certify(layer))      a layer, its pattern, or a design
"""

from dataclasses import asdict, dataclass, replace
from math import sqrt
from typing import Any, Protocol

import numpy as np

from bibd.design import Design
from bibd.sizes import whole_sizes

LABELS = ("BIBD", "packing", "irregular")
SMALL = 700  # up to this size a full decomposition is quicker than Lanczos


class Table(Protocol):
    """Anything that has a design for each of its groups, as a Pattern does."""

    @property
    def groups(self) -> int:
        """The number of separate parts."""
        ...

    def design(self, group: int = 0) -> Design:
        """Return the table of one group."""
        ...


class Layer(Protocol):
    """Anything that follows a pattern, as every sparse layer does."""

    pattern: Any


@dataclass(frozen=True)
class Certificate:
    """The facts about a table; print it to have them in words.

    Every number is a count or a computed value; r, k, lam are None where not constant.
    """

    name: str
    label: str
    v: int
    b: int
    r: int | None
    k: int | None
    lam: int | None
    nonzeros: int
    row_weights: tuple[int, int]
    column_weights: tuple[int, int]
    pair_coverage: dict[int, int]
    largest_intersection: int
    unconnected_inputs: int
    empty_blocks: int
    components: int
    sigma1: float
    sigma2: float
    sigma2_lower_bound: float
    ramanujan_bound: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as plain values, for JSON."""
        coverage = {str(k): v for k, v in self.pair_coverage.items()}
        return asdict(self) | {"pair_coverage": coverage}

    def __str__(self):
        pairs = ", ".join(f"{n:,} in {met}" for met, n in self.pair_coverage.items())
        bound = self.ramanujan_bound
        ramanujan = "" if bound is None else f", Ramanujan bound {bound:.4f}"
        lines = {
            "label": self.label,
            "parameters": f"v={self.v} b={self.b} r={self.r} k={self.k} lam={self.lam}"
            + " (None: not constant)" * (None in (self.r, self.k, self.lam)),
            "connections": f"{self.nonzeros:,}",
            "fan-in": _range(self.row_weights),
            "fan-out": _range(self.column_weights),
            "pairs of inputs": f"{pairs} outputs" if pairs else "none",
            "shared at most": f"{self.largest_intersection} inputs by two outputs",
            "left out": f"{self.unconnected_inputs} inputs, {self.empty_blocks} outputs",
            "components": str(self.components),
            "sigma 2": f"{self.sigma2:.4f} (sigma 1 {self.sigma1:.4f}), "
            f"at least {self.sigma2_lower_bound:.4f}{ramanujan}",
        }
        if self.label != "BIBD":
            lines["whole nearby"] = f"{whole_sizes(self.v, self.b)} (inputs x outputs of a BIBD)"
        return "\n".join([self.name, *(f"  {key:<16} {line}" for key, line in lines.items())])


def certify(of: Design | Table | Layer, group: int | None = None) -> Certificate:
    """Certify a table from all pairs of points and blocks, its components and its spectrum.

    Args:
        of: A Design, a Pattern or a sparse layer.
        group: Which group of a layer in groups. None: the one with the weakest label.

    Raises:
        ValueError: something else, or a group that is not there.
    """
    if isinstance(of, Design):
        return _certify(of)
    table: Any = getattr(of, "pattern", of)
    if not (hasattr(table, "design") and hasattr(table, "groups")):
        raise ValueError(
            f"certify takes a sparse layer, a Pattern or a Design, got {type(of).__name__}: "
            "bibd.make_pattern makes one from a name, bibd.from_mask from a mask"
        )
    if group is not None and not 0 <= group < table.groups:
        raise ValueError(f"group must be one of 0 to {table.groups - 1}, got {group}")
    if table.groups == 1:
        return _certify(table.design())
    if group is None:
        group = max(range(table.groups), key=lambda g: LABELS.index(label(table.design(g))))
    found = _certify(table.design(group))
    return replace(found, name=f"{found.name}, group {group} of {table.groups}")


def _certify(design: Design) -> Certificate:
    transposed = _transpose(design)
    pairs = _meetings(design, transposed)
    blocks = _meetings(transposed, design)
    r, k = _constant(design.degrees), _constant(design.sizes)
    name, lam = _label(design, pairs, k)
    sigma1, sigma2 = singular_values(design)
    rank, rest = min(design.v, design.b) - 1, design.nonzeros - sigma1**2
    # A rest at the level of rounding is none: its root would not be.
    bound = sqrt(rest / rank) if rank and rest > 1e-12 * design.nonzeros else 0.0
    return Certificate(
        design.name,
        name,
        design.v,
        design.b,
        r,
        k,
        lam,
        design.nonzeros,
        (int(design.sizes.min()), int(design.sizes.max())),
        (int(design.degrees.min()), int(design.degrees.max())),
        pairs,
        max(blocks, default=0),
        int((design.degrees == 0).sum()),
        int((design.sizes == 0).sum()),
        components(design),
        sigma1,
        sigma2,
        bound,
        sqrt(r - 1) + sqrt(k - 1) if r and k else None,
    )


def _range(ends: tuple[int, int]) -> str:
    return str(ends[0]) if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def label(design: Design) -> str:
    """Return the label of a design without computing its spectrum."""
    pairs = _meetings(design, _transpose(design))
    return _label(design, pairs, _constant(design.sizes))[0]


def _constant(values: np.ndarray) -> int | None:
    return int(values[0]) if len(values) and (values == values[0]).all() else None


def _label(design: Design, pairs: dict[int, int], k: int | None) -> tuple[str, int | None]:
    lam = next(iter(pairs)) if len(pairs) == 1 else None
    if lam and k and 1 < k < design.v:
        return "BIBD", lam
    return ("packing" if max(pairs, default=0) <= 1 else "irregular"), lam


def _transpose(design: Design) -> Design:
    order = np.argsort(design.indices, kind="stable")
    rows = np.repeat(np.arange(design.b), design.sizes)[order]
    return Design("", design.b, np.concatenate([[0], np.cumsum(design.degrees)]), rows)


def _meetings(design: Design, transposed: Design) -> dict[int, int]:
    """Count the pairs of points that meet in 0, 1, 2, ... blocks; zero counts are left out."""
    v, histogram = design.v, np.zeros(1, dtype=np.int64)
    step = max(1, min(v, 2**22 // v))
    table = None
    if _work(design) > design.b * v * v / 16:  # nearly full: a dense product is quicker
        table = design.incidence().astype(np.float32)
    for start in range(0, v, step):
        chunk = np.arange(start, min(start + step, v))
        if table is not None:
            met = (table[:, chunk].T @ table).astype(np.int64)
        else:
            met = _met(design, transposed, chunk)
        met = met[np.arange(v)[None] > chunk[:, None]]  # each pair once
        counts = np.bincount(met, minlength=len(histogram))
        histogram = np.pad(histogram, (0, len(counts) - len(histogram))) + counts
    return {i: int(n) for i, n in enumerate(histogram) if n}


def _work(design: Design) -> int:
    return int((design.sizes.astype(np.int64) ** 2).sum())


def _met(design: Design, transposed: Design, points: np.ndarray) -> np.ndarray:
    """Count the blocks that each of these points shares with every point."""
    blocks, owner = _gather(transposed, points)
    others, which = _gather(design, blocks)
    keys = owner[which] * design.v + others
    return np.bincount(keys, minlength=len(points) * design.v).reshape(len(points), design.v)


def _gather(design: Design, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the entries of these rows end to end, and which of `rows` each came from."""
    sizes = design.sizes[rows]
    owner = np.repeat(np.arange(len(rows)), sizes)
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return design.indices[design.indptr[rows][owner] + within], owner


def components(design: Design) -> int:
    """Count the connected parts of the bipartite graph; an empty block or point is one itself."""
    rows = np.repeat(np.arange(design.b), design.sizes)
    low = np.arange(design.b)  # smallest block number known to be in the same part
    while True:
        point = np.full(design.v, design.b)
        np.minimum.at(point, design.indices, low[rows])
        new = low.copy()
        np.minimum.at(new, rows, point[design.indices])
        new = new[new]  # halve the chains
        if (new == low).all():
            break
        low = new
    return len(np.unique(low)) + int((design.degrees == 0).sum())


def singular_values(design: Design) -> tuple[float, float]:
    """Return the two largest singular values, one twice if it has multiplicity two."""
    if min(design.v, design.b) <= SMALL:
        values = np.linalg.svd(design.incidence().astype(float), compute_uv=False)
        return float(values[0]), float(values[1]) if len(values) > 1 else 0.0
    first, vector = _lanczos(design, None)
    second, _ = _lanczos(design, vector)
    return first, second


def _lanczos(design: Design, away: np.ndarray | None, steps: int = 400) -> tuple[float, np.ndarray]:
    """Return N's largest singular value and its right vector, in the complement of `away`.

    Lanczos on N'N with full reorthogonalisation, until the value stands still. Without `away` a
    value of multiplicity two would be seen once, hence two runs and not one.
    """
    rows = np.repeat(np.arange(design.b), design.sizes)
    # Another start for the second run: the first has nothing left in a space it shares with `away`.
    x = np.random.default_rng(0 if away is None else 1).standard_normal(design.v)
    basis = np.zeros((steps, design.v))
    alpha, beta = np.zeros(steps), np.zeros(steps)
    previous, ritz = 0.0, (0.0, x)
    for n in range(min(steps, design.v - (away is not None))):
        if away is not None:
            x -= away * (away @ x)
        x -= basis[:n].T @ (basis[:n] @ x)
        length = np.linalg.norm(x)
        if length < 1e-9:  # the space is exhausted: what is found is exact
            return _ritz(alpha, beta, basis, n) if n else ritz
        basis[n] = x / length
        y = np.bincount(rows, weights=basis[n][design.indices], minlength=design.b)
        x = np.bincount(design.indices, weights=y[rows], minlength=design.v)
        alpha[n], beta[n] = basis[n] @ x, length
        if n % 10 == 9 or n < 3:
            ritz = _ritz(alpha, beta, basis, n + 1)
            if abs(ritz[0] - previous) <= 1e-10 * ritz[0]:
                break
            previous = ritz[0]
    return ritz


def _ritz(alpha, beta, basis, n: int) -> tuple[float, np.ndarray]:
    small = np.diag(alpha[:n]) + np.diag(beta[1:n], 1) + np.diag(beta[1:n], -1)
    values, vectors = np.linalg.eigh(small)
    vector = basis[:n].T @ vectors[:, -1]
    return sqrt(max(values[-1], 0.0)), vector / np.linalg.norm(vector)
