"""One stack and its members with the same numbers in memory: nothing is copied, nothing is stale.

    stack   weight (members, out, in)   | member 0 | member 1 | member 2 |
    nets[1].weight.data                            '----------'              a slice of it

An optimizer of the members' parameters changes the stack and the other way round. Moving, casting
or loading by assignment takes a member's numbers elsewhere, which `whole()` sees.
"""

from collections.abc import Sequence
from itertools import chain
from operator import getitem
from typing import Any

import torch
from torch import nn

from ensemble.together.places import found_in, tensors
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
        order = found_in(nets)
        held = [list(tensors(net)) for net in nets]
        own = list(tensors(self.stack))
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
            return self._addresses() == self._at and not (self._empty and self._filled())
        except (TypeError, KeyError):  # (nothing stands where a parameter was)
            return False

    def _filled(self) -> bool:
        return any(d.get(name) is not None for d, name in self._empty)

    def _addresses(self) -> list[int]:
        # (This runs in every call, over all members; so no line of Python for each of them.)
        held: Any = chain.from_iterable(map(VALUES, self._full))
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
