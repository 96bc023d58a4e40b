"""Trains members as one stack where that is the same as training each alone.

    found = stacked(nets)         a Stacked, or the reason why they have to be looped
    found.net(x)                  (members, batch, ...) -> (members, batch, classes)
    found.write()                 gives the nets what the stack has learned

What members cannot be a stack of at all is said in ensemble.together.alike.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ensemble.fit.task import Task
from ensemble.together.alike import difference
from ensemble.together.storage import Storage
from harness.train.stepping import by_element

NORMS = (nn.modules.batchnorm._BatchNorm,)


class Stacked:
    """A stack of copies of nets, which can give back what it learned.

    Args:
        nets: Members that can be stacked; `write` changes them.

    Raises:
        ValueError: a stack of them holds something else than their numbers.
    """

    def __init__(self, nets: Sequence[nn.Module]):
        self.nets = list(nets)
        # (copies, so that a member that is saved while it learns is not the slice of a stack)
        self._learners = copy.deepcopy(self.nets)
        self._storage = Storage(self._learners)
        self.net = self._storage.stack

    def mixed_by(self, task: Task) -> str:
        """Return why an optimizer would not step the stack as it steps each net; "" if it would."""
        one = task.made_optimizer(self._learners[0].parameters())
        every = task.made_optimizer(self.net.parameters())
        if not by_element(one):
            return f"{type(one).__name__}, or a hook of it, is not known to step number by number"
        held = self._storage
        own = {id(held.slices[k][0]): id(held.wholes[k]) for k in held.parameters}
        if _groups(one, own) != _groups(every, {whole: whole for whole in own.values()}):
            return "the optimizer tells parameters apart by their shape or place"
        return ""

    @torch.no_grad()
    def write(self) -> None:
        """Give the members the parameters of the stack."""
        for net, learner in zip(self.nets, self._learners, strict=True):
            for p, learned in zip(net.parameters(), learner.parameters(), strict=True):
                p.copy_(learned)


def _groups(optimizer: torch.optim.Optimizer, names: dict[int, int]) -> list[Any]:
    """Return the options of each group, and the names of what is in it."""
    return [
        (
            {name: value for name, value in group.items() if name != "params"},
            {names[id(p)] for p in group["params"] if id(p) in names},
        )
        for group in optimizer.param_groups
    ]


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
    if reason := difference(nets):
        return reason
    parts = [module for net in nets for module in net.modules()]
    if any(isinstance(module, NORMS) for module in parts):
        return "members have batch norm"
    if any("dropout" in type(module).__name__.lower() for module in parts):
        return "members have dropout, and each draws its own"
    if not all(p.requires_grad for net in nets for p in net.parameters()):
        return "members have parameters that are not trained"
    return ""
