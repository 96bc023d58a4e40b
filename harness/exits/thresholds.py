"""Says what thresholds do: who leaves where, how often that is right, and what it costs.

    outcome     accuracy, share of samples and accuracy at each exit, expected MACs = sum of p_e F_e
    sweep       one threshold for all exits, from 0 (all leave first) to 1 (all go to the end)
    midway      thresholds that lie between scores, never on one

    scores of an exit, sorted     0.41  0.42 ......... 0.55  0.551  0.56 ...
    a threshold                                ^ here, where a rounding moves nobody

The same sample gets another score in a batch of another size, by some roundings of float32 (those
of bfloat16 are wider than most gaps, and nothing is promised there). A threshold that is a score
lets that sample leave in one batch and stay in another.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from harness.exits.leaving import Thresholds, check_thresholds, leaves
from harness.exits.recording import Record

Outcome = dict[str, Any]
# Scores nearer than this are one score: midway there is room on both sides for a logit of about 1
# that is off by 128 roundings of float32 (2^-24 each; no score moves faster than its logits).
APART = 2.0**-16


def outcome(found: Record, thresholds: Thresholds) -> Outcome:
    """Return what these thresholds give: accuracy, the share of each exit, and expected MACs."""
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
    """Return the exit at which each sample leaves, counted from 0."""
    left = np.full(found.right.shape[1], len(found.scores))
    for number in reversed(range(len(found.scores))):
        left[leaves(found.scores[number], bounds[number])] = number
    return left


def sweep(found: Record, steps: int = 21) -> list[Outcome]:
    """Return `steps` outcomes, each with one threshold for all exits; costs fall about evenly.

    Raises:
        ValueError: fewer than the two ends are asked for.
    """
    if steps < 2:
        raise ValueError(f"a sweep has two ends, so steps is 2 or more, got {steps}")
    return [outcome(found, float(t)) for t in (0.0, *midway(found.scores, steps - 2), 1.0)]


def midway(scores: np.ndarray, count: int) -> np.ndarray:
    """Return `count` ascending thresholds, each midway between two neighbouring scores.

    The sorted scores are cut into `count` stretches of equal length. Of each stretch the two
    neighbours furthest apart are taken; where all lie closer than APART, the nearest pair that does
    not, so that some thresholds may come twice. With at most `count` + 1 scores every pair is
    there. Scores that are all alike have nothing between them: all thresholds are 1.
    """
    order = np.sort(scores[np.isfinite(scores)], axis=None)
    gaps = np.diff(order)
    clear = np.flatnonzero(gaps > APART)
    if not len(clear):
        return np.ones(count)
    edges = np.linspace(0, len(gaps), count + 1).astype(int)
    # (of an empty stretch, where there are fewer pairs than thresholds, its beginning)
    widest = [a + gaps[a:b].argmax() if a < b else a for a, b in pairwise(edges)]
    chosen = np.array([clear[np.abs(clear - k).argmin()] for k in widest], dtype=int)
    return order[chosen] + gaps[chosen] / 2
