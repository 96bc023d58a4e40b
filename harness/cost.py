"""Counts what a network costs: connections, multiply-adds, FLOPs, bytes; and measures time.

`layers(model, shape)` sends one sample through (its sizes suffice) and asks each module that has a
`cost(input_shape, output_shape)`; others are looked up in TABLE. Every module is counted once, by
the outermost that answers. FLOPs come in two named conventions:

    true    2 * MACs + one add per bias per output + 2 per element through a norm layer (its scale
            and shift at inference). Activations, pooling and softmax count 0.
    iddl    MACs of conv and linear + 2 * elements through every norm layer; biases count 0. (The
            published "FLOPs" of the IDDL study: mostly multiply-adds, not twice that.)
"""

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import prod
from statistics import median
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Cost:
    """The cost of a forward pass of one sample; `nonzeros` counts no biases and no norms."""

    macs: int = 0
    nonzeros: int = 0
    bytes: int = 0
    bias_adds: int = 0
    norm_elements: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(**{k: v + getattr(other, k) for k, v in asdict(self).items()})

    def flops(self, mode: str = "true") -> int:
        """Return the FLOPs by one of the two conventions in MODES."""
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
        return MODES[mode](self)


MODES = {
    "true": lambda c: 2 * c.macs + c.bias_adds + 2 * c.norm_elements,
    "iddl": lambda c: c.macs + 2 * c.norm_elements,
}


@dataclass(frozen=True)
class Layer:
    """The costs of one layer, a line of the account."""

    name: str
    kind: str
    parameters: int
    cost: Cost


def layers(model: nn.Module, shape: tuple[int, ...]) -> list[Layer]:
    """List the layers of `model` with their costs for one input of this shape (no batch axis).

    Raises:
        ValueError: a module with parameters that neither answers nor stands in TABLE.
    """
    try:
        empty = _hollow(model)
        return _account(empty, torch.empty(1, *shape, device="meta", dtype=_reads(empty)))
    except CostError:
        raise
    except Exception:  # it looks at values, or cannot be copied
        like = _like(model)
        with evaluating(model):
            return _account(model, torch.zeros(1, *shape, device=like.device, dtype=_reads(model)))


class CostError(ValueError):
    """Raised for a module whose costs nobody can count."""


def _account(model: nn.Module, x: torch.Tensor) -> list[Layer]:
    counted = dict(_countable("", model))
    lines: dict[str, Layer] = {}
    hooks = [m.register_forward_hook(_recorder(n, lines)) for n, m in counted.items()]
    try:
        with torch.no_grad():
            model.eval()(x)
    finally:
        for hook in hooks:
            hook.remove()
    return [lines[name] for name in counted if name in lines]


def _hollow(model: nn.Module) -> nn.Module:
    """Copy the model without its numbers: parameters and buffers keep only their sizes."""
    memo: dict[int, Any] = {}
    for p in model.parameters():
        memo[id(p)] = nn.Parameter(p.detach().to("meta"), p.requires_grad)
    for t in model.buffers():
        memo[id(t)] = t.detach().to("meta")
    return copy.deepcopy(model, memo)


def _like(model: nn.Module) -> torch.Tensor:
    return next(model.parameters(), torch.zeros(()))


def _reads(model: nn.Module) -> torch.dtype:
    """Of an input: that of the parameters, but for a net of texts, which `reads` whole numbers."""
    return getattr(model, "reads", None) or _like(model).dtype


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into eval mode for a block; afterwards each part has its old mode."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def total(model: nn.Module, shape: tuple[int, ...]) -> Cost:
    """Return the sum of the costs of all layers."""
    return sum((line.cost for line in layers(model, shape)), Cost())


def facts(model: nn.Module, shape: tuple[int, ...]) -> dict[str, int]:
    """Return what a record says of a model: connections, parameters, MACs, FLOPs, bytes."""
    cost = total(model, shape)
    return {
        "connections": cost.nonzeros,
        "parameters": sum(p.numel() for p in model.parameters()),
        "macs": cost.macs,
        "flops": cost.flops("true"),
        "flops_iddl": cost.flops("iddl"),
        "bytes": cost.bytes,
    }


def latency(model: nn.Module, shape: tuple[int, ...], batch: int, seconds: float = 0.2) -> float:
    """Return the median seconds of a forward pass at this batch size on the model's device."""
    x = torch.zeros(batch, *shape, device=_like(model).device, dtype=_reads(model))
    training = model.training
    model.eval()
    times = []
    with torch.inference_mode():
        for _ in range(3):
            model(x)
        end = time.perf_counter() + seconds
        while len(times) < 5 or time.perf_counter() < end:
            synchronize(x.device)
            begin = time.perf_counter()
            model(x)
            synchronize(x.device)
            times.append(time.perf_counter() - begin)
    model.train(training)
    return median(times)


def synchronize(device: torch.device) -> None:
    """Wait for the device, so that a clock read now means something."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _countable(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules that are counted as one, outermost first."""
    children = list(module.named_children())
    if hasattr(module, "cost") or not children:
        yield name, module
        return
    own = sum(p.numel() for p in module.parameters(recurse=False))
    if own:
        raise CostError(f"{_called(name, module)} has parameters of its own: give it a cost method")
    for child, inner in children:
        yield from _countable(f"{name}.{child}".lstrip("."), inner)


def _recorder(name: str, lines: dict[str, Layer]):
    def record(module, inputs, output):
        cost = _cost(name, module, tuple(inputs[0].shape), tuple(output.shape))
        before = lines.get(name)
        if before is not None:  # called twice in one pass: twice the work, the same parameters
            twice = asdict(cost) | {"nonzeros": 0, "bytes": 0}
            lines[name] = Layer(name, before.kind, before.parameters, before.cost + Cost(**twice))
            return
        parameters = sum(p.numel() for p in module.parameters())
        lines[name] = Layer(name, type(module).__name__, parameters, cost)

    return record


def _cost(name: str, module: Any, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> Cost:
    if hasattr(module, "cost"):
        return Cost(**module.cost(inputs, outputs))
    for kinds, count in TABLE.items():
        if isinstance(module, kinds):
            return count(module, outputs)
    if any(True for _ in module.parameters()):
        raise CostError(f"{_called(name, module)} is in no cost table: give it a cost method")
    return Cost()


def _called(name: str, module: nn.Module) -> str:
    return f"module {name!r} ({type(module).__name__})"


def held_bytes(module: nn.Module) -> int:
    """Return how many bytes the parameters and buffers take."""
    tensors = [*module.parameters(), *module.buffers()]
    return sum(t.numel() * t.element_size() for t in tensors)


def _linear(m: nn.Linear, out: tuple[int, ...]) -> Cost:
    n = m.weight.numel()
    adds = prod(out) if m.bias is not None else 0
    return Cost(prod(out[:-1]) * n, n, held_bytes(m), adds)


def _conv(m: Any, out: tuple[int, ...]) -> Cost:
    n = m.weight.numel()
    positions = out[0] * prod(out[2:])
    adds = prod(out) if m.bias is not None else 0
    return Cost(positions * n, n, held_bytes(m), adds)


def _lookup(m: nn.Embedding, out: tuple[int, ...]) -> Cost:
    return Cost(nonzeros=m.weight.numel(), bytes=held_bytes(m))


def _norm(m: nn.Module, out: tuple[int, ...]) -> Cost:
    return Cost(bytes=held_bytes(m), norm_elements=prod(out))


TABLE = {
    (nn.Linear,): _linear,
    (nn.Conv1d, nn.Conv2d, nn.Conv3d): _conv,
    (nn.Embedding,): _lookup,
    (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm): _norm,
}
