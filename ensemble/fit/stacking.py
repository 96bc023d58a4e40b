"""Trains members as one stack where that is the same as training each alone.

    found = stacked(nets)         a Stacked, or the reason why they have to be looped
    found.net(x)                  (members, batch, ...) -> (members, batch, classes)
    found.write()                 gives the nets what the stack has learned

How a stack arranges what it copied is its own affair; it is found out by stacking members whose
parameters are numbers that count up, and reading where each number went.
"""

import copy
from collections.abc import Sequence

import torch
from torch import nn

from harness.stack import stack

NORMS = (nn.modules.batchnorm._BatchNorm,)


class Stacked:
    """A stack of copies of nets, which can give back what it learned.

    Args:
        nets: Members that can be stacked; `write` changes them.
    """

    def __init__(self, nets: Sequence[nn.Module]):
        self.nets = list(nets)
        self.net = stack([copy.deepcopy(net) for net in nets])
        self.places = _places(nets, self.net)

    @torch.no_grad()
    def write(self) -> None:
        """Give the members the parameters of the stack."""
        flat = self._flat()
        at = 0
        for net in self.nets:
            for p in net.parameters():
                p.copy_(flat[at : at + p.numel()].view_as(p))
                at += p.numel()

    def _flat(self) -> torch.Tensor:
        """Return the parameters of all members, one behind the other."""
        own = list(self.net.parameters())
        flat = own[0].new_empty(sum(p.numel() for n in self.nets for p in n.parameters()))
        for p, place in zip(own, self.places, strict=True):
            there = place > 0  # (0: a place that belongs to no member)
            flat[place[there] - 1] = p.detach()[there]
        return flat


def stacked(nets: Sequence[nn.Module]) -> Stacked | str:
    """Return a stack of these nets, or the reason why they are looped."""
    reason = refused(nets)
    if reason:
        return reason
    try:
        return Stacked(nets)
    except (ValueError, RuntimeError) as error:
        return f"they cannot be stacked ({str(error).splitlines()[0]})"


def refused(nets: Sequence[nn.Module]) -> str:
    """Return why a stack would not train these nets as each alone is trained; "" if it would."""
    if len({type(net) for net in nets}) > 1:
        return "members are of different classes"
    if len({_form(net) for net in nets}) > 1:
        return "members are of different shapes"
    parts = [module for net in nets for module in net.modules()]
    if any(isinstance(module, NORMS) for module in parts):
        return "members have batch norm"
    if any("dropout" in type(module).__name__.lower() for module in parts):
        return "members have dropout, and each draws its own"
    if not all(p.requires_grad for net in nets for p in net.parameters()):
        return "members have parameters that are not trained"
    return ""


def _form(net: nn.Module) -> tuple:
    return tuple((name, p.shape, p.dtype) for name, p in net.named_parameters())


@torch.no_grad()
def _places(nets: Sequence[nn.Module], net: nn.Module) -> list[torch.Tensor]:
    """Return for each parameter of the stack whose numbers it holds, counted from 1.

    Raises:
        RuntimeError: the stack does not hold each parameter exactly once.
    """
    marked, at = [], 1
    for each in copy.deepcopy(list(nets)):
        for p in each.parameters():
            p.data = torch.arange(at, at + p.numel(), dtype=torch.float64, device=p.device).view(
                p.shape
            )
            at += p.numel()
        marked.append(each)
    places = [p.detach().long() for p in stack(marked).parameters()]
    found = torch.cat([place[place > 0] for place in places]).sort().values
    same = [p.shape for p in net.parameters()] == [place.shape for place in places]
    if not same or not torch.equal(found.cpu(), torch.arange(1, at)):
        raise RuntimeError("a stack of them keeps something else than their parameters")
    return places
