"""A chain of nets that grows by a link at a time: trained, its threshold fitted, weighed, timed.

    chain = Chained(config, data, seed)
    while chain.done < config.epochs:
        row = chain.link(told)              the chain of all links so far

A link that holds several nets is asked net by net, and a net with exits exit by exit. What all of
them say to the validation and the test part is kept, and every threshold is tried on that.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ensemble.cascade import Cascade, Rule, answered, fitted, spent
from ensemble.cascade.links import costs
from ensemble.nets import build
from ensemble.plans.budget import Budget
from ensemble.plans.cascade import Chain
from ensemble.scores.answers import accuracy
from ensemble.sides import Side
from ensemble.turns import turns
from harness.data import Data

PARTS = ("test", "validation")
STEPS = 8  # thresholds per factor of ten in 1 - threshold, on the curve
DECADES = 5
TIMED = tuple(1 - 10**-k for k in (0.5, 1.0, 2.0))  # timed besides the fitted one
CALLS = {1: 200, 128: 30}  # batch size: calls
Told = Callable[[float], None]


class Chained:
    """The chain; `state_dict` holds it between two links.

    Args:
        config: Its links.
        data: What they learn.
        seed: Of their starts, designs and orders.
    """

    def __init__(self, config: Chain, data: Data, seed: int):
        self.config, self.data, self.seed = config, data, seed
        self.nets: list[list[nn.Module]] = []
        self.logp: dict[str, list[torch.Tensor]] = {part: [] for part in PARTS}

    @property
    def done(self) -> int:
        """Links so far."""
        return len(self.nets)

    def link(self, told: Told = lambda share: None) -> dict[str, Any]:
        """Train the nets of the next link; returns the row of the chain so far."""
        begin = time.process_time()
        side = Side(self.config.side(self.config.links[self.done]), self.data, self.seed)
        for k in range(self.config.each):
            side.run()
            told((k + 1) / self.config.each)
        spent_on_it = time.process_time() - begin
        for part in PARTS:
            self.logp[part].append(side.answers(getattr(self.data, f"{part}_x")))
        self.nets.append(side.nets)
        return {"epoch": self.done, "train_time": spent_on_it} | self.row()

    def row(self) -> dict[str, Any]:
        """Return what the chain reaches and costs, with its threshold and with others."""
        test, validation = (torch.cat(self.logp[part]) for part in PARTS)
        y = self.data.test_y.cpu()
        macs = [c.macs for nets in self.nets for net in nets for c in costs(net, self.data.shape)]
        rule = Rule(answer=self.config.answer)
        whole = accuracy(answered(test, self._at(1.0)).logp, y)
        if len(test) == 1:
            return {"test_accuracy": whole, "whole_accuracy": whole, "macs": macs[0]}
        kept = self.data.validation_y
        assert kept is not None
        fit = fitted(validation, rule, "validation", kept.cpu(), loss=self.config.loss)
        threshold = fit.rule.bounds(len(test))[0]
        here = self._point(test, y, macs, threshold)
        found = {"test_accuracy": here["accuracy"], "whole_accuracy": whole, "macs": here["macs"]}
        if self.done < self.config.epochs:
            return found
        curve = [self._point(test, y, macs, bound) for bound in thresholds()]
        bound = {"lost": fit.loss.share, "bound": fit.loss.bound}
        return found | {"fitted": here | bound, "curve": curve}

    def _at(self, threshold: float) -> Rule:
        return Rule(threshold, answer=self.config.answer)

    def _point(self, logp: torch.Tensor, y: torch.Tensor, macs: list[int], bound: float) -> dict:
        found = answered(logp, self._at(bound))
        told = spent(found.asked, macs)
        return {
            "threshold": bound,
            "accuracy": accuracy(found.logp, y),
            "macs": told["mean"],
            **{key: told[key] for key in ("p50", "p99", "asked", "whole")},
        }

    def times(self, threshold: float | None) -> list[dict[str, Any]]:
        """Return the milliseconds of calls of the chain, beside those of the one dense net.

        Args:
            threshold: The fitted one, which is timed with some others; None: of one net.
        """
        (dense,) = build(Budget(data=self.config.data), self.data, self.seed)
        nets = [net.eval() for nets in self.nets for net in nets]
        bounds = [None] if threshold is None else sorted({threshold, *TIMED})
        return [
            {"threshold": bound, "batch": batch, "name": name, **told}
            for bound in bounds
            for batch, calls in CALLS.items()
            for name, told in turns(
                {"chain": self._asked(nets, bound), "dense": dense.eval()},
                self.data.test_x,
                batch,
                calls,
            ).items()
        ]

    def _asked(self, nets: list[nn.Module], bound: float | None) -> nn.Module:
        """Return the chain under a threshold; one net needs nobody to ask it."""
        if bound is None:
            return nets[0]
        return Cascade(nets, bound, self.config.answer, shape=self.data.shape).eval()

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on, with what all nets said."""
        nets = [[net.state_dict() for net in nets] for nets in self.nets]
        return {"nets": nets, "logp": self.logp}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.logp, self.nets = state["logp"], []
        for name, states in zip(self.config.links, state["nets"], strict=False):
            nets = build(self.config.side(name), self.data, self.seed)
            for net, saved in zip(nets, states, strict=True):
                net.load_state_dict(saved)
            self.nets.append(nets)


def thresholds() -> list[float]:
    """Return the thresholds of the curve: from 0 to 1, as dense near 1 as answers are."""
    return [1 - 10 ** (-k / STEPS) for k in range(STEPS * DECADES + 1)] + [1.0]
