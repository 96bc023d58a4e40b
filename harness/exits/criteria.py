"""Says how sure logits are, as a score from 0 (knows nothing) to 1 (certain).

    max_probability     max p
    margin              the largest p minus the second
    entropy             1 + sum of p log p / log(classes)

All are defined for infinite logits (minus infinity forbids a class, infinity outweighs all finite
ones) and for a single class, of which one is always certain. NaN stays NaN, and never leaves early.
"""

from collections.abc import Callable
from math import log

import torch
import torch.nn.functional as F


def max_probability(logits: torch.Tensor) -> torch.Tensor:
    """Return the largest probability."""
    return F.softmax(finite(logits), -1).amax(-1)


def entropy(logits: torch.Tensor) -> torch.Tensor:
    """Return 1 minus the entropy of the probabilities as a share of the largest possible."""
    if logits.shape[-1] == 1:
        return max_probability(logits)
    log_p = F.log_softmax(finite(logits), -1)
    p = log_p.exp()
    # p log p tends to 0 with p, where the product itself would be 0 times infinity.
    terms = torch.where(p == 0, torch.zeros_like(p), p * log_p)
    return 1 + terms.sum(-1) / log(logits.shape[-1])


def margin(logits: torch.Tensor) -> torch.Tensor:
    """Return the largest probability minus the second largest."""
    if logits.shape[-1] == 1:
        return max_probability(logits)
    first, second = F.softmax(finite(logits), -1).topk(2, -1).values.unbind(-1)
    return first - second


def finite(logits: torch.Tensor) -> torch.Tensor:
    """Replace infinite logits by the largest finite numbers."""
    most = torch.finfo(logits.dtype).max
    return logits.clamp(-most, most)


CRITERIA: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "max_probability": max_probability,
    "entropy": entropy,
    "margin": margin,
}
