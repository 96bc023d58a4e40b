"""Cuts a batch into shares, one for each replica, and joins what comes out, with gradients.

scatter(inputs, 4)        four (samples, inputs); shares differ by one sample at most
gather([(factor, out)])   joined along the batch; the backward multiplies each share's gradient

The loss is assumed to be a mean over the batch; the gather's backward gives each replica the
gradient of the mean over its own samples, so the learning rate means what it does without.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from harness.names import kind_of
from harness.nets.dropout import KeyedDropout


def length(inputs: Any, dim: int = 0) -> int:
    """Return the samples of the first tensor in there.

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
    """Cut tensors of the batch's length for `most` of the parts; all else goes to all."""
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
    """Join the outputs of the replicas into one output of the whole batch.

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
    raise ValueError(f"a replica returned {kind_of(first)}, which cannot be joined")


def rescale(inputs: Any, factor: float) -> Any:
    """Return the same inputs, whose gradients are multiplied."""
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
    """Move inputs to where a replica lives."""
    place = next((p.device for p in replica.parameters()), torch.device("cpu"))
    move = lambda v: v.to(place) if isinstance(v, torch.Tensor) else v  # noqa: E731
    if isinstance(values, dict):
        return {k: move(v) for k, v in values.items()}
    return tuple(move(v) for v in values)


class Scattered(nn.Module):
    """Replicas of a model. In one process it holds all of them; under torchrun one.

    In training each replica takes its share of the batch; in eval() `module` answers for all of it.
    """

    module: Any  # what answers in eval(); whoever inherits says what it is
    heard: set[int]  # parameters whose backward is heard, by identity

    def __init__(self, models: list[nn.Module], ranks: list[int], seed: int, dim: int):
        super().__init__()
        self.replicas, self.dim, self.steps = nn.ModuleList(models), dim, 0
        self.counts = [0] * len(models)  # samples of each replica since they were last told
        self.devices: list[torch.device] = []
        self.output_device: Any = None
        self.reduction = "mean"  # of the user's loss
        self.judged = False  # whether eval() answered last, with gradients on
        self.keyed = [[m for m in r.modules() if isinstance(m, KeyedDropout)] for r in models]
        for rank, layers in zip(ranks, self.keyed, strict=True):
            for layer in layers:
                layer.seed, layer.workers = seed, (rank,)
        self.normed = any(isinstance(m, nn.BatchNorm1d) for m in models[0].modules())

    def listen(self) -> None:
        """Hear the backwards of parameters that have a gradient to come from now on."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Give each replica its share in training; in eval the consensus answers for all."""
        if not self.training:
            self.judged = torch.is_grad_enabled()
            return self.module(*args, **kwargs)
        self.judged = False
        if any(p.requires_grad and id(p) not in self.heard for p in self.parameters()):
            self.listen()  # (some may have been frozen before)
        for layers in self.keyed:
            for layer in layers:
                layer.step = self.steps + 1
        n = length((args, kwargs), self.dim)
        if len(self.replicas) == 1 or n == 0:
            self.counts[0] += n * torch.is_grad_enabled()
            return self._first(args, kwargs)
        # (a batch norm of features refuses a single sample: some replicas then sit out)
        most = max(1, n // 2) if self.normed else len(self.replicas)
        parts = scatter((args, kwargs), len(self.replicas), self.dim, most)
        whole, outputs = sum(n for n, _ in parts), []
        for i, (replica, (n, (own, named))) in enumerate(zip(self.replicas, parts, strict=True)):
            self.counts[i] += n * torch.is_grad_enabled()
            if n:
                factor = whole / n if self.reduction == "mean" else 1.0
                own, named = rescale((own, named), 1 / factor)  # what lies before has its own mean
                outputs.append(
                    (factor, replica(*to_its_place(own, replica), **to_its_place(named, replica)))
                )
        return gather(outputs, self.dim, self.output_device)

    def _first(self, args: tuple, kwargs: dict) -> Any:
        """Call the only replica; its batch is cut again if it has several devices to itself."""
        return self.replicas[0](*args, **kwargs)
