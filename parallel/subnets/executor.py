"""Carries out the rounds of a strategy whose workers hold subnets.

    after():   Gather     every worker's slices come to rank 0 and take their places    [1]
               (a new partition is drawn, the same on every rank)                       [2]
               Scatter    rank 0 sends every worker the slices of the new partition     [3]

The slices go with the optimizer's state of their neurons. Between rounds nobody talks.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from parallel.replicas.executor import asked
from parallel.replicas.optimizer import steps_once
from parallel.replicas.replicas import Looped, Stacked
from parallel.strategy.base import Strategy
from parallel.subnets.cutting import subnet
from parallel.subnets.master import Master
from parallel.subnets.slices import Tensors, check_optimizer, untouched
from parallel.world.comm import Comm, nbytes, refuse
from parallel.world.ops import NOTHING, Gather, Round, Scatter

CARRIES = (Gather, Scatter)


class Executor:
    """Deals and collects slices for the workers here."""

    gradients = None  # never averaged

    def __init__(self, strategy: Strategy, comm: Comm):
        self.strategy, self.comm = strategy, comm
        self.round, self.begun, self.seed = NOTHING, 0, 0
        self.planned = 0.0  # bytes of all workers together, by the rounds
        self.seen = [0.0] * comm.workers  # samples since the last round
        self.tally = [0, 0]

    def cut(self, models: list[nn.Module], seed: int) -> list[nn.Module]:
        """Return the subnets of the first partition; later ones have the same shapes."""
        self.states = Master(models[0], self.comm.workers, seed)
        self.whole = self.states.whole
        rescale = getattr(self.strategy, "rescale", False)
        return [
            subnet(m, self.states.chain, self.states.parts[r], rescale)
            for m, r in zip(models, self.comm.ranks, strict=True)
        ]

    def attach(self, members: Stacked | Looped) -> None:
        """Take over the models of the workers here."""
        self.members = members

    def accept(self, optimizer: Any) -> None:
        """Take over the optimizer of the workers here, if its state can follow the neurons."""
        steps_once(optimizer)
        check_optimizer(optimizer)
        self.states.untouched = untouched(optimizer)
        self.optimizer = optimizer

    def begin(self, seed: int, step: int) -> Round:
        """Return the round of a step."""
        if self.begun != step:
            self.round = asked(self.strategy, self.comm, seed, step, self.round, CARRIES)
            self.seed, self.begun = seed, step
        return self.round

    def early(self, seed: int, step: int, counts: Sequence[float]) -> None:
        """Do nothing, as gradients stay with their workers."""

    def before(self, seed: int, step: int, counts: Sequence[float]) -> bool:
        """Count samples, which weigh the shared copies' mean; returns whether after() is due."""
        due = bool(self.begin(seed, step).after)
        if self.strategy.weighted:
            self.seen = [a + b for a, b in zip(self.seen, counts, strict=True)]
        return due

    @torch.no_grad()
    def after(self) -> None:
        """Collect [1], draw [2] and deal [3], if the round has that."""
        if not self.round.after:
            return
        check_optimizer(self.optimizer)
        self.states.values = self._collect()
        self.seen = [0.0] * self.comm.workers
        self.states.draw(self.seed, self.begun + 1)
        self._deal()

    def _deal(self, counted: bool = True) -> None:
        """Send every worker its pieces of the master: [3]."""
        comm, mine, out = self.comm, _own(self.members, self.optimizer), {}
        if comm.rank == 0:
            out = {(0, r): self.states.pieces(r, mine[0]) for r in range(comm.workers)}
        expect = {(0, r): own for r, own in zip(comm.ranks, mine, strict=True)}
        self.planned += counted * sum(nbytes(piece) for (_, r), piece in out.items() if r)
        got = comm.wait(comm.post(out, expect, counted))
        for r, own in zip(comm.ranks, mine, strict=True):
            for name, value in got[0, r].items():
                own[name].copy_(value)

    def _collect(self, counted: bool = True) -> Tensors:
        """Return on rank 0 the master with the pieces of all workers: [1]."""
        comm, mine, expect = self.comm, _own(self.members, self.optimizer), {}
        out = {(r, 0): own for r, own in zip(comm.ranks, mine, strict=True)}
        for r, own in zip(comm.ranks, mine, strict=True) if counted else ():
            refuse({k: v.unsqueeze(0) for k, v in own.items()}, [r])
        if comm.rank == 0:
            expect = {(r, 0): self.states.shapes(r, mine[0]) for r in range(comm.workers)}
            self.planned += counted * sum(nbytes(v) for (r, _), v in expect.items() if r)
        got = comm.wait(comm.post(out, expect, counted))
        if comm.rank:
            return self.states.values
        return self.states.merge([got[r, 0] for r in range(comm.workers)], self.seen)

    @torch.no_grad()
    def consensus(self) -> dict[str, Any]:
        """Return, on every rank, the state dict of the net assembled from what all have now."""
        comm, found = self.comm, self._collect(counted=False)
        found = {k: v for k, v in found.items() if "/" not in k}
        out = {(0, r): found for r in range(comm.workers)} if comm.rank == 0 else {}
        here = {(0, r): found for r in comm.ranks}
        found = comm.wait(comm.post(out, here, counted=False))[0, comm.rank]
        return self.whole.state_dict() | self.members.counters() | found

    @torch.no_grad()
    def load(self, state: dict[str, Any]) -> None:
        """Begin anew from a full model's state."""
        self.states.load(state)
        self._deal(counted=False)

    def distance(self) -> None:
        """Return None: workers hold different neurons, so that there is no mean of theirs."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that it takes to go on bitwise."""
        return {
            "members": self.members.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "strategy": self.states.state_dict(),
            "centre": None,
            "seen": self.seen,
            "bytes": [self.planned, self.comm.sent],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what state_dict gave."""
        self.members.load_state_dict(state["members"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.states.load_state_dict(state["strategy"])
        self.seen, self.begun = list(state["seen"]), 0
        self.planned, self.comm.sent = state["bytes"]


def _own(members: Stacked | Looped, optimizer: Any) -> list[Tensors]:
    """Return the tensors of each worker here, with the optimizer's state of them."""
    return [members.own(i, optimizer) for i in range(members.size)]
