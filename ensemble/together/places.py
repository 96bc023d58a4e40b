"""Finds out where a stack holds each number of its members.

A class may stack itself in any way, so nothing is taken from names: numbers are put into copies of
the members, and a stack of those is read.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from bibd.state import Patterned
from harness.stack import stack


def tensors(net: nn.Module) -> Iterator[tuple[dict[str, Any], str, torch.Tensor]]:
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
def found_in(nets: Sequence[nn.Module] | nn.ModuleList) -> list[int]:
    """Return at which place among the stack's tensors each tensor of a member is.

    Raises:
        ValueError: the stack does not hold each on a leading axis, or holds something else.
    """
    marked = [copy.deepcopy(net) for net in nets]
    g = torch.Generator().manual_seed(0)
    rows = list(zip(*(list(tensors(net)) for net in marked), strict=True))
    for row in rows:
        for *_, t in row:
            high = 10**6 if t.element_size() > 2 else 250  # (what a short type holds exactly)
            t.data = torch.randint(1, high, t.shape, generator=g).to(t)
    own = [t for *_, t in tensors(stack(marked))]
    order, left = [], dict(enumerate(own))
    for row in rows:
        parts = [t for *_, t in row]
        place = next((k for k, whole in left.items() if _is_stack(whole, parts)), None)
        if place is None:
            raise ValueError(
                f"a stack of {type(nets[0]).__name__} loops over some layers, or holds something "
                "else than its members' numbers, one member after the other"
            )
        del left[place]
        order.append(place)
    if left:
        raise ValueError(f"a stack of {type(nets[0]).__name__} holds numbers its members have not")
    return order


def _is_stack(whole: torch.Tensor, parts: list[torch.Tensor]) -> bool:
    if len(whole.shape) == 0 or len(whole) != len(parts) or whole[0].numel() != parts[0].numel():
        return False
    return all(torch.equal(w.view_as(p), p) for w, p in zip(whole, parts, strict=True))
