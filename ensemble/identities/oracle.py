"""Plain-Python twins of what combines, scores and asks: lists of floats, sums without roundings.

Nothing here is fast and nothing is shared with what it checks. A list `logp[m][i][k]` are the
log-probabilities of member m for sample i and class k; `y[i]` the targets.
"""

import math
from itertools import combinations
from typing import Any

INF = math.inf
Rows = list[list[float]]


def lse(values: list[float]) -> float:
    """Return the logarithm of the sum of exponentials."""
    most = max(values)
    return most if most == -INF else most + math.log(math.fsum(math.exp(v - most) for v in values))


def argmax(values: list[float]) -> int:
    """Return the first place of the largest value."""
    return values.index(max(values))


def pooled(logp: list[Rows], rule: str, weights: list[float] | None = None) -> Rows:
    """Return the combined log-probabilities, by the formula of each rule."""
    w = weights or [1.0] * len(logp)
    samples, classes = range(len(logp[0])), range(len(logp[0][0]))
    total = math.fsum(w)
    if rule == "soft":
        terms = lambda i, k: [logp[m][i][k] + math.log(v / total) for m, v in enumerate(w) if v]  # noqa: E731
        return [[lse(terms(i, k)) for k in classes] for i in samples]
    if rule == "geometric":
        mean = [
            [math.fsum(v / total * logp[m][i][k] for m, v in enumerate(w) if v) for k in classes]
            for i in samples
        ]
        return [[v - lse(row) for v in row] for row in mean]
    if rule == "hard":
        votes = [
            [math.fsum(v for m, v in enumerate(w) if argmax(logp[m][i]) == k) for k in classes]
            for i in samples
        ]
        return [[math.log(v / total) if v else -INF for v in row] for row in votes]
    ks = len(classes)
    d = [
        [
            math.fsum(
                v * (1 if argmax(logp[m][i]) == k else -1 / (ks - 1)) for m, v in enumerate(w)
            )
            / total
            / (ks - 1)
            for k in classes
        ]
        for i in samples
    ]
    return [[v - lse(row) for v in row] for row in d]


def mean(values: list[float]) -> float:
    """Return the mean."""
    return math.fsum(values) / len(values)


def accuracy(logp: Rows, y: list[int]) -> float:
    """Return the share of right answers."""
    return mean([float(argmax(row) == t) for row, t in zip(logp, y, strict=True)])


def nll(logp: Rows, y: list[int]) -> float:
    """Return the mean negative log-likelihood."""
    return mean([-row[t] for row, t in zip(logp, y, strict=True)])


def brier(logp: Rows, y: list[int]) -> float:
    """Return the mean squared distance from the targets."""
    return mean(
        [
            math.fsum((math.exp(v) - (k == t)) ** 2 for k, v in enumerate(row))
            for row, t in zip(logp, y, strict=True)
        ]
    )


def sure(logp: Rows, y: list[int]) -> list[tuple[float, float]]:
    """Return the confidence of each sample and whether its answer is right."""
    return [
        (min(1.0, math.exp(max(row))), float(argmax(row) == t))
        for row, t in zip(logp, y, strict=True)
    ]


def binned(pairs: list[tuple[float, float]], bins: int) -> float:
    """Return the calibration error of pairs (p, happened) over bins ]a, b] (0 is in the first)."""
    gaps = []
    for i in range(bins):
        inside = [
            (p, t)
            for p, t in pairs
            if (i / bins < p or (i == 0 and p == 0)) and p <= (i + 1) / bins
        ]
        gaps.append(abs(math.fsum(p - t for p, t in inside)))
    return math.fsum(gaps) / len(pairs)


def own_bin_for_one(pairs: list[tuple[float, float]], bins: int) -> float:
    """Return the same over bins [a, b[, with one more for confidences of exactly 1."""
    gaps = [
        abs(math.fsum(p - t for p, t in pairs if i / bins <= p < (i + 1) / bins))
        for i in range(bins)
    ]
    gaps.append(abs(math.fsum(p - t for p, t in pairs if p == 1)))
    return math.fsum(gaps) / len(pairs)


def ece(logp: Rows, y: list[int], bins: int = 15) -> float:
    """Return the expected calibration error."""
    return binned(sure(logp, y), bins)


def classwise_ece(logp: Rows, y: list[int], bins: int = 15) -> float:
    """Return the mean calibration error of the classes."""
    return mean(
        [
            binned(
                [
                    (min(1.0, math.exp(row[k])), float(t == k))
                    for row, t in zip(logp, y, strict=True)
                ],
                bins,
            )
            for k in range(len(logp[0]))
        ]
    )


def _levelled(logp: Rows, y: list[int]) -> list[tuple[float, float]]:
    pairs = sorted(
        ((max(row), float(argmax(row) == t)) for row, t in zip(logp, y, strict=True)),
        key=lambda pair: -pair[0],
    )
    return [(math.exp(p), mean([t for q, t in pairs if q == p])) for p, _ in pairs]


def adaptive_ece(logp: Rows, y: list[int], bins: int = 15) -> float:
    """Return the calibration error over bins of equal counts; the first ones have one more."""
    pairs, gaps, at = _levelled(logp, y), [], 0
    for i in range(bins):
        count = len(pairs) // bins + (i < len(pairs) % bins)
        gaps.append(abs(math.fsum(p - t for p, t in pairs[at : at + count])))
        at += count
    return math.fsum(gaps) / len(pairs)


def aurc(logp: Rows, y: list[int]) -> float:
    """Return the mean error among the c surest."""
    errors = [1 - t for _, t in _levelled(logp, y)]
    return mean([mean(errors[:c]) for c in range(1, len(errors) + 1)])


def disagreement(logp: list[Rows]) -> float | None:
    """Return how often two members decide differently."""
    pairs = [
        mean([float(argmax(r) != argmax(s)) for r, s in zip(a, b, strict=True)])
        for a, b in combinations(logp, 2)
    ]
    return mean(pairs) if pairs else None


def q_statistic(logp: list[Rows], y: list[int]) -> float | None:
    """Return the mean Q of the pairs that have one."""
    found = []
    right = [[argmax(row) == t for row, t in zip(one, y, strict=True)] for one in logp]
    for a, b in combinations(right, 2):
        n = {
            (p, q): sum((r, s) == (p, q) for r, s in zip(a, b, strict=True))
            for p in (0, 1)
            for q in (0, 1)
        }
        same, other = n[1, 1] * n[0, 0], n[1, 0] * n[0, 1]
        if same + other:
            found.append((same - other) / (same + other))
    return mean(found) if found else None


def entropy(row: list[float]) -> float:
    """Return the entropy of log-probabilities."""
    return -math.fsum(math.exp(v) * v for v in row if v != -INF)


def mutual_information(logp: list[Rows]) -> float:
    """Return the entropy of the mean minus the mean entropy."""
    whole = mean([entropy(row) for row in pooled(logp, "soft")])
    return whole - mean([entropy(row) for one in logp for row in one])


def upper(count: int, n: int, confidence: float) -> float:
    """Return the bound of Clopper and Pearson by halving an interval 200 times."""
    low, high = 0.0, 1.0
    for _ in range(200):
        middle = (low + high) / 2
        chance = math.fsum(
            math.comb(n, i) * middle**i * (1 - middle) ** (n - i) for i in range(count + 1)
        )
        low, high = (middle, high) if chance > 1 - confidence else (low, middle)
    return high if count < n else 1.0


def asked(logp: list[Rows], bounds: list[float], answer: str) -> tuple[Rows, list[int]]:
    """Return the answers of a cascade that goes by the largest probability, and links asked."""
    found: Any = [], []
    for i in range(len(logp[0])):
        for count in range(1, len(logp) + 1):
            rows = [[one[i]] for one in logp[:count]]
            row = rows[-1][0] if answer == "replace" else pooled(rows, "soft")[0]
            last, bound = count == len(logp), (*bounds, 0.0)[count - 1]
            if last or bound <= 0 or (math.exp(max(row)) > bound and bound < 1):
                found[0].append(row)
                found[1].append(count)
                break
    return found
