"""Gives every worker its slice of the mean of the gradients, unit by unit as a backward goes on.

    autograd brings a gradient                                                      [1]
    a unit has all of its own, and so have those after it: its parts go to owners   [2]
        they are freed; in their place stands a mark, which nobody can change       [3]
    the backward is over: what is left goes, then pieces get their gradients        [4]

Units go in one order on all ranks, the last first. Several backwards add up, as gradients do. The
mark is how an optimizer's `zero_grad` is noticed: where it is gone, the piece's gradient is, too.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from parallel.replicas.replicas import Stacked
from parallel.world.comm import HEADER, Comm, NotFinite, State, normal, refuse
from parallel.zero.layout import Part
from parallel.zero.marks import Marks
from parallel.zero.slices import Slices

Message = tuple[int, int]


class Reducer:
    """The gradients of the workers here.

    Args:
        slices: Their pieces, which get a gradient each.
        comm: Reaches the others.
        weighted: Count a worker by its samples.
    """

    tolerant, broken = False, ()  # (what is not finite is never sent)
    late = False  # whether gradients are kept until the backward is over
    doubt: Callable[[int], str] = staticmethod(lambda _: "")  # what else may not be finite, and why

    def __init__(self, slices: Slices, comm: Comm, weighted: bool):
        self.slices, self.comm = slices, comm
        self.weights: Callable[[], Sequence[float]] | None = None  # asked when a backward begins
        self.factor = 1.0  # of the mean; the number of workers where the loss is a sum
        self.freed: Callable[[int, int], Any] | None = None  # told of what was sent
        self.looked: Callable[[], Any] | None = None  # told when most is held
        self.early: list[int] | None = None  # backwards since the last step, or None
        self.marks, self.weighted = Marks(), weighted
        self.task, self.sent = -1, _Backward()
        self.listen()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "weights": None}  # (a copy is told by its own wrapper)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.listen()  # (a copy's parameters have lost their hooks)

    def listen(self) -> None:
        """Hear of every gradient: [1]."""
        for name in self.slices.layout.names:
            for slot, leaf in enumerate(self.slices.members.leaves_of(name)):
                leaf.register_hook(lambda _, leaf=leaf: self._coming(leaf))
                leaf.register_post_accumulate_grad_hook(
                    lambda _, name=name, slot=slot: self._reached(name, slot)
                )

    def _coming(self, leaf: nn.Parameter) -> None:
        """Make room for a gradient that adds to what its owners have."""
        if self.marks.on(leaf):
            leaf.grad = None
            self.sent.adding.add(leaf)

    def _reached(self, name: str, slot: int) -> None:
        task = torch._C._current_graph_task_id()
        if self.task != task:
            self._begin()
            self.task = task
            torch.autograd.Variable._execution_engine.queue_callback(self.finish)  # pyright: ignore
        self.sent.reached[slot].add(name)
        units = [] if self.late else self.slices.layout.units
        while units and (k := self.sent.next[slot]) >= 0 and self.sent.reached[slot] >= {*units[k]}:
            self._send(slot, k)

    def _begin(self) -> None:
        known = self.weights() if self.weights and self.weighted else [1.0] * self.comm.workers
        slots = 1 if isinstance(self.slices.members, Stacked) else self.slices.members.size
        shares = [self.factor * share for share in normal(known)]
        self.forget_cleared(self.sent.adding)
        self.sent = _Backward(shares, slots, len(self.slices.layout.units))

    def flush(self) -> None:
        """Do what a backward would have done, where none came on this rank."""
        self._begin()
        self.finish()

    @torch.no_grad()
    def finish(self) -> None:
        """Send what is left, and give pieces their gradients: [4]."""
        for slot in range(len(self.sent.next)):
            while self.sent.next[slot] >= 0:
                self._send(slot, self.sent.next[slot])
        for key, value in self.sent.sums.items():
            if self.sent.some[key]:
                piece = self.slices.pieces[key]
                piece.grad = value if piece.grad is None else piece.grad.add_(value)
        names = {part.name for (_, part), p in self.slices.pieces.items() if p.grad is not None}
        for name in names:
            for leaf in self.slices.members.leaves_of(name):
                self.marks.put(leaf)
        self.early = [*(self.early or []), self.task]
        self.task, self.sent = -1, _Backward()

    def forget_cleared(self, adding: Collection[nn.Parameter] = ()) -> None:
        """Forget gradients of pieces whose parameter has been cleared since."""
        for (i, part), piece in self.slices.pieces.items():
            if piece.grad is not None:
                leaf = self.slices.leaf(i, part.name)
                if leaf not in adding and not self.marks.on(leaf):
                    piece.grad = None

    @torch.no_grad()
    def _send(self, slot: int, unit: int) -> None:
        """Give a unit's gradients to their owners, and take those of the own pieces: [2]."""
        slices, comm, layout = self.slices, self.comm, self.slices.layout
        if self.looked:
            self.looked()
        self.sent.next[slot] = unit - 1
        here = range(comm.workers) if comm.alone and len(self.sent.next) == 1 else [slot]
        out: dict[Message, State] = {}
        for i in here:
            out |= self._messages(i, unit)
        for i in here:
            for name in layout.units[unit]:
                if not self.marks.on(leaf := slices.leaf(i, name)):
                    leaf.grad = None
            if self.freed:
                self.freed(i, unit)
        expect = {}
        if not comm.alone and (parts := layout.parts(comm.rank, unit)):
            room = _with_header(layout.empty(parts, slices.device()), [0.0] * len(parts))
            expect = {(k, comm.rank): room for k in range(comm.workers)}
        got = comm.wait(comm.post(out, expect))
        for (_, owner), values in sorted(got.items()):
            self._add(owner, unit, values)

    def _messages(self, i: int, unit: int) -> dict[Message, State]:
        """Return what a worker here has for the owners of a unit."""
        slices, layout, rank = self.slices, self.slices.layout, self.comm.ranks[i]
        weight = self.sent.shares[rank]
        values: State = {}
        for name in layout.units[unit]:
            leaf = slices.leaf(i, name)
            if leaf.grad is not None and not self.marks.on(leaf):
                values[name] = slices.gradient(i, name)
        reached = set(values)
        if weight:
            try:
                refuse({k: v.unsqueeze(0) for k, v in values.items()}, [rank])
            except NotFinite as error:
                raise NotFinite(f"{error}{self.doubt(i)}") from None
        scaled = {k: v * weight if weight else torch.zeros_like(v) for k, v in values.items()}
        for name in layout.units[unit]:
            if name not in scaled:
                scaled[name] = torch.zeros(
                    layout.sizes[name], dtype=layout.dtypes[name], device=slices.device()
                )
        found = {}
        for owner in range(self.comm.workers):
            if parts := layout.parts(owner, unit):
                told = [float(part.name in reached) for part in parts]
                found[rank, owner] = _with_header(layout.joined(parts, scaled), told)
        return found

    def _add(self, owner: int, unit: int, values: State) -> None:
        """Add what came to the sums of its owner, who is here."""
        layout, i = self.slices.layout, self.comm.ranks.index(owner)
        told = values[HEADER].tolist()
        sent = {k: v for k, v in values.items() if k != HEADER}
        rows = layout.split(layout.parts(owner, unit), sent)
        for (part, value), some in zip(rows, told, strict=True):
            self.sent.add((i, part), value, bool(some))

    def sums(self) -> Iterator[torch.Tensor]:
        """Yield what the first worker here has of the others' gradients, were it a process.

        That takes them when it gives its own; in one process others may have been there before.
        """
        done = {name for unit in self.slices.layout.units[self._given() :] for name in unit}
        yield from (
            value for (i, part), value in self.sent.sums.items() if not i and part.name in done
        )

    def _given(self) -> int:
        """Return the first of the units that the first worker here has given away."""
        return self.sent.next[0] + 1 if self.sent.next else 0


class _Backward:
    """What one backward has sent so far."""

    def __init__(self, shares: Sequence[float] = (), slots: int = 0, units: int = 0):
        self.shares = shares
        self.next = [units - 1] * slots  # the unit to be sent next, of each slot
        self.reached: list[set[str]] = [set() for _ in range(slots)]
        self.adding: set[nn.Parameter] = set()
        self.sums: dict[tuple[int, Part], torch.Tensor] = {}
        self.some: dict[tuple[int, Part], bool] = {}

    def add(self, key: tuple[int, Part], value: torch.Tensor, some: bool) -> None:
        """Add what a worker has for a piece, if it is more than zeros."""
        self.sums[key] = self.sums[key].add_(value) if key in self.sums else value.clone()
        self.some[key] = self.some.get(key, False) or some


def _with_header(values: State, told: list[float]) -> State:
    first = next(iter(values.values()))
    return values | {HEADER: first.new_tensor(told)}
