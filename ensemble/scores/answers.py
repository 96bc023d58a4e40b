"""Scores one answer per sample: how often it is right, and how well it knows.

    accuracy    share of samples whose most probable class is the target (ties: the lowest class)
    nll         mean of -log p[target]; infinite where a target has probability 0, as in hard votes
    brier       mean of the sum over classes of (p - [target])^2, from 0 to 2
    aurc        area under risk and coverage: error among the c surest samples, mean over c = 1 .. n

Samples that are equally sure have no order: in `aurc` each of them counts with their mean error,
which is what a random order gives in the mean. So no score depends on the order of the samples.
"""

from typing import Any

import torch
import torch.nn.functional as F

from ensemble.checks import checked, targets


def accuracy(logp: torch.Tensor, y: Any) -> float:
    """Return the share of right answers."""
    logp = checked(logp)
    return float((logp.argmax(-1) == targets(y, logp)).double().mean())


def nll(logp: torch.Tensor, y: Any) -> float:
    """Return the mean negative log-likelihood of the targets, in nats."""
    logp = checked(logp)
    return float(losses(logp, targets(y, logp)).mean())


def losses(logp: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the negative log-likelihood of each sample; logp may have members before it."""
    return -logp.gather(-1, y.expand(logp.shape[:-1])[..., None])[..., 0]


def brier(logp: torch.Tensor, y: Any) -> float:
    """Return the mean squared distance between the probabilities and the targets."""
    logp = checked(logp)
    return float(distances(logp, targets(y, logp)).mean())


def distances(logp: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the squared distance of each sample; logp may have members before it."""
    return (logp.exp() - F.one_hot(y, logp.shape[-1])).square().sum(-1)


def aurc(logp: torch.Tensor, y: Any) -> float:
    """Return the mean error of the c surest samples over all coverages c."""
    logp = checked(logp)
    _, right = ranked(*top(logp, targets(y, logp)))
    count = torch.arange(1, len(right) + 1, dtype=torch.float64, device=logp.device)
    return float(((1 - right).cumsum(0) / count).mean())


def top(logp: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the largest log-probability of each sample, and 1 where that is the target, or 0."""
    # (of equal ones `max` may name any, `argmax` names the lowest)
    return logp.amax(-1), (logp.argmax(-1) == y).double()


def ranked(sure: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sort samples, the surest first; of equally sure ones each is as right as they are in mean.

    They are ranked by log-probabilities, which differ where probabilities have become 1.
    """
    levels, place = sure.unique(return_inverse=True)
    hits = torch.zeros_like(levels).index_add_(0, place, right)
    counts = torch.zeros_like(levels).index_add_(0, place, torch.ones_like(right))
    order = place.argsort(descending=True)
    return sure[order], (hits / counts)[place[order]]
