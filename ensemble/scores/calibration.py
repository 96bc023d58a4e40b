"""Scores whether probabilities mean what they say: expected calibration errors.

    ece             sum over bins of share * |mean confidence - accuracy|, of the first choice
    adaptive_ece    the same with bins of equally many samples, the surest first
    classwise_ece   the same of each class's probability and how often it is the target; the mean

Equal bins are ]a, b], and a confidence of exactly 1 is in the last one: float32 nets say 1.0 often,
and a bin of its own for them (as in torchmetrics 1.9, issue 3510) is another score. An empty bin
weighs nothing.
Samples that are equally sure count in `adaptive_ece` with their mean accuracy, in any order.
"""

from typing import Any

import torch

from ensemble.checks import checked, targets
from ensemble.scores.answers import ranked, top

BINS = 15


def ece(logp: torch.Tensor, y: Any, bins: int = BINS) -> float:
    """Return the expected calibration error of the most probable class.

    Raises:
        ValueError: no bins, or what `checked` and `targets` refuse.
    """
    logp = checked(logp)
    return float(_error(*_first(logp, y), _bins(bins)))


def adaptive_ece(logp: torch.Tensor, y: Any, bins: int = BINS) -> float:
    """Return the expected calibration error over bins whose counts differ by at most one.

    Raises:
        ValueError: no bins, or what `checked` and `targets` refuse.
    """
    logp = checked(logp)
    sure, right = ranked(*top(logp, targets(y, logp)))
    gaps = [part.sum().abs() for part in (right - sure.exp()).tensor_split(_bins(bins))]
    return float(torch.stack(gaps).sum() / len(sure))


def classwise_ece(logp: torch.Tensor, y: Any, bins: int = BINS) -> float:
    """Return the mean over classes of the calibration error of each class's probability.

    Raises:
        ValueError: no bins, or what `checked` and `targets` refuse.
    """
    logp = checked(logp)
    y, p = targets(y, logp), logp.exp().clamp(max=1.0)
    found = [_error(p[:, k], (y == k).double(), _bins(bins)) for k in range(p.shape[1])]
    return float(torch.stack(found).mean())


def reliability(logp: torch.Tensor, y: Any, bins: int = BINS) -> list[dict[str, Any]]:
    """Return, for a picture, each bin's edges, samples, mean confidence and accuracy.

    An empty bin has neither: both are None.
    """
    logp = checked(logp)
    sums = _sums(*_first(logp, y), _bins(bins)).T.tolist()
    return [
        {
            "from": i / bins,
            "to": (i + 1) / bins,
            "samples": int(n),
            "confidence": sure / n if n else None,
            "accuracy": right / n if n else None,
        }
        for i, (n, sure, right) in enumerate(sums)
    ]


def _first(logp: torch.Tensor, y: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the probability of each first choice, and 1 where it is the target, or 0."""
    sure, right = top(logp, targets(y, logp))
    return sure.exp().clamp(max=1.0), right


def _bins(bins: int) -> int:
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
        raise ValueError(f"bins are a whole number from 1 on, such as {BINS}, got {bins!r}")
    return bins


def _error(sure: torch.Tensor, right: torch.Tensor, bins: int) -> torch.Tensor:
    _, confidence, hits = _sums(sure, right, bins)
    return (confidence - hits).abs().sum() / len(sure)


def _sums(sure: torch.Tensor, right: torch.Tensor, bins: int) -> torch.Tensor:
    """Return, for each bin, how many samples it has and the sums of both over them."""
    edges = torch.arange(1, bins + 1, dtype=torch.float64, device=sure.device) / bins
    place = torch.searchsorted(
        edges, sure.contiguous()
    )  # the first bin whose upper edge is not below
    rows = torch.stack([torch.ones_like(sure), sure, right])
    return rows.new_zeros(3, bins).index_add_(1, place, rows)
