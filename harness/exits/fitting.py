"""Finds one threshold per exit: the cheapest for an accuracy, or the best within a budget.

Plain numpy on recorded scores: no net runs here, so the search is fast, and exact where there are
one or two early exits. Fit on samples that were set aside for it, never on the test set.
"""

from collections.abc import Sequence
from math import isnan
from numbers import Real
from typing import Any

import numpy as np

from harness.exits.leaving import leaves
from harness.exits.recording import Record
from harness.exits.thresholds import Outcome, leave_at, midway, outcome

CANDIDATES = 65  # thresholds to try per exit, beside 0 and 1
ROUNDING = 1e-12  # of a mean of samples


def fit(found: Record, accuracy: float | None = None, budget: float | None = None) -> Outcome:
    """Find thresholds for an accuracy (the cheapest) or a budget of MACs (the most accurate).

    Candidates lie midway between neighbouring scores of each exit, so that a sample leaves at the
    same exit in a batch of any size. Two neighbouring exits are chosen together, out of all pairs
    of candidates, and so on in turn until nothing moves: with two early exits that is the best
    there is.

    Args:
        found: What `record` gave on held-out samples.
        accuracy: Share of right answers to reach, such as 0.9.
        budget: Multiply-adds per sample to stay within, such as 5e6.

    Raises:
        ValueError: neither or both given; a target that is no number or that no thresholds reach;
            scores that are NaN.
    """
    accuracy, budget = _aim(accuracy, budget)
    _refuse_nan(found)
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


def _aim(accuracy: Any, budget: Any) -> tuple[float | None, float | None]:
    """Return the two aims as numbers, one of which is None."""
    if (accuracy is None) == (budget is None):
        raise ValueError("give either accuracy= or budget=")
    aims = {"accuracy": (accuracy, "a share of right answers, such as 0.9")}
    aims["budget"] = budget, "a number of multiply-adds per sample, such as 5e6"
    found: list[float | None] = []
    for name, (value, what) in aims.items():
        number = value.item() if hasattr(value, "item") else value  # of numpy or torch
        fine = isinstance(number, Real) and not isinstance(number, bool) and not isnan(number)
        if value is not None and not fine:
            raise ValueError(f"{name} is {what}, got {value!r}")
        found.append(None if value is None else float(number))
    return found[0], found[1]


def _refuse_nan(found: Record) -> None:
    bad = np.isnan(found.scores).sum(1)
    if bad.any():
        number = int(bad.argmax())
        raise ValueError(
            f"the scores of early exit {number} are NaN for {bad[number]} of "
            f"{found.scores.shape[1]} samples: that exit's logits are NaN there, look at the net "
            "and at these inputs before fitting"
        )


def _values(accuracies, macs, accuracy: float | None, budget: float | None) -> np.ndarray:
    """Return rows to compare: whether the aim is reached, what is wanted most, and the other."""
    if accuracy is not None:
        reached = accuracies >= accuracy - ROUNDING
        first = np.where(reached, -macs, accuracies)
        return np.stack([reached, first, np.where(reached, accuracies, -macs)], 1)
    within = macs <= (budget or 0) * (1 + ROUNDING)
    first = np.where(within, accuracies, -macs)
    return np.stack([within, first, np.where(within, -macs, accuracies)], 1)


def _pairs(found: Record, bounds: Sequence[float], k: int) -> tuple[np.ndarray, np.ndarray, list]:
    """Count right answers and MACs in all for every pair of candidates of exits k and k + 1.

    A sample that comes to k counts S_k v_k + (1 - S_k) (S_k+1 v_k+1 + (1 - S_k+1) v_later), where S
    says whether it is sure there and v is what is counted; over the samples this is a matrix
    product.

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
    """Return the thresholds to try at exit k, in ascending order."""
    if k >= len(found.scores):
        return [1.0]  # nobody leaves at an exit that does not exist
    inner = np.unique(midway(found.scores[k], CANDIDATES))
    return [0.0, *map(float, inner[inner < 1]), 1.0]


def _sure(found: Record, k: int, bounds: Sequence[float]) -> np.ndarray:
    """Return which samples (columns) leave at exit k under each of these thresholds (rows)."""
    scores = found.scores[k] if k < len(found.scores) else np.zeros(found.right.shape[1])
    return leaves(scores, np.array(bounds)[:, None])


def _unreached(best: Outcome, accuracy: float | None, budget: float | None) -> str:
    if accuracy is not None:
        return f"no thresholds reach accuracy {accuracy}; the best is {best['accuracy']:.4f}"
    return f"no thresholds stay within {budget:,.0f} MACs; the least is {best['macs']:,.0f}"
