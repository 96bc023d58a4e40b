"""The gradients of the workers here, and their mean over all samples of a step."""

from collections.abc import Callable, Sequence

import torch

from parallel.replicas.coded import Coder
from parallel.replicas.replicas import Looped, Stacked, filled
from parallel.world.comm import HEADER, Comm, State
from parallel.world.ops import AllReduce


class Gradients:
    """Averages them once a step, at the end of a backward or at the step."""

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
        each = op.among or self.comm.workers
        rings = 2 * (each - 1) * (self.comm.workers // each)
        return rings * sum(value[0].nbytes for value in rows.values())

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


def _broken(rows: State, i: int) -> bool:
    """Return whether a row has NaN or infinity."""
    return not all(bool(torch.isfinite(v[i]).all()) for v in rows.values())
