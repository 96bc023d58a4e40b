"""Says why members cannot be one stack: what differs between them besides their numbers.

A stack runs the code of the first member for all, so a slope, a dropout rate or a function that
another member has would be lost without a word. Modules that say themselves how they are stacked
(the stack protocol: sparse layers, whose designs may differ) are believed, where they are leaves.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from bibd.state import Patterned

OWN = {*vars(nn.Module())}  # what every module has


def difference(nets: Sequence[nn.Module] | nn.ModuleList) -> str:
    """Return why these members cannot be stacked, or nothing."""
    names = list(dict.fromkeys(type(net).__name__ for net in nets))
    if len({type(net) for net in nets}) > 1:
        return f"members are of different classes: {', '.join(names)}"
    if len(list(_parameters(nets))) != len({id(p) for p in _parameters(nets)}):
        return "members share parameters"
    first = list(nets[0].named_modules())
    for member, net in enumerate(nets[1:], 1):
        other = list(net.named_modules())
        if [(n, type(m)) for n, m in first] != [(n, type(m)) for n, m in other]:
            return f"member {member} has other layers than member 0"
        for (name, a), (_, b) in zip(first, other, strict=True):
            if what := _attribute(a, b):
                where = f"{name} ({type(a).__name__})" if name else type(a).__name__
                return f"members 0 and {member} differ in {what} of {where}"
    return ""


def _parameters(nets: Sequence[nn.Module] | nn.ModuleList):
    return (p for net in nets for p in net.parameters())


def _attribute(a: nn.Module, b: nn.Module) -> str:
    """Return the name of something that two modules do not have alike."""
    if inspect.ismethod(getattr(type(a), "stack", None)) and not a._modules:
        return ""
    if vars(a).keys() != vars(b).keys():
        return "their attributes"
    for name in vars(a).keys() - OWN:
        if not _same(vars(a)[name], vars(b)[name]):
            return name
    for name, p in a._parameters.items():
        q = b._parameters.get(name)
        if (p is None) != (q is None) or (p is not None and not _same_kind(p, q)):
            return name
    return ""


def _same_kind(p: Any, q: Any) -> bool:
    return (p.shape, p.dtype, p.device) == (q.shape, q.dtype, q.device)


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if type(a) is not type(b) or isinstance(a, torch.Tensor):
        return False
    try:
        return bool(a == b)
    except (ValueError, RuntimeError, TypeError):  # (arrays have no single answer)
        return False


def writes(module: nn.Module) -> bool:
    """Return whether a module keeps something from each call in training, as batch norm does."""
    if isinstance(module, _NormBase):
        return module.track_running_stats
    return bool(module._buffers) and not isinstance(module, Patterned)
