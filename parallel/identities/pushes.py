"""Computes the identities of push-sums alone."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from parallel.identities.averaging import WORKERS, apart, furthest, trained, training
from parallel.strategy import Strategy, make
from parallel.strategy.graph import Exponential
from parallel.strategy.push_sum import PushSum
from parallel.world.ops import Round

ROUNDS = 120


@dataclass
class AfterStep(Exponential):
    """The exponential graph, whose messages follow the step."""

    def plan(self, seed: int, step: int) -> Round:
        """Return the same messages, later."""
        return Round(after=super().plan(seed, step).before)


@dataclass
class Massless(PushSum):
    """The same messages, and who gets one takes the mean, as in gossip_push."""

    push_sum = False

    def mixing(self, ops: Any) -> Any:
        """Return the plain mean of oneself and of what came, in place of P."""
        return {i: dict.fromkeys(row, 1 / len(row)) for i, row in super().mixing(ops).items()}


def even() -> float:
    """Compare the push-sum in which nobody skips a round to the exponential graph after steps."""
    one, other = trained(make("push_sum")), trained(AfterStep())
    return apart(one.executor.consensus(), other.executor.consensus())


def agreed(kind: Callable[..., Strategy]) -> float:
    """Return how far the furthest worker is from the mean of all starts, after many rounds.

    The workers start apart, learn nothing, and skip rounds by chance.
    """
    strategy = kind(probability=0.6)
    strategy.same_start = False
    found = training(strategy, optimizer=partial(torch.optim.SGD, lr=0.0))
    start = {k: v.mean(0) for k, v in found.members.get("params").items()}
    for _ in range(ROUNDS):
        found.step()
    rows = found.members.get("params")
    return furthest(apart({k: v[r] for k, v in rows.items()}, start) for r in range(WORKERS))
