"""Cascades from stored answers: who would have left where, with what answer, at what cost.

No net runs here: the members' log-probabilities are kept once, and every rule is tried on them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from ensemble.cascade.rule import Asked, Rule


class Steps(NamedTuple):
    """What a cascade would say after each link: answers (links, samples, classes), and measures.

    Neither depends on thresholds, or on how many must agree: made once, they serve all of these.
    """

    answers: torch.Tensor
    measured: torch.Tensor


def answered(logp: torch.Tensor, rule: Rule) -> Asked:
    """Return the answers of a cascade whose links would say this (links, samples, classes).

    Raises:
        ValueError: other axes, or a rule that does not fit so many links.
    """
    return left(steps(logp, rule), rule)


def steps(logp: torch.Tensor, rule: Rule) -> Steps:
    """Return answers and measures after each link.

    Raises:
        ValueError: other axes, or a rule that does not fit so many links.
    """
    if logp.ndim != 3 or not len(logp):
        raise ValueError(
            "log-probabilities of a cascade have the axes (links, samples, classes), with at least "
            f"one link; got shape {tuple(logp.shape)}"
        )
    rule.fit_for(len(logp))
    parts = [logp[: count + 1] for count in range(len(logp))]
    answers = [rule.running(part) for part in parts]
    measured = [rule.measure(part, now) for part, now in zip(parts, answers, strict=True)]
    return Steps(torch.stack(answers), torch.stack(measured))


def left(found: Steps, rule: Rule) -> Asked:
    """Return each sample's answer at the first link that is enough for it."""
    links, samples, _ = found.answers.shape
    place = torch.full((samples,), links - 1, device=found.answers.device)
    bounds = rule.bounds(links)
    for number in range(links - 2, -1, -1):  # (so that the first that is enough has the last word)
        place[rule.enough(found.measured[number], bounds[number])] = number
    answer = found.answers[place, torch.arange(samples, device=place.device)]
    return Asked(answer, place + 1, rule.score(answer))


def spent(asked: torch.Tensor, macs: Sequence[int]) -> dict[str, Any]:
    """Return what it costs to ask each sample so many links.

    Args:
        asked: Links asked (samples,), from 1 on.
        macs: What each link costs for one sample, beyond the links before it.

    Returns:
        `total` over the samples, their `mean`, `p50` and `p99` (costs that samples do have: the
        least that so many of them do not exceed), `whole` if all links were asked, mean links
        `asked`, and the `shares` of the samples that left after each link.

    Raises:
        ValueError: no samples, or links that have no cost.
    """
    count = asked.detach().cpu().numpy()
    if not count.size or count.min() < 1 or count.max() > len(macs):
        raise ValueError(
            f"expected for at least one sample how many of {len(macs)} links it was asked, got "
            f"{count.size} samples with {sorted(set(count.tolist()))}"
        )
    costs = np.cumsum(macs)[count - 1]
    p50, p99 = np.percentile(costs, (50, 99), method="inverted_cdf")
    return {
        "total": int(costs.sum()),
        "mean": float(costs.sum() / count.size),
        "p50": int(p50),
        "p99": int(p99),
        "whole": int(sum(macs)),
        "asked": float(count.mean()),
        "shares": (np.bincount(count, minlength=len(macs) + 1)[1:] / count.size).tolist(),
    }
