"""Gradients in codecs, in plain Python: what the coders of replicas are held against."""

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

from parallel.identities.oracle import Averages, Net, Vectors, mean
from parallel.world import codecs

Matrix = list[list[float]]
Steps = Callable[[int], bool]


def widths(net: Net) -> list[tuple[int, int]]:
    """Return rows and columns of a net's tensors in torch's order; biases have no columns, 0."""
    return [s for rows, biases in net for s in ((len(rows), len(rows[0])), (len(biases), 0))]


def bfloat(value: float) -> float:
    """Return the nearest number with 8 significant bits, of two the even one (by a float32)."""
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    bits += 0x7FFF + (bits >> 16 & 1)  # a half, less one where the last bit is even
    return struct.unpack("<f", struct.pack("<I", bits & 0xFFFF0000))[0]


def of(strategy: Any, seed: int, net: Net, first: Callable[[int, int], Matrix]) -> "Coded":
    """Return the rule of a strategy that sends gradients in a codec, in some steps or in all.

    Args:
        strategy: It says in which steps.
        seed: Of its plan.
        net: For the shapes of tensors.
        first: The Q that tensor number k begins with, of a rank.
    """

    def op(step: int) -> Any:
        return strategy.plan(seed, step).gradients

    codec = strategy.sends
    early, coded = (lambda k: bool(op(k))), (lambda k: bool(op(k) and op(k).codec))
    given = net, early, coded, strategy.weighted
    if isinstance(codec, codecs.Largest):
        return Largest(codec.fraction, *given)
    if isinstance(codec, codecs.LowRank):
        return LowRank(codec.rank, lambda k: first(k, codec.rank), *given)
    return Rounded(*given)


class Coded(Averages):
    """Averages gradients where `early` says so, and in steps where `coded` says so by `sent`."""

    def __init__(self, net: Net, early: Steps, coded: Steps, weighted: bool):
        super().__init__(early, lambda step: False, weighted)
        self.coded, self.widths = coded, widths(net)

    def gradients(self, step: int, g: Vectors, counts: list[int]) -> Vectors:
        """Return the mean, the same for everybody."""
        if not self.coded(step):
            return super().gradients(step, g, counts)
        return [self.sent(g, counts if self.weighted else [1] * len(counts))] * len(g)

    def sent(self, g: Vectors, counts: Sequence[float]) -> list[float]:
        """Return the mean of what is sent of these gradients."""
        raise NotImplementedError


class Rounded(Coded):
    """Every number is rounded before it is averaged, and the mean again."""

    def sent(self, g: Vectors, counts: Sequence[float]) -> list[float]:
        """Return the mean."""
        return [bfloat(v) for v in mean([[bfloat(v) for v in own] for own in g], counts)]


class Kept(Coded):
    """The base of codecs that send some of what a worker has, and keep the rest for later."""

    def __init__(self, *given):
        super().__init__(*given)
        self.kept: dict[int, Vectors] = {}

    def sent(self, g: Vectors, counts: Sequence[float]) -> list[float]:
        """Return the mean, tensor by tensor."""
        shares = [c * len(g) / sum(counts) for c in counts]
        parts = [[s * v for v in own] for s, own in zip(shares, g, strict=True)]
        found, begin = [], 0
        for k, (rows, columns) in enumerate(self.widths):
            end = begin + rows * max(columns, 1)
            found += self.tensor(k, [own[begin:end] for own in parts])
            begin = end
        return found

    def owed(self, k: int, parts: Vectors) -> Vectors:
        """Return what each worker has of a tensor, with what it has kept."""
        kept = self.kept.get(k, [[0.0] * len(own) for own in parts])
        return _added(parts, kept)

    def tensor(self, k: int, parts: Vectors) -> list[float]:
        """Return the mean of what is sent of a tensor."""
        raise NotImplementedError


class Largest(Kept):
    """The largest numbers of each tensor; of equals the first."""

    def __init__(self, fraction: float, *given):
        super().__init__(*given)
        self.fraction = fraction

    def tensor(self, k: int, parts: Vectors) -> list[float]:
        """Return the mean of what is sent."""
        owed = self.owed(k, parts)
        many = math.ceil(self.fraction * len(owed[0]) - 1e-9) or 1
        sent = []
        for own in owed:
            order = sorted(range(len(own)), key=lambda j: (-abs(own[j]), j))[:many]
            sent.append([v if j in order else 0.0 for j, v in enumerate(own)])
        self.kept[k] = less(owed, sent)
        return mean(sent, [1.0] * len(sent))


class LowRank(Kept):
    """PowerSGD: `first(k)` is the Q that tensor number k begins with."""

    def __init__(self, rank: int, first: Callable[[int], Matrix], *given):
        super().__init__(*given)
        self.rank, self.first, self.second = rank, first, {}

    def tensor(self, k: int, parts: Vectors) -> list[float]:
        """Return the mean of what is sent, where two thin matrices are less; else of all."""
        (a, b), alike = self.widths[k], [1.0] * len(parts)
        if self.rank * (a + b) >= a * b:
            return mean(parts, alike)
        flat = self.owed(k, parts)
        owed, q = [_rows(own, b) for own in flat], self.second.get(k) or self.first(k)
        p = orthonormal(_mean([product(m, q) for m in owed]))
        own = [product(_turned(m), p) for m in owed]
        new = _mean(own)
        self.kept[k] = less(flat, [_flat(product(p, _turned(o))) for o in own])
        said = [any(column) for column in zip(*p, strict=True)]
        self.second[k] = [
            [n if s else o for n, o, s in zip(x, y, said, strict=True)]
            for x, y in zip(new, q, strict=True)
        ]
        return _flat(product(p, _turned(new)))


def orthonormal(p: Matrix) -> Matrix:
    """Return orthonormal columns by Gram and Schmidt; one that the others span becomes zero."""
    found: Matrix = []
    for column in zip(*p, strict=True):
        rest = list(column)
        for other in [*found, *found]:
            along = sum(a * b for a, b in zip(rest, other, strict=True))
            rest = [a - along * b for a, b in zip(rest, other, strict=True)]
        least = max(len(p), len(p[0])) * 2.0**-52 * math.hypot(*column)
        length = math.hypot(*rest)
        found.append([v / length if length > least else 0.0 for v in rest])
    return _turned(found)


def product(a: Matrix, b: Matrix) -> Matrix:
    """Return the product of two matrices."""
    columns = _turned(b)
    return [[sum(x * y for x, y in zip(r, c, strict=True)) for c in columns] for r in a]


def _turned(m: Matrix) -> Matrix:
    return [list(column) for column in zip(*m, strict=True)]


def _rows(values: Sequence[float], columns: int) -> Matrix:
    return [list(values[i : i + columns]) for i in range(0, len(values), columns)]


def _flat(m: Matrix) -> list[float]:
    return [v for row in m for v in row]


def _added(x: Vectors, y: Vectors) -> Vectors:
    return [[a + b for a, b in zip(*both, strict=True)] for both in zip(x, y, strict=True)]


def less(x: Vectors, y: Vectors) -> Vectors:
    """Return one less the other."""
    return [[a - b for a, b in zip(*both, strict=True)] for both in zip(x, y, strict=True)]


def _mean(matrices: Sequence[Matrix]) -> Matrix:
    rows = zip(*matrices, strict=True)
    return [[sum(v) / len(v) for v in zip(*row, strict=True)] for row in rows]
