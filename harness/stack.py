"""Many modules of one kind as one module with a leading axis: seeds, members, workers.

    stack([a, b, c])(x)        x (3, batch, ...)  ->  (3, batch, ...)        slice i sees module i

Where all read one input, x.expand(3, ...), a first layer reads it in place and copies nothing.

A module may say how itself (`stack(cls, modules)`); Sequential goes inside; Linear is one batched
product; modules without parameters are used as they are where they act element by element; the
rest goes through vmap, and what vmap refuses through a loop.
"""

import inspect
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

ELEMENTWISE = (nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Identity, nn.Dropout)
FEW, MUCH = 4, 2**18  # samples up to which, weights from which on one wide product is faster
NO_VMAP = (nn.RNNBase, nn.RNNCellBase)  # torch has no batching rule for them


def stack(modules: Sequence[nn.Module]) -> nn.Module:
    """Return one module whose parameters, copied, carry a leading axis of len(modules)."""
    first = modules[0]
    kind = type(first)
    if any(type(m) is not kind for m in modules):
        names = ", ".join(sorted({type(m).__name__ for m in modules}))
        raise ValueError(f"only modules of one class can be stacked, got {names}")
    own = getattr(kind, "stack", None)
    if inspect.ismethod(own):  # (a class method; something else may be called so too)
        return own(modules)
    if kind is nn.Sequential:
        return nn.Sequential(*[stack(layers) for layers in zip(*modules, strict=True)])
    if kind is nn.Linear:
        return StackedLinear(modules)
    if kind in ELEMENTWISE:
        return first
    looped = any(isinstance(m, NO_VMAP) for m in first.modules())
    return Loop(modules) if looped else Vmapped(modules)


class StackedLinear(nn.Module):
    """Linear layers in one product: maps (members, batch, in) to (members, batch, out)."""

    def __init__(self, layers: Sequence[nn.Module]):
        super().__init__()
        self.weight = nn.Parameter(
            torch.stack([m.get_parameter("weight").detach() for m in layers])
        )
        biases = [m.bias.detach() for m in layers if isinstance(m.bias, torch.Tensor)]
        self.bias = nn.Parameter(torch.stack(biases).unsqueeze(2)) if biases else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Each member reads its own slice of x."""
        if self.by_one(x):
            return self._wide(x[0])
        if not self._by_rows(x):
            return self.columns(x.mT).mT
        rows = x, self.weight.mT
        return torch.bmm(*rows) if self.bias is None else torch.baddbmm(self.bias.mT, *rows)

    def columns(self, x: torch.Tensor) -> torch.Tensor:
        """Map (members, in, batch) to (members, out, batch).

        The gradient comes in the layout of the weight, uncopied; all layers answer in one layout.
        """
        bias = self.bias
        return torch.bmm(self.weight, x) if bias is None else torch.baddbmm(bias, self.weight, x)

    def by_one(self, x: torch.Tensor) -> bool:
        """Return whether one wide product, whose answers lie in strides, is faster than many."""
        if x.shape[1] > FEW or torch.is_grad_enabled():
            return False
        return is_one(x) and self.weight.numel() >= MUCH

    def _by_rows(self, x: torch.Tensor) -> bool:
        """Return whether the gradient of x shall have its layout, at the price of a copied one.

        What acts element by element before this layer is much slower on two layouts.
        """
        return x.requires_grad and x.stride(-1) == 1 and self.weight.shape[1] <= x.shape[1]

    def _wide(self, x: torch.Tensor) -> torch.Tensor:
        bias = None if self.bias is None else self.bias.flatten()
        y = nn.functional.linear(x, self.weight.flatten(0, 1), bias)
        return y.unflatten(-1, self.weight.shape[:2]).movedim(-2, 0)


class Vmapped(nn.Module):
    """Modules without data-dependent control flow, run at once by torch.func.vmap."""

    template: Any

    def __init__(self, modules: Sequence[nn.Module]):
        super().__init__()
        params, buffers = torch.func.stack_module_state(list(modules))  # pyright: ignore
        # (of a plain dict a ParameterDict would sort the names)
        self.params = nn.ParameterDict(OrderedDict((_key(k), v) for k, v in params.items()))
        for name, value in buffers.items():
            self.register_buffer(_key(name), value)
        self.names = list(params), list(buffers)
        self.members = len(modules)
        # Held outside the module tree: only its code is wanted, its parameters are stand-ins.
        object.__setattr__(self, "template", modules[0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Each member reads its own slice of x."""
        params = {k: self.params[_key(k)] for k in self.names[0]}
        buffers = {k: getattr(self, _key(k)) for k in self.names[1]}
        self.template.train(self.training)

        def one(p, b, slice_):
            return torch.func.functional_call(self.template, {**p, **b}, (slice_,))

        if not params and not buffers:
            return torch.vmap(self.template, randomness="different")(x)
        once = is_one(x)
        mapped = torch.vmap(one, randomness="different", in_dims=(0, 0, None if once else 0))
        return mapped(params, buffers, x[0] if once else x)


class Loop(nn.Module):
    """Modules that run one after the other, which is right for any module."""

    def __init__(self, modules: Sequence[nn.Module]):
        super().__init__()
        self.members = nn.ModuleList(modules)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Each member reads its own slice of x."""
        return torch.stack([m(part) for m, part in zip(self.members, x, strict=True)])


def is_one(x: torch.Tensor) -> bool:
    """Return whether all members read one input: their axis is expanded and takes no steps."""
    return x.ndim > 1 and len(x) > 1 and x.stride(0) == 0


def _key(name: str) -> str:
    return name.replace(".", "__")
