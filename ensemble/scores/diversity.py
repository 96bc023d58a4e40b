"""Scores how members differ; all of them 0 for members that are alike, but for Q.

    disagreement         mean over pairs of members of [their first choices differ]
    q_statistic          mean over pairs of (N11 N00 - N10 N01) / (N11 N00 + N10 N01), where N10 is
                         how many samples the one has right and the other wrong; 1: the same errors
    mutual_information   entropy of the mean probabilities minus mean entropy = mean KL(p_m, p)
    ambiguity            mean squared distance of members from their mean: how much lower the Brier
                         score of the mean is than the mean Brier score (Krogh and Vedelsby)

What is not defined is None and never NaN: one member makes no pair; a pair whose members have no
error in common and no error alone (as where one of them is always right) has no Q. Q is the mean of
the pairs that have one, and `q_pairs` says how many those are.
"""

from itertools import combinations
from typing import Any

import torch

from ensemble.checks import checked, targets
from ensemble.combine import choices, pooled


def disagreement(logp: torch.Tensor) -> float | None:
    """Return how often two members decide differently, or None for a single member."""
    first = choices(checked(logp, 3))
    pairs = [(a != b).double().mean() for a, b in combinations(first, 2)]
    return float(torch.stack(pairs).mean()) if pairs else None


def q_statistic(logp: torch.Tensor, y: Any) -> float | None:
    """Return Yule's Q of right and wrong answers, or None where no pair of members has one."""
    found = [q for q in _qs(logp, y) if q is not None]
    return sum(found) / len(found) if found else None


def q_pairs(logp: torch.Tensor, y: Any) -> tuple[int, int]:
    """Return how many pairs of members have a Q statistic, and how many pairs there are."""
    found = _qs(logp, y)
    return sum(q is not None for q in found), len(found)


def _qs(logp: torch.Tensor, y: Any) -> list[float | None]:
    logp = checked(logp, 3)
    right = choices(logp) == targets(y, logp)
    return [_q(a, b) for a, b in combinations(right, 2)]


def _q(a: torch.Tensor, b: torch.Tensor) -> float | None:
    same = int((a & b).sum()) * int((~a & ~b).sum())
    other = int((a & ~b).sum()) * int((~a & b).sum())
    return (same - other) / (same + other) if same + other else None


def mutual_information(logp: torch.Tensor) -> float:
    """Return what a sample's class and the choice of the member say of each other, in nats."""
    logp = checked(logp, 3)
    # As a mean of distances none of which is negative, and not as a difference of entropies.
    apart = logp - pooled(logp)
    terms = torch.where(logp == -torch.inf, 0.0, logp.exp() * apart)  # p log p is 0 at 0
    return max(0.0, float(terms.sum(-1).mean()))


def ambiguity(logp: torch.Tensor) -> float:
    """Return the mean squared distance between the members' probabilities and their mean."""
    p = checked(logp, 3).exp()
    return float((p - p.mean(0)).square().sum(-1).mean())
