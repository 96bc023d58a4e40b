"""The rule of a cascade: what the answer is after some links, and who needs no more of them.

    link 1: answer, sure enough?  yes: that is it
                                  no: link 2: replaces the answer, or is averaged with it, sure? ...

    sure enough    the score of the answer lies above the threshold; 0 lets every sample go after
                   the first link, 1 none before the last
    k agree        k of the links asked have one first choice; thresholds play no part. Averaged by
                   combine="hard", or replacing, the answer is then what they agree on

The module that runs nets and the functions on stored answers both ask here, so they agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, NamedTuple

import torch

from ensemble.combine import RULES, choices, combined
from harness.exits.criteria import CRITERIA
from harness.exits.leaving import check_thresholds, leaves
from harness.names import check

ANSWERS = ("average", "replace")
WHERE = "links before the last"


class Asked(NamedTuple):
    """For each sample, the log-probabilities of its answer, links asked, and how sure it is."""

    logp: torch.Tensor
    asked: torch.Tensor
    score: torch.Tensor


@dataclass(frozen=True)
class Rule:
    """How links are asked in turn.

    Args:
        thresholds: One number for all links but the last (which answers whoever comes to it), or
            one for each of them, from 0 to 1.
        answer: "average": the answers of all links asked are combined; "replace": the last counts.
        criterion: How sure an answer is: "max_probability", "entropy" or "margin".
        agree: Leave as soon as so many links have one first choice, whatever the score.
        combine: How answers are averaged: "soft", "geometric", "hard" or "weighted".
        weights: One per link, for the average.

    Raises:
        ValueError: unknown words, thresholds outside 0 to 1, agreement of fewer than 1.
    """

    thresholds: float | Sequence[float] = 0.9
    answer: str = "average"
    criterion: str = "max_probability"
    agree: int | None = None
    combine: str = "soft"
    weights: Sequence[float] | None = None

    def __post_init__(self):
        check("answer", self.answer, ANSWERS)
        check("criterion", self.criterion, CRITERIA)
        check("rule", self.combine, RULES)
        if self.agree is not None and (type(self.agree) is not int or self.agree < 1):
            raise ValueError(f"agree= is how many links must agree, from 1 on; got {self.agree!r}")
        for name in ("thresholds", "weights"):  # (of numpy and torch too; kept as plain values)
            value: Any = getattr(self, name)
            value = value.tolist() if hasattr(value, "tolist") else value
            plain = value if value is None or isinstance(value, int | float | str) else tuple(value)
            object.__setattr__(self, name, plain)
        given: Any = self.thresholds
        check_thresholds(given, len(given) if isinstance(given, tuple) else None, WHERE)
        if self.answer == "replace" and self.weights is not None:
            raise ValueError('weights are for answer="average"; "replace" has the last answer')
        if self.weights is None and self.combine == "weighted":
            raise ValueError("a weighted vote needs weights=, one per link")
        if self.weights is not None and not all(isfinite(w) and w > 0 for w in self.weights):
            raise ValueError(f"weights of links are finite and above 0, got {self.weights}")

    def fit_for(self, links: int) -> "Rule":
        """Return the rule itself if it fits so many links.

        Raises:
            ValueError: thresholds, weights or an agreement that so many links do not have.
        """
        self.bounds(links)
        if self.weights is not None and len(self.weights) != links:
            raise ValueError(f"{links} links need as many weights, got {len(self.weights)}")
        if self.agree is not None and self.agree > links:
            raise ValueError(f"{self.agree} of {links} links cannot agree: agree= is 1 to {links}")
        return self

    def bounds(self, links: int) -> tuple[float, ...]:
        """Return the threshold after each of so many links but the last.

        Raises:
            ValueError: another number of thresholds, or one that is not from 0 to 1.
        """
        return check_thresholds(self.thresholds, links - 1, WHERE)

    @property
    def remembers(self) -> bool:
        """Whether an answer or who agrees depends on links before the last one."""
        return self.answer == "average" or self.agree is not None

    def running(self, logp: torch.Tensor) -> torch.Tensor:
        """Return the answer (samples, classes) after the links (links, samples, classes)."""
        if self.answer == "replace":
            return logp[-1]
        return combined(logp, self.combine, self.weights and self.weights[: len(logp)])

    def score(self, answer: torch.Tensor) -> torch.Tensor:
        """Return how sure these log-probabilities are, from 0 to 1."""
        if self.criterion == "max_probability":  # (which they are normalised for already)
            return answer.amax(-1).exp().clamp(max=1.0)
        return CRITERIA[self.criterion](answer)

    def measure(self, logp: torch.Tensor, answer: torch.Tensor) -> torch.Tensor:
        """Return what decides who stays after these (links, samples, classes): score or votes."""
        return self.score(answer) if self.agree is None else most(logp)

    def enough(self, measured: torch.Tensor, bound: float) -> torch.Tensor:
        """Return who needs no further link, by what was measured."""
        return leaves(measured, bound) if self.agree is None else measured >= self.agree


def most(logp: torch.Tensor) -> torch.Tensor:
    """Return for each sample how many links share its most frequent choice; NaN is no choice."""
    says = (~logp.isnan().any(-1)).double()
    votes = torch.zeros_like(logp[0]).scatter_add_(1, choices(logp).T, says.T.to(logp.dtype))
    return votes.amax(-1)
