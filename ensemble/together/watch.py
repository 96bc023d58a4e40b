"""Sees in every call what members do now that a stack of them would not: modes, hooks, statistics.

This runs before each answer, so what can be listed once is listed once.
"""

from collections.abc import Sequence
from operator import attrgetter

import torch
from torch import nn

from bibd import BibdLinear, RandomSparseLinear, SparseLinear
from bibd.kernels import modes
from ensemble.together.alike import writes

# In training and in eval mode these do the same (so that fewer are asked in each call).
CALM = {
    *(nn.Sequential, nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Flatten, nn.Identity),
    *(nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.MaxPool2d, nn.AvgPool2d),
    *(SparseLinear, BibdLinear, RandomSparseLinear),
}
MODE = attrgetter("training")


class Watch:
    """The modules of all members, under observation.

    Args:
        nets: The members.
    """

    def __init__(self, nets: Sequence[nn.Module] | nn.ModuleList):
        modules = [m for net in nets for m in net.modules()]
        self.first = modules[0]
        self._moody = [m for m in modules if type(m) not in CALM]
        self._hooks = [d for m in modules for d in (m._forward_hooks, m._forward_pre_hooks)]
        self._hooks_back = [d for m in modules for d in (m._backward_hooks, m._backward_pre_hooks)]
        self._writers = [m for m in modules if writes(m)]

    def hindrance(self) -> str:
        """Return why this call is looped; or nothing."""
        if not modes.quiet():
            return "torch transforms, compiles or casts this call"
        mode = self.first.training
        if self._moody and list(map(MODE, self._moody)).count(mode) < len(self._moody):
            return "some modules are in training and others not"
        if any(self._hooks) or (torch.is_grad_enabled() and any(self._hooks_back)):
            return "hooks watch modules of the members"
        if mode and self._writers:
            return f"{type(self._writers[0]).__name__} in training keeps statistics of its calls"
        return ""
