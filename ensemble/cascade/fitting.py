"""Fits the thresholds of a cascade on held-out answers, with a bound on what they lose.

Rules are tried from the one that loses nothing towards the cheapest, in an order that is fixed
before the answers are seen; each has to show that it loses at most so much (`bounds.upper`), and
the first that cannot ends the search. A rule that loses more is then accepted in at most
1 - confidence of all fits, however many were tried: it is not reached unless all before it were
accepted, and the first bad one of all is accepted that seldom ("fixed sequence": Angelopoulos and
others, "Learn then test", 2021). The least threshold that looks good enough has no such bound.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ensemble.cascade.bounds import CONFIDENCE, Loss, lost, needed
from ensemble.cascade.rule import Rule
from ensemble.cascade.stored import left, spent, steps
from ensemble.checks import held_out

DECADES, STEPS = 6, 16  # thresholds 1 - 10^(-d / STEPS): as dense near 1 as answers are


@dataclass(frozen=True)
class Fit:
    """The rule that was found, what it lost and spent on the samples it was fitted on."""

    rule: Rule
    loss: Loss
    spent: dict[str, Any] | None
    split: str


def fitted(
    logp: torch.Tensor,
    rule: Rule,
    split: str,
    y: Any = None,
    loss: float = 0.005,
    confidence: float = CONFIDENCE,
    macs: Sequence[int] | None = None,
) -> Fit:
    """Find the cheapest rule that loses at most `loss` against asking all links.

    Args:
        logp: Log-probabilities (links, samples, classes) on samples that trained no link.
        rule: What is kept of the rule: everything but its threshold, or the distance of several
            thresholds from 1 (their proportion is kept); or but its `agree`, where it has one.
        split: The name of the part of the data that these are, such as "validation".
        y: Targets: the loss is then one of accuracy, else one of agreement.
        loss: The largest share of samples that may be lost in the long run.
        confidence: How often that shall be true.
        macs: What each link costs for one sample; gives `Fit.spent`.

    Raises:
        ValueError: the part is the training or the test part; too few samples to bound such a loss.
    """
    held_out(split, "thresholds cannot be fitted")
    if (least := needed(loss, confidence)) > logp.shape[1]:
        raise ValueError(
            f"{logp.shape[1]} samples cannot show that at most {loss:g} of all are lost, with "
            f"confidence {confidence:g}: it takes {least} of which none is lost; allow more loss, "
            "or keep more samples apart"
        )
    found, best = steps(logp, rule), None
    whole = found.answers[-1]
    for candidate in candidates(rule, len(logp)):
        loses = lost(left(found, candidate).logp, whole, y, confidence)
        if best and loses.bound > loss:
            break
        best = candidate, loses
    assert best
    cost = spent(left(found, best[0]).asked, macs) if macs is not None else None
    return Fit(*best, cost, split)


def candidates(rule: Rule, links: int) -> Iterator[Rule]:
    """Yield rules from the one that asks all links towards the one that asks the first only.

    All thresholds move together from 1 down; several stay in the proportion of their distances
    from 1, so that a proportion that was found on other samples can be given a promise here.
    """
    if rule.agree is not None:
        yield from (replace(rule, agree=k) for k in range(links, 0, -1))
        return
    far = [1 - bound for bound in rule.bounds(links)] if _several(rule) else []
    most = max(far, default=0.0)
    yield replace(rule, thresholds=1.0)
    for step in range(DECADES * STEPS, -1, -1):
        down = 10 ** (-step / STEPS)
        bounds = tuple(1 - down * d / most for d in far) if most else 1 - down
        yield replace(rule, thresholds=bounds)


def _several(rule: Rule) -> bool:
    return not isinstance(rule.thresholds, int | float)
