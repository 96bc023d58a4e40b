"""Runs layers on weights that are not their own: torch.func.functional_call, by a shorter way.

Where layers only read their parameters by name, putting other tensors under these names is enough,
and takes a tenth of the time. Recurrent layers hold lists of their weights, and parametrised ones
make them from others: those go through functional_call.
"""

from collections.abc import Mapping

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.utils import parametrize


class Placed:
    """Calls a module on weights by name.

    Args:
        module: The layers; its own parameters stay what they are.
    """

    def __init__(self, module: nn.Module):
        self.module = module
        names = {id(p): name for name, p in module.named_parameters()}
        self.slots = [
            (m._parameters, key, names[id(p)])
            for m in module.modules()
            for key, p in m._parameters.items()
            if p is not None
        ]
        self.plain = not any(
            isinstance(m, nn.RNNBase | torch.jit.ScriptModule) or parametrize.is_parametrized(m)
            for m in module.modules()
        )

    def __call__(self, weights: Mapping[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """The module's outputs, with these weights."""
        if not self.plain:
            return functional_call(self.module, dict(weights), (x,))
        own = [slot[key] for slot, key, _ in self.slots]
        try:
            for slot, key, name in self.slots:
                slot[key] = weights[name]  # pyright: ignore[reportArgumentType]
            return self.module(x)
        finally:
            for (slot, key, _), p in zip(self.slots, own, strict=True):
                slot[key] = p
