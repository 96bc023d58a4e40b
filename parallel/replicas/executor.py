"""The workers here, their optimizer, their strategy, and the way to the others.

    before(seed, step, counts)      gradients are averaged, states are read
    (the local step)
    after(seed, step)               states are mixed

`counts`: samples of every worker in this step. Both the training loop and the one-line wrapper
drive this; the strategy says what happens.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch

from parallel.replicas.replicas import Looped, Stacked, float_buffers
from parallel.strategy.base import Strategy
from parallel.world.comm import HEADER, Comm, State, size
from parallel.world.ops import CENTRE, NOTHING, Op, Round, check, messages, traffic


class Executor:
    """Drives one strategy over the workers here."""

    def __init__(self, members: Stacked | Looped, optimizer: Any, strategy: Strategy, comm: Comm):
        self.members, self.optimizer, self.strategy, self.comm = members, optimizer, strategy, comm
        self.seed = self.step = 0
        self.current: Round = NOTHING
        self.shift: State | None = None
        self.centre: State | None = None
        self.planned = 0.0  # bytes of all workers together, by the plans
        self.seen = [0.0] * comm.workers  # samples since the last mean of states
        self.counts: list[float] = [1.0] * comm.workers
        self.tolerant = False  # let gradients that are not finite through, and say whose they are
        self.broken: list[int] = []
        self.early: list[int | None] | None = None  # the gradients that are averaged already
        self.begun = 0  # the last step that all ranks were asked about
        if strategy.centre and comm.rank == 0:
            self.centre = {k: v[0].clone() for k, v in self.state().items()}

    def begin(self, seed: int, step: int) -> None:
        """The plan of a step; the same for all ranks."""
        if self.begun == step:
            return
        self.seed, self.step, self.begun = seed, step, step
        self.current = self.strategy.plan(seed, step)
        if self.current:
            check(self.current, self.comm.workers, self.strategy.centre)
            self.comm.agree(step, self.current.digest())

    def before(self, seed: int, step: int, counts: Sequence[float]) -> None:
        """What the plan has before the local step."""
        self.begin(seed, step)
        self.counts = list(counts)
        if self.strategy.weighted:
            self.seen = [a + b for a, b in zip(self.seen, counts, strict=True)]
        if self.current.before:
            self._mix(self.current.before, "before")

    def after(self) -> None:
        """What the plan has after it."""
        if self.current.after or self.shift is not None:
            self._mix(self.current.after, "after")

    @torch.no_grad()
    def _mix(self, ops: Sequence[Op], when: str) -> None:
        self.strategy.mix(self, ops, when)

    def state(self) -> State:
        """What is averaged, with a row per worker here."""
        return {
            f"{what}:{name}": value
            for what in self.strategy.average
            for name, value in self.members.get(what, self.optimizer).items()
            if value.is_floating_point() or value.is_complex()
        }

    def state_size(self) -> float:
        """Bytes of what one worker would send."""
        if self.strategy.sends == "gradients":
            named = self.members.template.named_parameters()
            return sum(p.numel() * p.element_size() for _, p in named if p.requires_grad)
        return size(self.state()) if self.strategy.alike else 0.0

    def here(self) -> range:
        """Places of the workers here."""
        return range(self.members.size)

    @torch.no_grad()
    def load_all(self, state: State) -> None:
        """A full model's state, to all workers here and the centre."""
        for what in ("params", "float_buffers"):
            rows = self.members.get(what)
            for name, value in rows.items():
                if name in state:  # (a buffer may be left out of states)
                    value.copy_(state[name].expand_as(value))
            self.members.put(what, rows)
        for name, value in (self.centre or {}).items():
            value.copy_(state[name.split(":", 1)[1]])

    def put(self, state: State) -> None:
        """The inverse."""
        for what in self.strategy.average:
            own = {k.split(":", 1)[1]: v for k, v in state.items() if k.startswith(f"{what}:")}
            self.members.put(what, own, self.optimizer)

    def combine(self, ops: Sequence[Op], table: dict[int, dict[int, float]]) -> State:
        """Rows of table times the states."""
        sent = set(messages(ops))
        for i, row in table.items():
            for k in row:
                if k != i and (k, i) not in sent:
                    what = f"rows: {i} mixes in {k}, but the plan has no message from {k} to {i}"
                    raise ValueError(what)
        state = self.state()
        self.planned += traffic(ops, self.comm.workers, size(state))
        if self.centre is not None:
            state = {k: torch.cat([v, self.centre[k].unsqueeze(0)]) for k, v in state.items()}
        return self.comm.combine(ops, state, table)

    def add(self, shift: State) -> None:
        """Onto the states, and onto the centre where it lives here."""
        state = self.state()
        for name, change in shift.items():  # (before its first step an optimizer has no state)
            state[name].add_(change[: self.members.size])
        self.put(state)
        for name, value in (self.centre or {}).items():
            value.add_(shift[name][-1])

    def average_state(self) -> None:
        """Everybody gets the mean, by samples."""
        state = self.state()
        self.planned += 2 * (self.comm.workers - 1) * size(state)
        mean = self.comm.mean(state, self.seen)
        for name, value in state.items():
            value.copy_(mean[name])
        self.put(state)
        self.seen = [0.0] * self.comm.workers

    def average_gradients(self) -> None:
        """The mean over all samples of this step; not again where a backward has done it."""
        if self.early is None or self.early != self._which():
            self._average_gradients()
        self.early, self.seen = None, [0.0] * self.comm.workers

    @torch.no_grad()
    def average_early(self, counts: Sequence[float]) -> None:
        """Before the step."""
        self.counts = list(counts)
        self._average_gradients()
        self.early = self._which()

    def _which(self) -> list[int | None]:
        """Which tensors the gradients are; what changes them in place leaves them the same."""
        return [None if p.grad is None else p.grad.data_ptr() for p in self.members.leaves()]

    def _average_gradients(self) -> None:
        """None where nobody has any."""
        counts = self.counts if self.strategy.weighted else [1.0] * self.comm.workers
        reached = self.members.get("gradients")
        self.members.fill_gradients(everywhere=not self.comm.alone)
        rows = self.members.get("gradients")
        self.planned += 2 * (self.comm.workers - 1) * size(rows)
        for i, rank in enumerate(self.comm.ranks):
            if any(counts) and not counts[rank]:  # (0 times NaN is NaN)
                for value in rows.values():
                    value[i].zero_()
        bad = [r for i, r in enumerate(self.comm.ranks) if self.tolerant and _broken(rows, i)]
        if self.comm.alone:
            mean, nobody = self.comm.mean(rows, counts, finite=not self.tolerant), []
        else:
            mean, nobody, bad = self._with_header(rows, counts, set(reached), bad)
        self.members.put("gradients", _over(rows, mean))
        if nobody:
            self.members.drop_gradients(nobody)  # pyright: ignore
        self.broken = self.broken or bad

    def _with_header(
        self, rows: State, counts: Sequence[float], reached: set[str], bad: list[int]
    ) -> tuple[State, list[str], list[int]]:
        """The mean; which names no rank has; whose gradients are not finite."""
        names = list(rows)
        if names:  # (others may have what is missing here)
            told = [float(k in reached) for k in names]
            told += [float(r in bad) for r in range(self.comm.workers)]
            rows = rows | {HEADER: rows[names[0]].new_tensor([told])}
        mean = self.comm.mean(rows, counts, finite=not self.tolerant)
        shares = mean.pop(HEADER)[0].tolist() if names else []
        nobody = [k for k, share in zip(names, shares, strict=False) if not share]
        return mean, nobody, [r for r, share in enumerate(shares[len(names) :]) if share]

    @torch.no_grad()
    def consensus(self) -> dict[str, torch.Tensor]:
        """The state dict of the model that the workers agree on."""
        return self.strategy.consensus(self)

    @torch.no_grad()
    def mean(self) -> dict[str, torch.Tensor]:
        """Mean parameters and running statistics, worker 0's counters; or the centre."""
        found = dict(self.members.template.state_dict()) | self.members.counters()
        rows = self.members.get("params") | self.members.get("float_buffers")
        mean = self.comm.mean(rows, [1.0] * self.comm.workers, counted=False)
        found |= {k: v[0].clone() for k, v in mean.items() if k in found}
        if self.strategy.centre:
            centre = {k.split(":", 1)[1]: v for k, v in (self.centre or {}).items()}
            found |= {k: v.clone() for k, v in self._from_0(centre, rows).items() if k in found}
        return found | {k: found[first] for k, first in self._aliases().items() if k in found}

    def _aliases(self) -> dict[str, str]:
        """Further names of shared weights, and the first name of each."""
        firsts: dict[int, str] = {}
        every = self.members.template.named_parameters(remove_duplicate=False)
        return {k: firsts[id(p)] for k, p in every if firsts.setdefault(id(p), k) != k}

    def _from_0(self, own: State, like: State) -> State:
        """What rank 0 has, on every rank."""
        kept = {w.split(":", 1)[0] for w in self.strategy.average}
        names = [k for what in kept for k in self.members.get(what, self.optimizer)]
        here, size = self.comm.rank, self.comm.workers
        out = {(0, r): own for r in range(size)} if here == 0 else {}
        expect = {(0, here): {k: like[k][0] for k in names if k in like}}
        return self.comm.wait(self.comm.post(out, expect, counted=False))[0, here]

    @torch.no_grad()
    def distance(self) -> float:
        """Root of the mean over the workers of |w_i - mean|^2."""
        rows = self.members.get("params")
        mean = self.comm.mean(rows, [1.0] * self.comm.workers, counted=False)
        own = sum(float((rows[k] - mean[k]).double().square().sum()) for k in rows)
        each = self.comm.everyone(own)
        return math.sqrt(sum(each) / (self.comm.workers if self.comm.alone else len(each)))

    def state_dict(self) -> dict[str, Any]:
        """Everything, to go on bitwise."""
        return {
            "members": self.members.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "strategy": self.strategy.state_dict(),
            "centre": self.centre,
            "seen": self.seen,
            "bytes": [self.planned, self.comm.sent],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse."""
        self.members.load_state_dict(state["members"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.strategy.load_state_dict(state["strategy"])
        self.seen, self.begun, self.early = list(state["seen"]), 0, None
        centre = state["centre"]
        self.centre = None if centre is None else {k: v.clone() for k, v in centre.items()}
        self.planned, self.comm.sent = state["bytes"]


@torch.no_grad()
def share(model: torch.nn.Module, comm: Comm) -> None:
    """Rank 0's weights and running statistics, for this rank's model."""
    if comm.alone:
        return
    own = {k: p.detach() for k, p in model.named_parameters()} | float_buffers(model)
    out = {(0, r): own for r in range(comm.workers)} if comm.rank == 0 else {}
    got = comm.wait(comm.post(out, {(0, comm.rank): own}, counted=False))
    for name, value in got[0, comm.rank].items():
        own[name].copy_(value)


def _broken(rows: State, i: int) -> bool:
    """Whether a row has NaN or infinity."""
    return not all(bool(torch.isfinite(v[i]).all()) for v in rows.values())


def _over(rows: State, mean: State) -> State:
    for name, value in rows.items():
        value.copy_(mean[name])
    return rows


__all__ = ["CENTRE", "Executor"]
