"""The course of boosting: weights, votes and errors from member to member, and why it ended.

    course = Course(np.ones(n), classes=3, members=50)
    while not course.ended:
        net = fit(x, y, course.begin())
        kept = course.end(net.predict(x) != y)

It knows no net and no loss. Its state goes through state_dict, and continues bit for bit.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ensemble.boosting.rules import RULES, chance, effective, error, floored, say
from ensemble.boosting.start import fits, refuse_count, started
from harness.names import check

Array = np.ndarray
Predict = Callable[[Any], Array]


class Course:
    """Where boosting stands.

    Args:
        sample_weight: One number per sample, none negative, not all 0.
        classes: How many there are, at least 2.
        members: How many at most.
        rule: "samme", or "iddl" (raises the right samples, as the published ensemble did).
        learning_rate: Shrinks what a member says and how far it moves the weights.

    Attributes:
        weights: Of the samples, for the member that is next.
        alphas: What each member says in the vote.
        errors: Its weighted error, on the weights that it was fitted with.
        effective: The effective share of the samples under those weights.
        ended: Why there is no further member; "" while there is.
    """

    def __init__(
        self,
        sample_weight: Array,
        classes: int,
        members: int,
        rule: str = "samme",
        learning_rate: float = 1.0,
    ):
        self.rule = RULES[check("rule", rule, RULES)]
        fits(classes, members, learning_rate)
        self.classes, self.members, self.learning_rate = classes, members, learning_rate
        self.weights = started(sample_weight)
        self.absent = self.weights == 0.0
        self.alphas: list[float] = []
        self.errors: list[float] = []
        self.effective: list[float] = []
        self.ended = ""

    def begin(self) -> Array:
        """Return the weights that the next member is to be fitted with."""
        self.weights = floored(self.weights, self.absent)
        return self.weights

    def end(self, wrong: Array) -> bool:
        """Take note of which samples a member got wrong; returns whether it is kept.

        Raises:
            ValueError: the first member is no better than guessing.
        """
        e = error(wrong, self.weights)
        if e <= 0:
            self._keep(1.0, 0.0)
            self.ended = f"member {len(self.alphas) - 1} made no error"
            return True
        if e >= chance(self.classes):
            self._drop(e)
            return False
        self._keep(say(e, self.classes, self.learning_rate), e)
        self._move(wrong, e)
        return True

    def _keep(self, alpha: float, e: float) -> None:
        self.alphas.append(alpha)
        self.errors.append(e)
        self.effective.append(effective(self.weights))

    def _drop(self, e: float) -> None:
        number, limit = len(self.alphas), chance(self.classes)
        words = f"its weighted error of {e:.4g} is not below {limit:.4g}, that of guessing"
        if not number:
            raise ValueError(
                f"the first member is no better than chance: {words} among {self.classes} classes; "
                "train it for longer, with another rate, or make it larger"
            )
        self.ended = f"member {number} is no better than chance, and was dropped: {words}"

    def _move(self, wrong: Array, e: float) -> None:
        """Set the weights of the next member, if there is one and they are numbers."""
        if len(self.alphas) == self.members:
            self.ended = f"all {self.members} members are there"
            return
        moved = self.rule(self.weights, wrong, e, self.classes, self.learning_rate)
        total = np.sum(moved)
        if not np.isfinite(total) or total <= 0:
            self.ended = f"the weights after member {len(self.alphas) - 1} are {total} in sum"
            if not np.isfinite(total):
                warnings.warn(f"{self.ended}: boosting ends; lower learning_rate", stacklevel=4)
            return
        self.weights = moved / total

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values from which the course continues."""
        lists = {k: torch.tensor(getattr(self, k), dtype=torch.float64) for k in LISTS}
        arrays = {k: torch.from_numpy(getattr(self, k).copy()) for k in ("weights", "absent")}
        return {**lists, **arrays, "ended": self.ended, "members": self.members}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from there.

        Raises:
            ValueError: the state of a course of other samples or of another count of members.
        """
        if len(state["weights"]) != len(self.weights):
            raise ValueError(
                f"this is the state of boosting on {len(state['weights'])} samples; here are "
                f"{len(self.weights)}"
            )
        refuse_count(state["members"], self.members)
        for name in LISTS:
            setattr(self, name, state[name].tolist())
        self.weights, self.absent = (state[k].numpy().copy() for k in ("weights", "absent"))
        self.ended = state["ended"]


LISTS = ("alphas", "errors", "effective")
