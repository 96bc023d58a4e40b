"""Defines the families of patterns: each gives the connections of a layer (v inputs, b outputs).

    bibd             AG(2, q) or PG(2, q) where v is the number of their points; else AG(2, q) of
                     the smallest prime power q with q^2 >= v, some points deleted
    bibd_dual        the same with inputs and outputs exchanged: for layers that contract
    cyclic           Singer's plane: output t reads D + t, a circulant
    tiled            bibd on a grid of 4-by-4 tiles; tiled-16: of 16-by-16 ones; tiled-16x2: two
                     of the tiles of its line for each output
    block_diagonal   separate groups ("grouped")
    iddl             "modular": the modular rule of the original study (see bibd.design.modular)
    random           anywhere;  random_fan_in: as many for every output;  random_biregular: and
                     as many for every input
    dense            everything

All but bibd, bibd_dual, cyclic and dense hold as many connections as `iddl` unless told `nonzeros`:
ceil(sqrt(v)) for each output. Deleting points of AG(2, q) from the end takes away whole lines of
class 0, and a line of any other class meets each of those once:

    . . . . . . .      classes 1..q first: fan-ins differ by one at most, up to q^2 outputs
    . . . . . . .      then what is left of class 0; then copies under other permutations of points
    . . . x x x x
"""

import re
from collections.abc import Callable
from functools import partial
from math import isqrt

import numpy as np

from bibd.design import Design, affine_plane, difference_set, projective_plane
from bibd.field import next_prime_power, prime_power

TILE = 4


def fan_in(v: int) -> int:
    """Return ceil(sqrt(v)), the fan-in that all families of one size share."""
    return isqrt(v - 1) + 1


def iddl(v: int, b: int, seed: int | None) -> np.ndarray:
    """Return the modular rule of the original study, which also goes by the name "modular"."""
    q = fan_in(v)
    row = np.arange(b) % (q * (q + 1))
    group, c = (row // q)[:, None], (row % q)[:, None]
    i = np.arange(q)
    points = np.where(group == 0, q * c + i, q * i + ((group - 1) * i + c) % q)
    return relabel((points + v * np.arange(b)[:, None])[points < v], v, b, seed)


def bibd(v: int, b: int, seed: int | None) -> np.ndarray:
    """Return the blocks of a finite plane, taken copy after copy until every output has one."""
    rows: list[np.ndarray] = []
    blocks = plane_blocks(v)
    for copy in range(-(-b // len(blocks))):
        points = np.arange(v)
        if copy:
            points = np.random.default_rng([0 if seed is None else seed, copy]).permutation(v)
        rows += [points[block] for block in blocks[: b - len(rows)]]
    return relabel(_places(rows, v), v, b, seed)


def plane_blocks(v: int) -> list[np.ndarray]:
    """Return the blocks of the plane for v points, in the order in which a layer takes them."""
    order = isqrt(v)  # of the projective plane, if v is q^2 + q + 1
    if v == order * order + order + 1 and prime_power(order):
        return _blocks(projective_plane(order))
    if v == 1:
        return [np.zeros(1, dtype=np.int64)]
    q = next_prime_power(fan_in(v))
    lines = _blocks(affine_plane(q))
    blocks = [line[line < v] for line in (*lines[q:], *lines[:q])]
    return [block for block in blocks if len(block)]


def bibd_dual(v: int, b: int, seed: int | None) -> np.ndarray:
    """Return `bibd` with points and blocks exchanged, for layers that contract.

    An output that lies on no block reads one input all the same.
    """
    blocks, points = np.divmod(bibd(b, v, seed), b)
    alone = np.setdiff1d(np.arange(b), points)
    return np.sort(np.concatenate([points * v + blocks, alone * v + alone % v]))


def cyclic(v: int, b: int, seed: int | None) -> np.ndarray:
    """Return translates of a planar difference set, cut where v is not q^2 + q + 1."""
    q = next(q for q in range(2, v + 2) if prime_power(q) and q * q + q + 1 >= v)
    n, base = q * q + q + 1, np.array(difference_set(q))
    rows = [np.sort((base + t) % n) for t in range(n)]
    rows = [row for row in (row[row < v] for row in rows) if len(row)]
    return relabel(_places([rows[t % len(rows)] for t in range(b)], v), v, b, seed)


def tiled(v: int, b: int, seed: int | None, tile: int = TILE, each: int = 0) -> np.ndarray:
    """Return a smaller bibd layer in which every connection has become a full tile.

    Args:
        v: Inputs.
        b: Outputs.
        seed: Permutes the tiles, not what is in them; None leaves them in order.
        tile: Side of a tile; 1 is the design itself.
        each: Tiles for each output, out of its line, so that tiles of several sizes can have as
            many connections; 0: all of them.
    """
    if v % tile or b % tile:
        raise ValueError(
            f"pattern tiled needs sizes that {tile} divides, got {v} inputs, {b} outputs"
        )
    rows, cols = np.divmod(bibd(v // tile, b // tile, seed), v // tile)
    if each:
        rows, cols = _thinned(rows, cols, each)
    i, j = np.divmod(np.arange(tile * tile), tile)
    return np.sort(((tile * rows[:, None] + i) * v + tile * cols[:, None] + j).ravel())


def _thinned(rows: np.ndarray, cols: np.ndarray, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Keep so many columns of each row: row after row those that were kept least before."""
    sizes = np.bincount(rows)
    if each > sizes.min():
        raise ValueError(f"tiled: {each} tiles are to be kept of lines that have {sizes.min()}")
    read, kept = np.zeros(cols.max() + 1, int), []
    for line in np.split(cols, np.cumsum(sizes)[:-1]):
        kept.append(np.sort(line[np.argsort(read[line], kind="stable")[:each]]))
        read[kept[-1]] += 1
    return np.repeat(np.arange(len(sizes)), each), np.concatenate(kept)


def block_diagonal(v: int, b: int, seed: int | None, nonzeros: int | None = None) -> np.ndarray:
    """Return separate groups of neighbouring inputs, each read by its own outputs."""
    width = fan_in(v) if nonzeros is None else max(1, round(nonzeros / b))
    groups = max(1, round(v / width))
    edges = np.arange(groups + 1) * v // groups
    owner = np.arange(b) * groups // b
    return relabel(_places([np.arange(edges[g], edges[g + 1]) for g in owner], v), v, b, seed)


def random(v: int, b: int, seed: int | None, nonzeros: int | None = None) -> np.ndarray:
    """Draw connections anywhere, without replacement."""
    size = _count(v, b, nonzeros)
    return np.sort(_rng(seed).choice(v * b, size=size, replace=False, shuffle=False))


def random_fan_in(v: int, b: int, seed: int | None, nonzeros: int | None = None) -> np.ndarray:
    """Draw as many connections for every output, to within one."""
    rng, sizes = _rng(seed), _even(_count(v, b, nonzeros), b)
    rows = [np.sort(rng.choice(v, size, replace=False)) for size in sizes]
    return _places(rows, v)


def random_biregular(v: int, b: int, seed: int | None, nonzeros: int | None = None) -> np.ndarray:
    """Draw connections so that each output reads, and each input is read, as often, to one.

    Ends of inputs are dealt to outputs at random; an output that got an input twice trades one
    with a random other until no such pair is left.
    """
    count = _count(v, b, nonzeros)
    if 2 * count > v * b:  # the places left out are the sparser table
        return np.setdiff1d(np.arange(v * b), random_biregular(v, b, seed, v * b - count))
    rng = _rng(seed)
    rows = np.repeat(np.arange(b), _even(count, b))
    cols = rng.permutation(np.repeat(rng.permutation(v), _even(count, v)))
    while len(twice := _repeated(rows * v + cols)):
        other = rng.integers(count, size=len(twice))
        for i, j in zip(twice, other, strict=True):
            cols[i], cols[j] = cols[j], cols[i]
    return np.sort(rows * v + cols)


def dense(v: int, b: int, seed: int | None) -> np.ndarray:
    """Return every connection that there can be; the seed changes nothing."""
    return np.arange(v * b)


FAMILIES: dict[str, Callable[..., np.ndarray]] = {
    "bibd": bibd,
    "bibd_dual": bibd_dual,
    "cyclic": cyclic,
    "tiled": tiled,
    "block_diagonal": block_diagonal,
    "iddl": iddl,
    "random": random,
    "random_fan_in": random_fan_in,
    "random_biregular": random_biregular,
    "dense": dense,
}
COUNTED = ("block_diagonal", "random", "random_fan_in", "random_biregular")


def named(name: str) -> Callable[..., np.ndarray] | None:
    """Return the function of a family, or of `tiled-<side>` and `tiled-<side>x<tiles>`; or None."""
    found = re.fullmatch(r"tiled-([1-9]\d{0,5})(?:x([1-9]\d{0,5}))?", name)
    if found is None:
        return FAMILIES.get(name)
    return partial(tiled, tile=int(found[1]), each=int(found[2] or 0))


def relabel(flat: np.ndarray, v: int, b: int, seed: int | None) -> np.ndarray:
    """Permute inputs and outputs of a table by a seed; None leaves it as it is."""
    if seed is None:
        return np.sort(flat)
    rng = np.random.default_rng(seed)
    rows, cols = np.divmod(flat, v)
    return np.sort(rng.permutation(b)[rows] * v + rng.permutation(v)[cols])


def _rng(seed: int | None) -> np.random.Generator:
    return np.random.default_rng(0 if seed is None else seed)


def _count(v: int, b: int, nonzeros: int | None) -> int:
    return len(iddl(v, b, None)) if nonzeros is None else nonzeros


def _even(total: int, parts: int) -> np.ndarray:
    """Split a total into whole numbers that differ by one at most."""
    return (np.arange(parts) + 1) * total // parts - np.arange(parts) * total // parts


def _repeated(keys: np.ndarray) -> np.ndarray:
    """Return the places of those keys that also stand earlier."""
    order = np.argsort(keys, kind="stable")
    return order[1:][np.diff(keys[order]) == 0]


def _blocks(design: Design) -> list[np.ndarray]:
    return np.split(design.indices, design.indptr[1:-1])


def _places(rows: list[np.ndarray], v: int) -> np.ndarray:
    owner = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    return owner * v + np.concatenate(rows)
