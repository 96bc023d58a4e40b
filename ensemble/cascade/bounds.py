"""What a cascade loses against its whole chain, with a bound that holds so often as is asked.

    agreement    a sample is lost where the cascade decides otherwise than the whole chain
    accuracy     a sample is lost where the whole chain is right and the cascade is wrong; what it
                 wins elsewhere is not set against it, so the loss of accuracy is at most this

With d of n samples lost, the share lost in the long run is at most u, which solves

    P(at most d of n | u) = 1 - confidence        (Clopper and Pearson, one-sided: never too low)
"""

from dataclasses import dataclass
from math import ceil, log1p
from typing import Any

import torch

from ensemble.checks import refuse_nan, targets

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Loss:
    """So many of n samples lost, and the share of all that it is at most."""

    lost: int
    n: int
    bound: float
    confidence: float

    @property
    def share(self) -> float:
        """The share of these samples."""
        return self.lost / self.n


def lost(
    answer: torch.Tensor, whole: torch.Tensor, y: Any = None, confidence: float = CONFIDENCE
) -> Loss:
    """Compare the answers of a cascade with those of its whole chain.

    Args:
        answer: Log-probabilities (samples, classes) of the cascade.
        whole: The same of all links together.
        y: Targets: then what is lost is accuracy; without them agreement.
        confidence: How often the bound holds, such as 0.95.

    Raises:
        ValueError: no samples, answers of two shapes or NaN, targets that do not fit, a confidence
            that is not between 0 and 1.
    """
    if answer.shape != whole.shape or answer.ndim != 2 or not len(answer):
        raise ValueError(
            "expected the answers of a cascade and of its whole chain to the same samples, got "
            f"shapes {tuple(answer.shape)} and {tuple(whole.shape)}"
        )
    refuse_nan(torch.stack([answer, whole]), "an answer that is NaN (member 1: the whole chain)")
    mine, theirs = answer.argmax(-1), whole.argmax(-1)
    gone = mine != theirs
    if y is not None:
        gone = gone & (theirs == targets(y, whole))
    count = int(gone.sum())
    return Loss(count, len(gone), upper(count, len(gone), confidence), confidence)


def upper(count: int, n: int, confidence: float = CONFIDENCE) -> float:
    """Return the one-sided upper bound of Clopper and Pearson for a share seen as count of n.

    Raises:
        ValueError: a confidence that is not between 0 and 1, or a count that n cannot have.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence lies between 0 and 1, such as .95; got {confidence}")
    if not 0 <= count <= n or n < 1:
        raise ValueError(f"expected a count of 0 to n and an n from 1 on, got {count} of {n}")
    from scipy.stats import beta

    return 1.0 if count == n else float(beta.ppf(confidence, count + 1, n - count))


def needed(loss: float, confidence: float = CONFIDENCE) -> int:
    """Return how many samples it takes to bound a loss at all: with none of them lost.

    Raises:
        ValueError: a loss or a confidence that is not between 0 and 1.
    """
    if not (0 < loss < 1 and 0 < confidence < 1):
        raise ValueError(
            f"a loss and a confidence lie between 0 and 1, such as .005 and .95; got {loss} and "
            f"{confidence}"
        )
    return ceil(log1p(-confidence) / log1p(-loss))
