"""Cutting a batch into shares, and joining what comes out, with gradients.

scatter(inputs, 4)        four (samples, inputs); shares differ by one sample at most
gather([(factor, out)])   joined along the batch; the backward multiplies each share's gradient
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn


def length(inputs: Any, dim: int = 0) -> int:
    """Samples of the first tensor in there.

    Raises:
        ValueError: there is none.
    """
    tensors = _tensors(inputs)
    if not tensors:
        raise ValueError("no tensor among the inputs: nothing tells how large the batch is")
    if tensors[0].dim() <= dim:
        raise ValueError(f"dim={dim}, but the batch has shape {tuple(tensors[0].shape)}")
    return tensors[0].shape[dim]


def scatter(
    inputs: Any, parts: int, dim: int = 0, most: int | None = None
) -> list[tuple[int, Any]]:
    """Tensors of the batch's length are cut, for `most` of the parts; all else goes to all."""
    whole, some = length(inputs, dim), min(parts, most or parts)
    sizes = [(whole // some + (i < whole % some)) * (i < some) for i in range(parts)]
    starts = [sum(sizes[:i]) for i in range(parts)]
    return [
        (n, _map(inputs, lambda t, s=start, n=n: _cut(t, dim, whole, s, n)))
        for start, n in zip(starts, sizes, strict=True)
    ]


def _cut(tensor: torch.Tensor, dim: int, whole: int, start: int, n: int) -> torch.Tensor:
    same = tensor.dim() > dim and tensor.shape[dim] == whole
    return tensor.narrow(dim, start, n) if same else tensor


def gather(outputs: Sequence[tuple[float, Any]], dim: int, device: Any = None) -> Any:
    """One output of the whole batch.

    Raises:
        ValueError: a replica gave something that cannot be joined.
    """
    factors, values = zip(*outputs, strict=True)
    first = values[0]
    if isinstance(first, torch.Tensor):
        if first.dim() <= dim:
            raise ValueError(
                f"a replica returned a tensor of shape {tuple(first.shape)}, with no batch axis "
                f"{dim} to join along: compute the loss outside of the wrapped model"
            )
        scaled = [Scale.apply(v, f) for v, f in zip(values, factors, strict=True)]
        return torch.cat([v.to(device or v.device) for v in scaled], dim)  # pyright: ignore
    if isinstance(first, dict):
        keys = {k: [(f, v[k]) for f, v in zip(factors, values, strict=True)] for k in first}
        return type(first)(**{k: gather(v, dim, device) for k, v in keys.items()})
    if isinstance(first, tuple | list):
        columns = [list(zip(factors, c, strict=True)) for c in zip(*values, strict=True)]
        joined = [gather(column, dim, device) for column in columns]
        return type(first)(*joined) if hasattr(first, "_fields") else type(first)(joined)
    if all(v is None for v in values):
        return None
    raise ValueError(f"a replica returned a {type(first).__name__}, which cannot be joined")


def rescale(inputs: Any, factor: float) -> Any:
    """The same inputs, whose gradients are multiplied."""
    return _map(inputs, lambda t: Scale.apply(t, factor) if t.requires_grad else t)


class Scale(torch.autograd.Function):
    """The identity, whose gradient is multiplied."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, factor: float) -> torch.Tensor:  # noqa: D102
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:  # noqa: D102  # pyright: ignore
        return grad * ctx.factor, None


def _map(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, dict):
        return {k: _map(v, change) for k, v in value.items()}
    if isinstance(value, tuple | list):
        mapped = [_map(v, change) for v in value]
        return type(value)(*mapped) if hasattr(value, "_fields") else type(value)(mapped)
    return value


def _tensors(value: Any) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    _map(value, lambda t: (found.append(t), t)[1])
    return [t for t in found if t.dim()]


def to_its_place(values: Any, replica: nn.Module) -> Any:
    """Inputs to where a replica lives."""
    place = next((p.device for p in replica.parameters()), torch.device("cpu"))
    move = lambda v: v.to(place) if isinstance(v, torch.Tensor) else v  # noqa: E731
    if isinstance(values, dict):
        return {k: move(v) for k, v in values.items()}
    return tuple(move(v) for v in values)
