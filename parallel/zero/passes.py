"""Lends every unit its weights while it is computed, forward and backward: what zero3 does.

    forward of a unit     gathered from all slices; freed as soon as it is over               [1]
    gradient of its       gathered again                                                      [2]
    output
    its gradients left    freed                                                               [3]

Between, a parameter is one NaN in memory, of the shape that it had. What autograd keeps of weights
for the backward is not kept but noted, and looked up in what was gathered then. Whoever reads a
weight while its unit is not computed, and so that NaN, is told: at once where autograd keeps it,
else as soon as a gradient is NaN.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from parallel.world.comm import Comm, State
from parallel.zero.layout import Flats
from parallel.zero.slices import Slices

Place = tuple[int, int]  # a worker here, and a unit
RULE = "under zero3 weights are there only while the module is called that they are a part of"


class Note(NamedTuple):
    """A view of gathered weights, of which autograd keeps only this."""

    place: Place
    name: str
    size: torch.Size
    stride: tuple[int, ...]
    offset: Any  # in memory of its own


class Passes:
    """Hooks around the units of the models here.

    Args:
        models: The models, whose units' modules get hooks.
        units: Their names, in the order of the layout's units.
    """

    slices: Slices
    comm: Comm

    def __init__(self, models: list[nn.Module], units: list[str]):
        self.names, self.held = units, dict[Place, Flats]()
        self.where: dict[int, tuple[Place, str]] = {}  # memory of what is held
        self.away: dict[int, str] = {}  # memory of what stands for the others
        self.opened: list[Any] = []  # noting, in units within units
        self.times: Counter[Place] = Counter()  # gathered, in this step
        for i, model in enumerate(models):
            for u, name in enumerate(units):
                module = model.get_submodule(name)
                module.register_forward_pre_hook(partial(self._begins, i, u))
                module.register_forward_hook(partial(self._ends, i, u), always_call=True)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "away": {}}  # (a copy's memory is elsewhere)

    def attach(self, slices: Slices, comm: Comm) -> None:
        """Free the weights of the models here."""
        self.slices, self.comm = slices, comm
        self.rest()

    def rest(self) -> None:
        """Free all weights."""
        self.away.clear()
        for i in range(len(self.slices.ranks)):
            for u in range(len(self.slices.layout.units)):
                self.free(i, u)

    def _begins(self, i: int, u: int, *_: Any) -> None:
        """Gather for the forward: [1]."""
        noting = contextlib.nullcontext()
        if torch.is_grad_enabled():
            noting = torch.autograd.graph.saved_tensors_hooks(self._noted, self._found)
        noting.__enter__()
        self.opened.append(noting)
        self.gather(i, u)

    def _ends(self, i: int, u: int, module: nn.Module, args: Any, out: Any) -> None:
        self.opened.pop().__exit__(None, None, None)
        self.free(i, u)
        for value in tree_leaves(out):
            if isinstance(value, torch.Tensor) and value.requires_grad:
                value.register_hook(lambda _: self.gather(i, u))  # [2]

    def _noted(self, saved: torch.Tensor) -> Any:
        if saved.layout is not torch.strided:
            return saved
        memory = saved.untyped_storage().data_ptr()
        if name := self.away.get(memory):
            raise ValueError(
                f"{name} was read while its module was not being called: {RULE}. Call the module "
                "itself (net(x), not net.forward(x)); two modules that use one weight both have "
                "to hold it (self.head.weight = self.emb.weight); or take zero2"
            )
        found = self.where.get(memory)
        if found is None:
            return saved
        return Note(*found, saved.size(), saved.stride(), saved.storage_offset())

    def _found(self, kept: Any) -> torch.Tensor:
        if type(kept) is not Note:
            return kept
        self.gather(*kept.place)
        return self.held[kept.place][kept.name].as_strided(kept.size, kept.stride, kept.offset)

    @torch.no_grad()
    def gather(self, i: int, u: int, counted: bool = True) -> None:
        """Bring a unit of a worker here together, if it is not."""
        if (i, u) in self.held:
            return
        slices, layout = self.slices, self.slices.layout
        whole = self.held[i, u] = {
            name: torch.empty(layout.sizes[name], dtype=layout.dtypes[name], device=slices.device())
            for name in layout.units[u]
        }
        for k, came in enumerate(self._pieces(i, u, counted)):
            for part, value in layout.split(layout.parts(k, u), came):
                whole[part.name][part.begin : part.end] = value
        self.times[i, u] += counted
        for name, value in whole.items():
            leaf = self._leaf(i, name)
            leaf.data = value.as_strided(leaf.shape, slices.strides[name])
            if value.numel():  # (without numbers there is no memory)
                self.where[value.untyped_storage().data_ptr()] = (i, u), name

    def _pieces(self, i: int, u: int, counted: bool) -> list[Flats]:
        """Return each worker's part of a unit, by dtype."""
        comm, layout = self.comm, self.slices.layout
        rank, every = comm.ranks[i], range(comm.workers)
        out: dict[tuple[int, int], State] = {}
        expect: dict[tuple[int, int], State] = {}
        mine = _own(self.slices, i, u)
        if comm.alone:
            out = {(k, rank): own for k in every if k != rank and (own := _own(self.slices, k, u))}
        else:
            out = {(rank, k): mine for k in every if k != rank and mine}
            room = {k: layout.empty(layout.parts(k, u), self.slices.device()) for k in every}
            expect = {(k, rank): like for k, like in room.items() if k != rank and like}
        got = comm.wait(comm.post(out, expect, counted))
        return [mine if k == rank else got.get((k, rank), {}) for k in every]

    @torch.no_grad()
    def free(self, i: int, u: int) -> None:
        """Leave of a unit's weights their shapes: [1] and [3]."""
        for value in self.held.pop((i, u), {}).values():
            self.where.pop(value.untyped_storage().data_ptr(), None)
        for name in self.slices.layout.units[u]:
            leaf = self._leaf(i, name)
            one = torch.full((), float("nan"), dtype=leaf.dtype, device=leaf.device)
            leaf.data = one.expand(leaf.shape)
            self.away[one.untyped_storage().data_ptr()] = name

    def _leaf(self, i: int, name: str) -> nn.Parameter:
        """Return a parameter that is about to have other memory."""
        leaf = self.slices.leaf(i, name)
        self.away.pop(leaf.untyped_storage().data_ptr(), None)
        return leaf

    def doubt(self, i: int) -> str:
        """Return what a worker's gradients that are not finite may come from."""
        idle = [k for u, k in enumerate(self.names) if not self.times[i, u] and k]
        never = f" (in this step {', '.join(idle)} was not called)" if idle else ""
        return f". Or a weight was read elsewhere: {RULE}{never}. Take zero2 to find out"

    def even(self) -> None:
        """Count for workers without samples what they would have sent and got in processes."""
        for u in range(len(self.slices.layout.units)) if self.comm.alone else ():
            most = max(self.times[i, u] for i in range(self.comm.workers))
            for i in range(self.comm.workers):
                for _ in range(most - self.times[i, u]):
                    self.gather(i, u)
                    self.free(i, u)
        self.times.clear()

    @contextlib.contextmanager
    def everything(self) -> Iterator[None]:
        """Have all weights of the workers here at once, to look at or to write into."""
        for i in range(len(self.slices.ranks)):
            for u in range(len(self.slices.layout.units)):
                self.gather(i, u, counted=False)
        try:
            yield
        finally:
            self.rest()


def _own(slices: Slices, i: int, u: int) -> Flats:
    """Return what a worker here owns of a unit."""
    parts = slices.layout.parts(slices.ranks[i], u)
    return slices.layout.grouped((p, slices.pieces[i, p].detach()) for p in parts)


@torch.no_grad()
def refill(slices: Slices) -> None:
    """Take the own slices from what the models hold now."""
    for (i, part), piece in slices.pieces.items() if slices.apart else ():
        piece.copy_(slices.values(i, part.name)[part.begin : part.end])
