"""From scores to thresholds: when to leave, for a target accuracy or a budget.

    Record      scores (exits - 1, samples), right (exits, samples), macs of leaving at each exit
    outcome     accuracy, share of samples and accuracy at each exit, expected MACs = sum of p_e F_e
    sweep       one threshold for all exits, from 0 (all leave first) to 1 (all go to the end)
    fit         one threshold per exit: the cheapest that reaches an accuracy, or the most accurate
                within a budget, on held-out data

Plain numpy on recorded scores: no net runs here, so all of it is fast, and exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from harness.exits.exits import EarlyExit, check_thresholds

Outcome = dict[str, Any]
CANDIDATES = 65  # thresholds to try per exit: quantiles of its scores
ROUNDING = 1e-12  # of a mean of samples


@dataclass(frozen=True)
class Record:
    """How sure each early exit was of each sample, which answers were right, and what it costs."""

    scores: np.ndarray
    right: np.ndarray
    macs: tuple[int, ...]


@torch.no_grad()
def record(model: EarlyExit, x: torch.Tensor, y: torch.Tensor, batch: int = 250) -> Record:
    """All exits of all samples.

    Raises:
        ValueError: there are no samples.
    """
    if not len(x):
        raise ValueError("no samples to record: expected at least one image with its label")
    model.eval()
    scores, right = [], []
    for part, labels in zip(x.split(batch), y.split(batch), strict=True):
        outputs = model.forward_exits(part)
        scores.append(torch.stack([model.score(logits) for logits in outputs[:-1]]).cpu())
        right.append(torch.stack([logits.argmax(-1) == labels for logits in outputs]).cpu())
    macs = tuple(cost.macs for cost in model.costs())
    return Record(torch.cat(scores, 1).double().numpy(), torch.cat(right, 1).numpy(), macs)


def outcome(found: Record, thresholds: float | Sequence[float]) -> Outcome:
    """What these thresholds give."""
    bounds = check_thresholds(thresholds, len(found.scores))
    left, n = leave_at(found, bounds), found.right.shape[1]
    right = found.right[left, np.arange(n)]
    counts = np.bincount(left, minlength=len(found.right))
    hits = np.bincount(left, right, minlength=len(found.right))
    return {
        "thresholds": list(bounds),
        "accuracy": float(right.mean()),
        "shares": (counts / n).tolist(),
        "exit_accuracy": [float(h / c) if c else None for h, c in zip(hits, counts, strict=True)],
        "macs": float(counts @ np.array(found.macs) / n),
    }


def leave_at(found: Record, bounds: Sequence[float]) -> np.ndarray:
    """The exit at which each sample leaves."""
    left = np.full(found.right.shape[1], len(found.scores))
    for number in reversed(range(len(found.scores))):
        bound = bounds[number]
        sure = (found.scores[number] > bound) & (bound < 1) | (bound <= 0)
        left[sure] = number
    return left


def sweep(found: Record, steps: int = 21) -> list[Outcome]:
    """One threshold for all exits, at quantiles of all scores: costs fall about evenly."""
    inner = np.quantile(found.scores, np.linspace(0, 1, steps)[1:-1])
    return [outcome(found, float(t)) for t in (0.0, *np.clip(inner, 0, 1), 1.0)]


def fit(found: Record, accuracy: float | None = None, budget: float | None = None) -> Outcome:
    """Thresholds for a target accuracy (then the cheapest) or a budget of MACs (the most accurate).

    Candidates are quantiles of each exit's scores. Two neighbours are chosen together, out of all
    pairs, and so on in turn until nothing moves: with two early exits that is the best there is.

    Raises:
        ValueError: neither or both given; a target that no thresholds reach.
    """
    if (accuracy is None) == (budget is None):
        raise ValueError("give either accuracy= or budget=")
    n, heads = found.right.shape[1], len(found.scores)
    bounds, best = [1.0] * heads, (-np.inf,) * 3
    moved = True
    while moved:
        moved = False
        for k in range(max(1, heads - 1)):
            hits, macs, pairs = _pairs(found, bounds, k)
            values = _values(hits / n, macs / n, accuracy, budget)
            top = max(range(len(pairs)), key=lambda i, v=values: tuple(v[i]))
            if tuple(values[top]) > best:
                best, moved = tuple(values[top]), True
                bounds[k : k + 2] = pairs[top]
    chosen = outcome(found, bounds)
    if best[0] == 0:
        raise ValueError(_unreached(chosen, accuracy, budget))
    return chosen


def _values(accuracies, macs, accuracy: float | None, budget: float | None) -> np.ndarray:
    """Rows to compare: whether the aim is reached, then what is wanted most, then the other."""
    if accuracy is not None:
        reached = accuracies >= accuracy - ROUNDING
        first = np.where(reached, -macs, accuracies)
        return np.stack([reached, first, np.where(reached, accuracies, -macs)], 1)
    within = macs <= (budget or 0) * (1 + ROUNDING)
    first = np.where(within, accuracies, -macs)
    return np.stack([within, first, np.where(within, -macs, accuracies)], 1)


def _pairs(found: Record, bounds: Sequence[float], k: int) -> tuple[np.ndarray, np.ndarray, list]:
    """Right answers and MACs in all, for every pair of candidates of exits k and k + 1.

    Of a sample that comes to k: S_k v_k + (1 - S_k) (S_k+1 v_k+1 + (1 - S_k+1) v_later), where S
    says whether it is sure there and v is what one counts; over the samples, a matrix product.
    """
    first, second = _candidates(found, k), _candidates(found, k + 1)
    here, there = _sure(found, k, first), _sure(found, k + 1, second)
    early = leave_at(found, [*bounds[:k], *[1.0] * (len(bounds) - k)])
    comes = early >= len(found.scores)  # has not left before k
    later = leave_at(found, [*[1.0] * min(k + 2, len(bounds)), *bounds[k + 2 :]])
    samples, totals = np.arange(found.right.shape[1]), []
    costs = np.repeat(np.array(found.macs, float)[:, None], len(samples), axis=1)
    for value in (found.right.astype(float), costs):
        at_second = there * value[min(k + 1, len(value) - 1)] + ~there * value[later, samples]
        before = value[early, samples][~comes].sum()
        at_first = (here[:, comes] * value[k, comes]).sum(1)
        totals.append(
            before + at_first[:, None] + (~here[:, comes]).astype(float) @ at_second[:, comes].T
        )
    pairs = [(a, b)[: len(bounds) - k] for a in first for b in second]
    return totals[0].ravel(), totals[1].ravel(), pairs


def _candidates(found: Record, k: int) -> list[float]:
    if k >= len(found.scores):
        return [1.0]  # nobody leaves at an exit that does not exist
    inner = np.quantile(found.scores[k], np.linspace(0, 1, CANDIDATES))
    return [0.0, *map(float, np.clip(inner, 0, 1)), 1.0]


def _sure(found: Record, k: int, bounds: Sequence[float]) -> np.ndarray:
    """Which samples (columns) leave at exit k under each of these thresholds (rows)."""
    row = np.array(bounds)[:, None]
    scores = found.scores[k] if k < len(found.scores) else np.zeros(found.right.shape[1])
    return (scores > row) & (row < 1) | (row <= 0)


def _unreached(best: Outcome, accuracy: float | None, budget: float | None) -> str:
    if accuracy is not None:
        return f"no thresholds reach accuracy {accuracy}; the best is {best['accuracy']:.4f}"
    return f"no thresholds stay within {budget:,.0f} MACs; the least is {best['macs']:,.0f}"
