"""Carries out the rounds of a strategy whose workers hold the whole net.

    seed, step --> strategy.plan --> Round(before, after)                       asked once     [1]

      before(seed, step, counts)                  after()
      |  AllReduce("gradients")                   |  what `before` brought is added            [4]
      |     every worker gets the mean     [2]    |  AllReduce("state")
      |     of all or its group, of whole         |     every worker gets the mean, from which
      |     gradients or what a codec sent        |     an outer step may lead on              [5]
      |  Exchange, Push: states are read   [3]    |
      v                                           |  Exchange, Push: read and added at once    [6]
      ------- the local step w_i + u_i -------->  v

Messages before the step act on the weights after it, with w as before the step and A the mixing:

    w_i <- w_i + u_i + sum_k (A - I)_ik w_k

This is the rule of elastic gossip, and of all that read before they step. Under a push-sum workers
have masses, by which [4] divides u_i and [6] mixes (parallel.replicas.mass). `counts` are the
samples of every worker in this step. A wrapper that hears the end of a backward calls `early`
there: the gradients are then averaged before anybody clips them, and `before` does not do it again.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from parallel.replicas import consensus
from parallel.replicas.coded import Coder, coder_of, same_codec
from parallel.replicas.mass import Mass
from parallel.replicas.optimizer import steps_once
from parallel.replicas.outer import Outer
from parallel.replicas.replicas import Looped, Stacked, filled
from parallel.replicas.states import States
from parallel.strategy.base import Strategy
from parallel.world.codecs import Codec
from parallel.world.comm import HEADER, Comm, State, size
from parallel.world.ops import (
    NOTHING,
    AllReduce,
    Exchange,
    Op,
    Push,
    Receive,
    Round,
    Send,
    all_sent,
    check,
    ring,
    traffic,
)

CARRIES = (AllReduce, Exchange, Push, Send, Receive)


class Executor:
    """Carries out one strategy for the workers here."""

    def __init__(self, strategy: Strategy, comm: Comm):
        self.strategy, self.comm = strategy, comm
        self.round, self.begun = NOTHING, 0  # what the strategy was last asked, and for which step
        self.shift: State | None = None  # what messages before the step will add after it
        self.planned = 0.0  # bytes of all workers together, by the rounds
        self.seen = [0.0] * comm.workers  # samples since the last mean of states
        self.tally = [0, 0]  # rounds of messages, and how many of them drove workers apart

    def cut(self, models: list[torch.nn.Module], seed: int) -> list[torch.nn.Module]:
        """Return what the workers here train, which is all of the full models."""
        return models

    def attach(self, members: Stacked | Looped) -> None:
        """Take over the models of the workers here."""
        here = self.strategy.centre and self.comm.rank == 0
        self.members, self.states = members, States(members, self.strategy.average, here)
        self.gradients = Gradients(members, self.comm)
        if isinstance(codec := self.strategy.sends, Codec):
            self.gradients.coder = coder_of(codec, self.comm, self.strategy.seed)
        if outer := self.strategy.outer:
            self.states.outer = Outer(self.states, *outer)
        if self.strategy.push_sum:
            self.states.mass = Mass(self.states, self.comm)

    def accept(self, optimizer: Any) -> None:
        """Take over the optimizer that steps the workers here.

        Raises:
            ValueError: one that looks at the loss several times in a step.
        """
        steps_once(optimizer)
        self.optimizer = self.states.optimizer = optimizer

    @property
    def whole(self) -> torch.nn.Module:
        """A full model, to look at."""
        return self.members.template

    def begin(self, seed: int, step: int) -> Round:
        """Return the round of a step, which is asked for once: [1]."""
        if self.begun != step:
            self.round = asked(self.strategy, self.comm, seed, step, self.round, CARRIES)
            self.begun = step
        return self.round

    def early(self, seed: int, step: int, counts: Sequence[float]) -> None:
        """Average gradients at the end of a backward, if the coming step has that in its round."""
        if mean := self.begin(seed, step).gradients:
            shares = _shares(self.strategy, counts)
            self.seen = _more(self.seen, shares)
            self.planned += self.gradients.average(shares, mean, early=True)

    def before(self, seed: int, step: int, counts: Sequence[float]) -> bool:
        """Do what the round has before the local step, [2] or [3].

        Returns whether `after` is due.
        """
        found, shares = self.begin(seed, step), _shares(self.strategy, counts)
        mean = found.gradients
        if not (mean and self.gradients.done()):
            self.seen = _more(self.seen, shares)
            if mean:
                self.planned += self.gradients.average(shares, mean)
        if mean and not mean.among:
            self.seen = [0.0] * self.comm.workers
        elif found.before and not mean:
            self.shift = self._messages(found.before)
        if self.states.mass:
            self.states.mass.keep()
            return True
        return self.shift is not None or bool(self.round.after)

    @torch.no_grad()
    def after(self) -> None:
        """Do what the round has after the local step: [4], then [5] or [6]."""
        if self.states.mass:
            self.states.mass.stretch()
        if self.shift is not None:
            self.states.add(self.shift)
            self.shift = None
        if self.round.after == (AllReduce("state"),):
            if self.round.gradients and not self.comm.alone:  # (groups know their own samples only)
                self.seen = self.comm.everyone(self.seen[self.comm.rank])
            self.planned += self.states.average(self.comm, self.seen)
            self.seen = [0.0] * self.comm.workers
        elif self.round.after:
            self.states.add(self._messages(self.round.after))

    @torch.no_grad()
    def _messages(self, ops: Sequence[Op]) -> State:
        """Return (A - I) times the states: [3]."""
        self.tally[0] += 1
        self.tally[1] += self.strategy.expands(ops)
        mixing = self.strategy.mixing(ops)
        if self.states.mass:
            mixing = self.states.mass.rows(mixing)
        table = {i: {**row, i: row.get(i, 0.0) - 1} for i, row in mixing.items()}
        all_sent(ops, table)
        self.planned += traffic(ops, self.comm.workers, size(self.states.rows()))
        return self.comm.combine(ops, self.states.all_rows(), table)

    @torch.no_grad()
    def consensus(self) -> dict[str, torch.Tensor]:
        """Return the state dict of the full model that stands for all."""
        return consensus.mean(self.states, self.comm, self.strategy.centre)

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Begin anew from a full model's state, on all workers."""
        self.states.load(state)
        if self.gradients.coder:
            self.gradients.coder.begin()

    @torch.no_grad()
    def distance(self) -> float | None:
        """Return how far the workers are from their mean."""
        return consensus.distance(self.states, self.comm)

    def state_dict(self) -> dict[str, Any]:
        """Return all that it takes to go on bitwise."""
        rounds, unstable = self.tally
        return {
            "members": self.members.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "strategy": {"rounds": rounds, "unstable": unstable},
            "centre": self.states.centre,
            "outer": self.states.outer and self.states.outer.state_dict(),
            "coder": self.gradients.coder and self.gradients.coder.state_dict(),
            "mass": self.states.mass and list(self.states.mass.each),
            "seen": self.seen,
            "bytes": [self.planned, self.comm.sent],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state, also from one of a release whose strategies kept counts."""
        self.members.load_state_dict(state["members"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.tally = [state["strategy"].get(k, 0) for k in ("rounds", "unstable")]
        self.seen, self.begun, self.gradients.early = list(state["seen"]), 0, None
        centre = state["centre"]
        self.states.centre = None if centre is None else {k: v.clone() for k, v in centre.items()}
        if self.states.outer:
            self.states.outer.load_state_dict(state["outer"])
        if self.gradients.coder:
            self.gradients.coder.load_state_dict(state.get("coder"))
        if self.states.mass:
            self.states.mass.load(state.get("mass"))
        self.planned, self.comm.sent = state["bytes"]


class Gradients:
    """The gradients of the workers here, and their mean over all samples of a step: [2]."""

    def __init__(self, members: Stacked | Looped, comm: Comm):
        self.members, self.comm, self.leaves = members, comm, members.leaves()
        self.early: list[int | None] | None = None  # the gradients that a backward has averaged
        self.coder: Coder | None = None  # what averages them in the codec of the strategy
        self.tolerant = False  # let gradients that are not finite through, and say whose they are
        self.broken: list[int] = []

    def done(self) -> bool:
        """Return whether a backward has averaged them already; asked once a step."""
        found = self.early is not None and self.early == self._which()
        self.early = None
        return found

    def _which(self) -> list[int | None]:
        """Identify the gradient tensors; changes made in place leave this the same."""
        return [None if p.grad is None else p.grad.data_ptr() for p in self.leaves]

    @torch.no_grad()
    def average(self, counts: Sequence[float], op: AllReduce, early: bool = False) -> float:
        """Give everybody the mean, None where nobody has any; returns the bytes of all.

        Args:
            counts: How much each worker counts.
            op: What the plan says of the mean: its codec, or its groups.
            early: At the end of a backward, and not at the step.
        """
        rows, reached = filled(self.members, everywhere=not self.comm.alone)
        self._silence(rows, counts)
        bad = [r for i, r in enumerate(self.comm.ranks) if self.tolerant and _broken(rows, i)]
        coder, nobody = self.coder if op.codec else None, list[str]()
        mean = self._mean(op)
        if self.comm.alone:
            means = mean(rows, counts)
        else:
            means, nobody, bad = self._with_header(mean, rows, counts, reached, bad)
        if coder:
            means = coder.settle(means, nobody, bad)
        for name, value in rows.items():
            value.copy_(means[name])
        self.members.put("gradients", rows)
        if nobody:
            self.members.drop_gradients(nobody)  # pyright: ignore
        self.broken = self.broken or bad
        self.early = self._which() if early else None
        if coder:
            return coder.sent(rows)
        whole = sum(value[0].nbytes for value in rows.values())
        return ring(self.comm.workers, op.among) * whole

    def _silence(self, rows: State, counts: Sequence[float]) -> None:
        """Set to zero what does not count (0 times NaN is NaN)."""
        for i, rank in enumerate(self.comm.ranks):
            if any(counts) and not counts[rank]:
                for value in rows.values():
                    value[i].zero_()

    def _mean(self, op: AllReduce) -> Callable[[State, Sequence[float]], State]:
        finite = not self.tolerant
        if op.codec and (coder := self.coder):
            return lambda rows, counts: coder.mean(rows, counts, finite=finite)
        return lambda rows, counts: self.comm.mean(rows, counts, finite=finite, among=op.among)

    def _with_header(
        self,
        mean: Callable[[State, Sequence[float]], State],
        rows: State,
        counts: Sequence[float],
        reached: set[str],
        bad: list[int],
    ) -> tuple[State, list[str], list[int]]:
        """Return the mean, names that no rank has, and whose gradients are not finite."""
        names = list(rows)
        if names:  # (others may have what is missing here)
            told = [float(k in reached) for k in names]
            told += [float(r in bad) for r in range(self.comm.workers)]
            rows = rows | {HEADER: rows[names[0]].new_tensor([told])}
        means = mean(rows, counts)
        shares = means.pop(HEADER)[0].tolist() if names else []
        nobody = [k for k, share in zip(names, shares, strict=False) if not share]
        return means, nobody, [r for r, share in enumerate(shares[len(names) :]) if share]


def asked(
    strategy: Strategy, comm: Comm, seed: int, step: int, last: Round, carries: tuple[type, ...]
) -> Round:
    """Return the round of a step, the same for all ranks; equal rounds are checked only once.

    Raises:
        ValueError: the round cannot end, or has an operation that this executor does not know.
    """
    found = strategy.plan(seed, step)
    if found is not last and found:
        check(found, comm.workers, strategy.centre)
        for op in (*found.before, *found.after):
            if not isinstance(op, carries):
                names = ", ".join(kind.__name__ for kind in carries)
                raise ValueError(
                    f"plan: {op} is nothing that workers who hold {strategy.holds} can do; they "
                    f"know {names} (set `holds` of {type(strategy).__name__})"
                )
            same_codec(op, strategy)
            _living(op, comm)
    if not comm.alone and found:
        comm.agree(step, found.digest())
    return found


def _living(op: Op, comm: Comm) -> None:
    """Refuse what cannot go on without a worker, where one may die."""
    if comm.elastic and isinstance(op, AllReduce) and (op.codec or op.among):
        raise ValueError(
            f"plan: {op} needs all workers, and this world goes on without those that died: take "
            "elastic=False"
        )


def _shares(strategy: Strategy, counts: Sequence[float]) -> Sequence[float]:
    """Return how much each worker counts: by its samples, or all alike."""
    return counts if strategy.weighted else [1.0] * len(counts)


def _more(seen: Sequence[float], counts: Sequence[float]) -> list[float]:
    return [a + b for a, b in zip(seen, counts, strict=True)]


def _broken(rows: State, i: int) -> bool:
    """Return whether a row has NaN or infinity."""
    return not all(bool(torch.isfinite(v[i]).all()) for v in rows.values())
