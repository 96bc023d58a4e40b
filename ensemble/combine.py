"""Combines the answers of members into one.

    soft         p = mean p_m                          the deep ensemble; weights: a weighted mean
    geometric    p ~ exp(mean log p_m)                 the mean of the logits
    hard         p_k = share of members whose first choice is k; ties go to the lowest class
    weighted     d_k = sum w_m (1 if k is its choice, else -1/(K-1)) / sum w,  p ~ exp(d / (K-1))

`weighted` is the vote of boosting (SAMME), in the order of operations of scikit-learn. A member of
weight 0 has no say. NaN stays NaN: a member that answers it is never outvoted in silence.
"""

from collections.abc import Callable, Sequence
from math import log
from typing import Any

import numpy as np
import torch

from ensemble.checks import NORMALISED, REMEDY, refuse_nan
from harness.names import check, kind_of

Weights = Sequence[float] | torch.Tensor | None


def pooled(logp: torch.Tensor, rule: str = "soft", weights: Weights = None) -> torch.Tensor:
    """Return the log-probabilities (samples, classes) of all members together.

    Args:
        logp: Log-probabilities (members, samples, classes).
        rule: "soft", "geometric", "hard" or "weighted".
        weights: One per member, not negative, not all 0; None: all alike.

    Raises:
        ValueError: an unknown rule, other axes, no members, numbers above 0, weights that are none,
            or (geometric) members that exclude each other's every class.
    """
    if isinstance(logp, torch.Tensor) and bool((logp > NORMALISED).any()):
        raise ValueError(
            f"log-probabilities are at most 0, got {float(logp.max()):.4g}: of probabilities take "
            f"the logarithm, {REMEDY}"
        )
    return combined(logp, rule, weights)


def combined(logp: torch.Tensor, rule: str = "soft", weights: Weights = None) -> torch.Tensor:
    """Return what `pooled` does of what is known to be log-probabilities."""
    check("rule", rule, RULES)
    logp, w = _with_say(logp, rule, weights)
    return RULES[rule](logp, w)


def decided(logp: torch.Tensor, rule: str = "soft", weights: Weights = None) -> torch.Tensor:
    """Return the class (samples,) that all members together decide on; ties: the lowest.

    Raises:
        ValueError: as `pooled`, and answers that are NaN.
    """
    refuse_nan(_tensor(logp))
    if rule != "weighted":
        return pooled(logp, rule, weights).argmax(-1)
    logp, w = _with_say(logp, rule, weights)
    return _decision(logp, w).argmax(-1)  # (a softmax could round two that differ to one)


def _tensor(logp: Any) -> torch.Tensor:
    if not isinstance(logp, torch.Tensor):
        raise ValueError(
            "log-probabilities are one tensor (members, samples, classes), got "
            f"{kind_of(logp)}: ensemble.log_probabilities([logits, ...]) makes it"
        )
    return logp


def choices(logp: torch.Tensor) -> torch.Tensor:
    """Return the first choice of every answer; of equal ones the lowest class."""
    return logp.argmax(-1)


def _with_say(logp: torch.Tensor, rule: str, weights: Weights) -> tuple[torch.Tensor, Any]:
    """Return the members whose weight is not 0, and their weights."""
    if _tensor(logp).ndim != 3 or not len(logp) or not logp.is_floating_point():
        raise ValueError(
            "log-probabilities are a floating-point tensor (members, samples, classes) with at "
            f"least one member, got {logp.dtype} of shape {tuple(logp.shape)}"
        )
    if weights is None:
        if rule == "weighted":
            raise ValueError("a weighted vote needs weights=, one per member")
        return logp, None
    w = torch.tensor(numbers(weights), dtype=torch.float64)
    fine = w.ndim == 1 and len(w) == len(logp) and bool((w >= 0).all() & w.isfinite().all())
    # (a share that is 0 in this type has no logarithm, and times minus infinity is NaN)
    say = w / w.sum() > torch.finfo(logp.dtype).tiny
    if not fine or not bool(say.any()):
        raise ValueError(
            f"weights are {len(logp)} finite numbers, one per member, none negative and not all 0; "
            f"got {w.tolist()}"
        )
    return (logp if say.all() else logp[say.to(logp.device)]), w[say].tolist()


def numbers(weights: Any) -> list[float]:
    """Return weights as plain numbers.

    Raises:
        ValueError: they are none.
    """
    try:
        return torch.as_tensor(weights, dtype=torch.float64).tolist()
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"weights are numbers, one per member, got {weights!r}") from None


def _soft(logp: torch.Tensor, w: list[float] | None) -> torch.Tensor:
    if len(logp) == 1:  # (so that one member is itself, bit for bit)
        return logp[0]
    if w is None:
        return logp.logsumexp(0) - log(len(logp))
    shares = logp.new_tensor([log(v / sum(w)) for v in w])
    return (logp + shares[:, None, None]).logsumexp(0)


def _geometric(logp: torch.Tensor, w: list[float] | None) -> torch.Tensor:
    if len(logp) == 1:
        return logp[0]
    mean = logp.mean(0) if w is None else torch.einsum("m,mnk->nk", _shares(logp, w), logp)
    dead = (mean == -torch.inf).all(-1)
    if dead.any():
        raise ValueError(
            f"sample {int(dead.nonzero()[0])}: for every class some member says that it cannot be, "
            'so their geometric mean is nothing; take rule="soft" where probabilities may be 0'
        )
    return mean.log_softmax(-1)


def _hard(logp: torch.Tensor, w: list[float] | None) -> torch.Tensor:
    votes = choices(logp)
    say = logp.new_ones(len(logp)) if w is None else logp.new_tensor(w)
    shares = torch.zeros_like(logp[0])
    shares.scatter_add_(1, votes.T, say.expand(votes.shape[1], -1))
    return _not_of_nan((shares / say.sum()).log(), logp)


def _weighted(logp: torch.Tensor, w: list[float]) -> torch.Tensor:
    return _not_of_nan((_decision(logp, w) / (logp.shape[-1] - 1)).log_softmax(-1), logp)


def _decision(logp: torch.Tensor, w: list[float]) -> torch.Tensor:
    """Return the weighted votes of SAMME, summed member by member as scikit-learn does."""
    classes = torch.arange(logp.shape[-1], device=logp.device)
    if len(classes) < 2:
        raise ValueError("a weighted vote is between classes, got a single one")
    total: Any = 0
    for alpha, votes in zip(w, choices(logp), strict=True):
        other = -1 / (len(classes) - 1) * alpha
        total = total + torch.where(votes[:, None] == classes, *logp.new_tensor([alpha, other]))
    return total / float(np.sum(w))  # (which adds eight and more in another order than `sum`)


def _shares(logp: torch.Tensor, w: list[float]) -> torch.Tensor:
    return logp.new_tensor([v / sum(w) for v in w])


def _not_of_nan(found: torch.Tensor, logp: torch.Tensor) -> torch.Tensor:
    """Return what was found of votes, NaN where a vote was NaN (whose first choice is no vote)."""
    return found.masked_fill(logp.isnan().any(-1).any(0)[:, None], torch.nan)


RULES: dict[str, Callable[..., torch.Tensor]] = {
    "soft": _soft,
    "geometric": _geometric,
    "hard": _hard,
    "weighted": _weighted,
}
