"""Shows what a strategy averages as rows: one for each worker here, and one for the centre.

rows()       {"params:0.weight": (workers here, ...), "optimizer_state:0.weight/exp_avg": ...}
put(rows)    the inverse
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from parallel.replicas.replicas import Looped, Stacked
from parallel.world.codecs import Codec
from parallel.world.comm import Comm, State, size

FULL = ("params", "float_buffers")  # what a full model's state says of a worker


class States:
    """The averaged tensors of the workers here; `centre` is the extra worker, where it lives."""

    def __init__(self, members: Stacked | Looped, average: Sequence[str], centre: bool):
        self.members, self.kinds, self.optimizer = members, average, None
        self.centre: State | None = None
        self.outer: Any = None  # whose step follows a mean (parallel.replicas.outer)
        self.mass: Any = None  # what each worker counts in the consensus (parallel.replicas.mass)
        if centre:
            self.centre = {k: v[0].clone() for k, v in self.rows().items()}

    def rows(self) -> State:
        """Return what is averaged, a row for each worker here."""
        return {
            f"{what}:{name}": value
            for what in self.kinds
            for name, value in self.members.get(what, self.optimizer).items()
            if value.is_floating_point() or value.is_complex()
        }

    def all_rows(self) -> State:
        """Return the rows with the centre as the last one, where it lives here."""
        if (centre := self.centre) is None:
            return self.rows()
        return {k: torch.cat([v, centre[k].unsqueeze(0)]) for k, v in self.rows().items()}

    def put(self, rows: State) -> None:
        """Write rows back (nothing moves where they were changed in place)."""
        for what in self.kinds:
            own = {k.split(":", 1)[1]: v for k, v in rows.items() if k.startswith(f"{what}:")}
            self.members.put(what, own, self.optimizer)

    def add(self, shift: State) -> None:
        """Move the workers here, and the centre where it lives here."""
        rows = self.rows()
        for name, change in shift.items():  # (before its first step an optimizer has no state)
            rows[name].add_(change[: self.members.size])
        self.put(rows)
        for name, value in (self.centre or {}).items():
            value.add_(shift[name][-1])

    def average(self, comm: Comm, counts: Sequence[float]) -> float:
        """Give everybody the mean by these counts; returns the bytes of all workers."""
        rows = self.rows()
        mean = comm.mean(rows, counts)
        for name, value in rows.items():
            value.copy_(mean[name])
        self.put(rows)
        if self.outer:
            self.outer.step()
        return 2 * (comm.workers - 1) * size(rows)

    @torch.no_grad()
    def load(self, state: State) -> None:
        """Give a full model's state to all workers here and to the centre."""
        for what in FULL:
            rows = self.members.get(what)
            for name, value in rows.items():
                if name in state:  # (a buffer may be left out of states)
                    value.copy_(state[name].expand_as(value))
            self.members.put(what, rows)
        for name, value in (self.centre or {}).items():
            value.copy_(state[name.split(":", 1)[1]])
        for kept in (self.outer, self.mass):
            if kept:
                kept.begin()

    def move(self, fn: Callable[[torch.Tensor], Any]) -> None:
        """Apply to the centre what the workers' own tensors went through."""
        if self.centre is not None:
            self.centre = {k: fn(v) for k, v in self.centre.items()}

    def size(self, sends: str | Codec) -> float:
        """Return the bytes that a worker sends at a time: "gradients" (in a codec), or "state"."""
        if sends == "state":
            return size(self.rows())
        every = [p for p in self.members.template.parameters() if p.requires_grad]
        if isinstance(sends, Codec):
            return sum(sends.size(p.shape, p.element_size()) for p in every)
        return sum(p.nbytes for p in every)
