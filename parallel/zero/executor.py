"""Carries out the rounds of a strategy whose workers hold slices.

backward                        gradients go to their owners as they come  (parallel.zero.reducer)
before(seed, step, counts)      where no backward came here, the part in it; then the optimizer
                                is given the own pieces to step            (parallel.zero.slices)
after()                         it gets its parameters back; what was stepped goes to all [1]
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from harness.train.stepping import by_slice
from parallel.replicas import consensus
from parallel.replicas.executor import asked
from parallel.replicas.optimizer import steps_once
from parallel.replicas.replicas import Looped, Stacked
from parallel.replicas.states import States
from parallel.strategy.zero import ZeRO1
from parallel.world.comm import Comm
from parallel.world.ops import NOTHING, AllGather, ReduceScatter, Round, traffic
from parallel.zero.gather import gather
from parallel.zero.guard import guard, options
from parallel.zero.layout import Layout
from parallel.zero.meter import Meter
from parallel.zero.passes import refill
from parallel.zero.reducer import Reducer
from parallel.zero.room import Room
from parallel.zero.slices import Slices
from parallel.zero.units import units

CARRIES = (ReduceScatter, AllGather)


class Executor:
    """Carries out one strategy for the workers here."""

    tally = (0, 0)  # (no round can drive workers apart)

    def __init__(self, strategy: ZeRO1, comm: Comm):
        self.strategy, self.comm = strategy, comm
        self.round, self.begun = NOTHING, 0
        self.planned = 0.0  # bytes of all workers together, by the rounds
        self.seen = [0.0] * comm.workers  # (weights are never averaged)

    def cut(self, models: list[nn.Module], seed: int) -> list[nn.Module]:
        """Return what the workers here train, which is all of the full models."""
        self.room = Room(models, units(models[0]), self.strategy.stage)
        return models

    def attach(self, members: Stacked | Looped) -> None:
        """Take over the models of the workers here."""
        named = {k: v[0] for k, v in members.get("params").items()}
        layout = Layout(named, self.room.units, self.comm.workers)
        self.members = members
        self.states = Slices(members, layout, self.comm.ranks, self.strategy.stage == 3)
        self.gradients = Reducer(self.states, self.comm, self.strategy.weighted)
        self.gradients.late = self.strategy.stage == 1
        self.meter = Meter(self.states, self.gradients)
        self.room.attach(self.states, self.gradients, self.comm)

    def accept(self, optimizer: Any) -> None:
        """Take over the optimizer that steps the workers here.

        Raises:
            ValueError: it does not work element by element, or looks at the loss several times.
        """
        steps_once(optimizer)
        if not by_slice(optimizer):
            raise ValueError(
                f"{type(optimizer).__name__}: zero{self.strategy.stage} steps slices that begin "
                "and end anywhere, and this optimizer, or a hook of its steps, is not known to "
                "work element by element: take one that does, such as SGD or Adam, or style "
                "all_reduce"
            )
        if optimizer is not getattr(self, "optimizer", None):
            self.states.state.clear()
            guard(optimizer, self.states)
        self.optimizer = optimizer
        self.states.take(optimizer)

    @property
    def whole(self) -> nn.Module:
        """A full model, to look at."""
        return self.room.whole or self.members.template

    def begin(self, seed: int, step: int) -> Round:
        """Return the round of a step, which is asked for once."""
        if self.begun != step:
            self.round = asked(self.strategy, self.comm, seed, step, self.round, CARRIES)
            self.begun = step
        return self.round

    def early(self, seed: int, step: int, counts: Sequence[float]) -> None:
        """Do nothing, as gradients go while the backward does."""

    def before(self, seed: int, step: int, counts: Sequence[float]) -> bool:
        """Have gradients where they belong, and pieces where the optimizer looks."""
        found = self.begin(seed, step)
        size = self.states.size("")
        self.planned += traffic((*found.before, *found.after), self.comm.workers, size)
        if self.gradients.early is None:
            self.gradients.weights = lambda: counts
            self.gradients.flush()
        self.gradients.forget_cleared()
        self.gradients.early = None
        self.room.even()
        self.states.enter(self.optimizer)
        return True

    @torch.no_grad()
    def after(self) -> None:
        """Give the optimizer its parameters back, and the others what was stepped: [1]."""
        self.states.leave(self.optimizer)
        self.meter.rest()
        if self.round.after:
            gather(self.states, self.comm)

    @torch.no_grad()
    def consensus(self) -> dict[str, torch.Tensor]:
        """Return the state dict of the full model that all have, with the mean of statistics."""
        with self.room.everything():
            return consensus.mean(self._states(), self.comm, False)

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Begin anew from a full model's state, on all workers."""
        with self.room.everything():
            self._states().load(state)
            refill(self.states)

    @torch.no_grad()
    def distance(self) -> float | None:
        """Return how far the workers are from their mean; None where they have no copies."""
        return None if self.strategy.stage == 3 else consensus.distance(self._states(), self.comm)

    def _states(self) -> States:
        return States(self.members, ("params",), False)

    def state_dict(self) -> dict[str, Any]:
        """Return all that it takes to go on bitwise."""
        return {
            "members": self.room.saved(self.states),
            "optimizer": options(self.optimizer, self.states),
            "strategy": {"slices": self.states.saved()},
            "centre": None,
            "seen": self.seen,
            "bytes": [self.planned, self.comm.sent],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what state_dict gave."""
        self.room.restore(self.states, state["members"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.states.restore(state["strategy"]["slices"])
        self.begun, self.gradients.early = 0, None
        self.planned, self.comm.sent = state["bytes"]
