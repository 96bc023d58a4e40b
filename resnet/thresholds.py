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

from resnet.exits import EarlyExit, check_thresholds

Outcome = dict[str, Any]
CANDIDATES = 65  # thresholds to try per exit: quantiles of its scores


@dataclass(frozen=True)
class Record:
    """How sure each early exit was of each sample, which answers were right, and what it costs."""

    scores: np.ndarray
    right: np.ndarray
    macs: tuple[int, ...]


@torch.no_grad()
def record(model: EarlyExit, x: torch.Tensor, y: torch.Tensor, batch: int = 250) -> Record:
    """All exits of all samples."""
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

    From the best single threshold, each exit in turn takes the best candidate, until none moves.

    Raises:
        ValueError: neither or both given; a target that no thresholds reach.
    """
    if (accuracy is None) == (budget is None):
        raise ValueError("give either accuracy= or budget=")

    def value(o: Outcome) -> tuple[float, ...]:  # the larger the better
        if accuracy is not None:
            reached = o["accuracy"] >= accuracy
            return (1, -o["macs"], o["accuracy"]) if reached else (0, o["accuracy"], -o["macs"])
        within = o["macs"] <= budget
        return (1, o["accuracy"], -o["macs"]) if within else (0, -o["macs"], o["accuracy"])

    grid = [np.clip(np.quantile(s, np.linspace(0, 1, CANDIDATES)), 0, 1) for s in found.scores]
    grid = [[0.0, *map(float, row), 1.0] for row in grid]
    best = max((outcome(found, t) for row in grid for t in row), key=value)
    moved = True
    while moved:
        moved = False
        for number, row in enumerate(grid):
            tried = [_with(found, best["thresholds"], number, t) for t in row]
            better = max(tried, key=value)
            if value(better) > value(best):
                best, moved = better, True
    if value(best)[0] == 0:
        raise ValueError(_unreached(best, accuracy, budget))
    return best


def _with(found: Record, bounds: Sequence[float], number: int, threshold: float) -> Outcome:
    return outcome(found, [*bounds[:number], threshold, *bounds[number + 1 :]])


def _unreached(best: Outcome, accuracy: float | None, budget: float | None) -> str:
    if accuracy is not None:
        return f"no thresholds reach accuracy {accuracy}; the best is {best['accuracy']:.4f}"
    return f"no thresholds stay within {budget:,.0f} MACs; the least is {best['macs']:,.0f}"
