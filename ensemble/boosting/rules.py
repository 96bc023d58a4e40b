"""The arithmetic of boosting: plain functions of float64 arrays, one line of the rule each.

`w` are the weights of the samples, not negative, 1 in sum; `wrong` says which ones a member got
wrong. In the order of operations of scikit-learn's AdaBoostClassifier, so that not one bit differs:

    floored    w is at least a rounding, so that no sample is lost for good
    error      e = sum of w over the wrong ones / sum of w
    say        alpha = learning_rate (ln((1-e)/e) + ln(K-1))
    samme      the wrong ones are multiplied by exp(alpha)
    iddl       the *right* ones are multiplied by ((K-1)(1-e)/e)^learning_rate: the rule of the
               published ensemble, turned round
"""

from collections.abc import Callable

import numpy as np

Array = np.ndarray


def floored(w: Array, absent: Array) -> Array:
    """Return weights of at least a rounding, but 0 for samples that were absent from the start."""
    found = np.clip(w, np.finfo(w.dtype).eps, None)
    found[absent] = 0.0
    return found


def error(wrong: Array, w: Array) -> float:
    """Return the weighted share of wrong answers."""
    return float(np.average(wrong, weights=w))


def chance(classes: int) -> float:
    """Return the error of guessing, from which on a member is of no use."""
    return 1.0 - 1.0 / classes


def say(e: float, classes: int, learning_rate: float = 1.0) -> float:
    """Return the weight of a member's vote, alpha, for an error above 0 and below chance."""
    return float(learning_rate * (np.log((1.0 - e) / e) + np.log(classes - 1.0)))


def samme(w: Array, wrong: Array, e: float, classes: int, learning_rate: float = 1.0) -> Array:
    """Return the weights with the wrong samples raised, not normalised; infinite if too large."""
    alpha = say(e, classes, learning_rate)
    with np.errstate(divide="ignore", over="ignore"):
        return np.exp(np.log(w) + alpha * wrong * (w > 0))


def iddl(w: Array, wrong: Array, e: float, classes: int, learning_rate: float = 1.0) -> Array:
    """Return the weights with the right samples raised, not normalised."""
    with np.errstate(over="ignore"):
        factor = np.float64((classes - 1.0) * (1.0 - e) / e) ** learning_rate
        return w * np.where(wrong, 1.0, factor)


def effective(w: Array) -> float:
    """Return how many equal samples say as much as these, as a share: (sum w)^2 / (n sum w^2)."""
    return float(w.sum() ** 2 / (len(w) * np.square(w).sum()))


def repeats(w: Array) -> Array:
    """Return how often the published rule steps on a batch that holds this sample: once or twice.

    Weights are stretched to 1 to 2 and rounded down; a batch goes by the largest of its samples.
    Equal weights are 1 each. Only the samples of the largest weight come out at 2.
    """
    width = w.max() - w.min()
    if width == 0:
        return np.ones(len(w), dtype=np.int64)
    return np.floor(1.0 + (w - w.min()) / width).astype(np.int64)


RULES: dict[str, Callable[..., Array]] = {"samme": samme, "iddl": iddl}
