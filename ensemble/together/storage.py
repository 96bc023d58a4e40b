"""One stack and its members with the same numbers in memory: nothing is copied, nothing is stale.

    stack   weight (members, out, in)   | member 0 | member 1 | member 2 |
    nets[1].weight.data                            '----------'              a slice of it

An optimizer of the members' parameters changes the stack and the other way round. Moving, casting
or loading by assignment takes a member's numbers elsewhere, which `whole()` sees.
"""

import copy
from collections.abc import Iterator, Sequence
from itertools import chain
from operator import getitem
from typing import Any

import torch
from torch import nn

from bibd.state import Patterned
from ensemble.together.straight import straight
from harness.stack import stack

VALUES, ADDRESS = dict.values, torch.Tensor.data_ptr


class Storage:
    """A stack of nets whose parameters and buffers become slices of its own.

    Raises:
        ValueError: the stack does not hold each number of the members on a leading axis.
    """

    def __init__(self, nets: Sequence[nn.Module] | nn.ModuleList):
        self.stack, self.members = stack(list(nets)), len(nets)
        order = _found_in(nets)
        held = [list(_tensors(net)) for net in nets]
        own = list(_tensors(self.stack))
        self.wholes = [own[place][2] for place in order]
        self.names = [[(d, name) for d, name, _ in row] for row in zip(*held, strict=True)]
        self.slices = [[t for *_, t in row] for row in zip(*held, strict=True)]
        for whole, row in zip(self.wholes, self.slices, strict=True):
            for part, t in zip(whole.detach(), row, strict=True):
                part.view_as(t).copy_(t.detach())
                t.data = part.view_as(t)
        self._places = [place for row in self.names for place in row]
        self._full, self._single = _holders(self._places)
        kinds = [d for net in nets for m in net.modules() for d in (m._parameters, m._buffers)]
        self._empty = [(d, name) for d in kinds for name, t in d.items() if t is None]
        self._at = self._addresses()
        self.ask = straight(self.stack)
        self.parameters = [k for k, w in enumerate(self.wholes) if isinstance(w, nn.Parameter)]
        self._own = [own[order[k]][:2] for k in self.parameters]

    def whole(self) -> bool:
        """Return whether the members' numbers still are slices of the stack's."""
        try:
            return self._addresses() == self._at and not self._filled()
        except (TypeError, KeyError):  # (nothing stands where a parameter was)
            return False

    def _filled(self) -> bool:
        return any(d.get(name) is not None for d, name in self._empty)

    def _addresses(self) -> list[int]:
        # (This runs in every call, over all members; so no line of Python for each of them.)
        held = chain.from_iterable(map(VALUES, self._full))
        if self._single:
            held = chain(held, map(getitem, *self._single))
        return list(map(ADDRESS, held))

    def foreign(self) -> bool:
        """Return whether somebody put other tensors in the place of parameters for a while."""
        held = [d.get(name) for d, name in self._places]
        mine = [t for row in self.slices for t in row]
        return any(
            isinstance(t, nn.Parameter) and not isinstance(now, nn.Parameter)
            for t, now in zip(mine, held, strict=True)
        )

    def trained(self) -> list[nn.Parameter]:
        """Return the stack's parameters, or none where it has some numbers in training only."""
        own = [self.wholes[k] for k in self.parameters]
        for whole, k in zip(own, self.parameters, strict=True):
            asked = {t.requires_grad for t in self.slices[k]}
            if len(asked) > 1:
                return []
            whole.requires_grad_(asked.pop())
        return [p for p in own if isinstance(p, nn.Parameter) and p.requires_grad]

    def gathered(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the stack answers, with gradients for the members' own parameters."""
        kept = [(d, name, d[name]) for d, name in self._own]
        try:
            for (d, name, whole), k in zip(kept, self.parameters, strict=True):
                d[name] = Gather.apply(whole.detach(), *self.slices[k])
            return self.ask(x)
        finally:
            for d, name, whole in kept:
                d[name] = whole


class Gather(torch.autograd.Function):
    """The whole of slices that lie in it already; its gradient goes to the slices."""

    @staticmethod
    def forward(ctx: Any, whole: torch.Tensor, *slices: torch.Tensor) -> torch.Tensor:
        """Return the whole."""
        ctx.shape = len(slices), *slices[0].shape
        return whole.detach()

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        """Return the gradient of each slice."""
        return None, *grads[0].reshape(ctx.shape).unbind(0)


def _holders(places: list[tuple[dict, str]]) -> tuple[list[dict], tuple[Any, ...]]:
    """Return dicts that hold nothing else than what is at these places, and the other places."""
    names: dict[int, set[str]] = {}
    for d, name in places:
        names.setdefault(id(d), set()).add(name)
    full = {id(d): d for d, _ in places if names[id(d)] == d.keys()}
    single = [(d, name) for d, name in places if id(d) not in full]
    return list(full.values()), tuple(zip(*single, strict=True))


def _tensors(net: nn.Module) -> Iterator[tuple[dict[str, Any], str, torch.Tensor]]:
    """Yield parameters and buffers with the place where their module holds them.

    Index tables of sparse layers are left out: a stack makes its own.
    """
    seen: set[int] = set()
    for module in net.modules():
        kinds: list[dict[str, Any]] = [module._parameters]
        if not isinstance(module, Patterned):
            kinds.append(module._buffers)
        for kind in kinds:
            for name, t in kind.items():
                if t is not None and id(t) not in seen:
                    seen.add(id(t))
                    yield kind, name, t


@torch.no_grad()
def _found_in(nets: Sequence[nn.Module] | nn.ModuleList) -> list[int]:
    """Return where the stack keeps each tensor of its members, seen from numbers put into copies.

    (A class may stack itself in any way; so nothing is taken from names.)
    """
    marked = [copy.deepcopy(net) for net in nets]
    g = torch.Generator().manual_seed(0)
    rows = list(zip(*(list(_tensors(net)) for net in marked), strict=True))
    for row in rows:
        for *_, t in row:
            high = 10**6 if t.element_size() > 2 else 250  # (what a short type holds exactly)
            t.data = torch.randint(1, high, t.shape, generator=g).to(t)
    own = [t for *_, t in _tensors(stack(marked))]
    order, left = [], dict(enumerate(own))
    for row in rows:
        tensors = [t for *_, t in row]
        place = next((k for k, whole in left.items() if _is_stack(whole, tensors)), None)
        if place is None:
            raise ValueError(f"a stack of {type(nets[0]).__name__} runs some layers in a loop")
        del left[place]
        order.append(place)
    if left:
        raise ValueError(f"a stack of {type(nets[0]).__name__} holds numbers its members have not")
    return order


def _is_stack(whole: torch.Tensor, parts: list[torch.Tensor]) -> bool:
    if len(whole.shape) == 0 or len(whole) != len(parts) or whole[0].numel() != parts[0].numel():
        return False
    return all(torch.equal(w.view_as(p), p) for w, p in zip(whole, parts, strict=True))
