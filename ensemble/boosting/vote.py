"""The weighted vote of boosting, stage by stage, in the order of operations of scikit-learn.

    decision_k = sum alpha_m (1 if k is member m's class, else -1/(K-1)) / sum alpha
    p ~ exp(decision / (K-1));  of two classes: p ~ exp(-d/2), exp(d/2) with d = d_1 - d_0

`votes[m]` are the classes (0 to K-1) that member m decides on. Plain numpy, float64.
"""

from collections.abc import Iterable, Iterator
from functools import reduce

import numpy as np

Array = np.ndarray


def ballot(votes: Array, alpha: float, classes: int) -> Array:
    """Return one member's part of the decision, (samples, classes)."""
    mine = (votes == np.arange(classes)[:, None]).T  # (sums over classes go by this layout)
    return np.where(mine, alpha, -1 / (classes - 1) * alpha)


def staged(votes: Iterable[Array], alphas: Iterable[float], classes: int) -> Iterator[Array]:
    """Yield the decision (samples, classes) of the first member, the first two, and so on."""
    total, norm = None, 0.0
    for mine, alpha in zip(votes, alphas, strict=False):  # (alphas may go on with zeros)
        norm += alpha
        part = ballot(mine, alpha, classes)
        total = part if total is None else total + part
        yield total / norm


def decision(votes: Iterable[Array], alphas: Array, classes: int) -> Array:
    """Return the decision of all members; `alphas` may end in zeros, for members never made."""
    parts = [ballot(v, a, classes) for v, a in zip(votes, alphas, strict=False)]
    return reduce(np.add, parts) / np.asarray(alphas).sum()


def classes_of(decided: Array) -> Array:
    """Return the class of the largest decision; of equal ones the lowest."""
    return decided.argmax(1)


def probabilities(decided: Array) -> Array:
    """Return the probabilities (samples, classes) that belong to a decision."""
    classes = decided.shape[1]
    if classes == 2:
        difference = decided[:, 1] - decided[:, 0]
        scaled = np.vstack([-difference, difference]).T / 2
    else:
        scaled = decided / (classes - 1)
    raised = np.exp(scaled - scaled.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)
