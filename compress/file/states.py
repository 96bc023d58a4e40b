"""What a net's state is made of, and how each tensor goes into a file.

    weights of linear and convolutional layers, also of bibd's     shared values at places
    their biases; weights, biases and statistics of norms          halves
    everything else (embeddings, recurrent layers, counters)       whole, bit by bit, and named
    one tensor under two names                                     once

Of a state without its net, which layers there were is not known: every floating `weight` with two
axes or more counts as a layer's, and one-dimensional weights, biases and statistics as vectors.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from bibd.layer import SparseLayer
from bibd.pattern import Pattern
from compress.file.header import ALIAS, NAMED, OBJECT, SPARSE, TYPES, VECTOR, WEIGHT, WHOLE
from compress.file.share import LAYERS, Gather

NORMS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, nn.LayerNorm, nn.GroupNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
)
VECTORS = ("weight", "bias", "running_mean", "running_var")
STATE = "_extra_state"


@dataclass(frozen=True)
class Part:
    """One tensor of a state: how it is stored, and what its module says of it."""

    name: str
    kind: int
    value: Any
    pattern: Pattern | None = None
    other: int = 0

    @property
    def layer(self) -> str:
        """The name of the module."""
        return self.name.rpartition(".")[0]


def parts(net: nn.Module | Mapping[str, Any]) -> list[Part]:
    """Return the tensors of a net or of a state, in order, and how each is to be stored.

    Raises:
        ValueError: what is neither, or a state of a sparse layer whose pattern is not known.
    """
    state, modules = _state(net)
    found: list[Part] = []
    seen: dict[tuple, int] = {}
    for name, value in state.items():
        value = value.detach() if isinstance(value, torch.Tensor) and not is_lazy(value) else value
        if isinstance(value, torch.Tensor) and (is_lazy(value) or value.is_meta):
            raise ValueError(
                f"{name} has no values yet: send a batch through the net, or load a state into it"
            )
        first = seen.setdefault(_storage(name, value), len(found))
        if first < len(found):
            found.append(Part(name, ALIAS, value, other=first))
        else:
            found.append(_part(name, value, modules, state, found))
    return found


def _state(net: Any) -> tuple[dict[str, Any], dict[str, nn.Module] | None]:
    if isinstance(net, nn.Module):
        shared = [name for name, module in net.named_modules() if isinstance(module, Gather)]
        if shared:
            raise ValueError(f"{shared[0]} is still made of centroids: bake(net) first, then pack")
        return dict(net.state_dict()), dict(net.named_modules(remove_duplicate=False))
    if isinstance(net, Mapping) and all(isinstance(name, str) for name in net):
        return dict(net), None
    raise ValueError(
        f"pack takes a net or its state_dict(), got {type(net).__name__}: pack(net, 'net.iddlz')"
    )


def _storage(name: str, value: Any) -> tuple:
    """Return what two names of one tensor have in common."""
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided or not value.numel():
        return (name,)
    return value.data_ptr(), value.device, value.dtype, value.shape, value.stride()


def _part(name: str, value: Any, modules, state: dict[str, Any], before: list[Part]) -> Part:
    parent, _, last = name.rpartition(".")
    module = modules.get(parent) if modules is not None else None
    if isinstance(module, SparseLayer):
        return _sparse(name, last, value, module, before)
    if modules is None and f"{parent}.{STATE}".lstrip(".") in state:
        raise ValueError(
            f"{name} belongs to a sparse layer of bibd, and pack does not take connections from a "
            "state: load it into its net and pack that, pack(net, path)"
        )
    if not isinstance(value, torch.Tensor) or _type(value) not in TYPES:
        return Part(name, OBJECT, value)
    if not value.is_floating_point() or not value.numel():
        return Part(name, WHOLE, value)
    layer = isinstance(module, LAYERS) or (modules is None and value.ndim > 1)
    if last == "weight" and layer and value.ndim > 1:
        return Part(name, WEIGHT, value)
    small = isinstance(module, (*LAYERS, *NORMS)) or modules is None
    if last in VECTORS and small and value.ndim == 1:
        return Part(name, VECTOR, value)
    return Part(name, WHOLE, value)


def _type(value: torch.Tensor) -> str:
    plain = value.layout == torch.strided and not value.is_quantized and not value.is_meta
    return str(value.dtype).removeprefix("torch.") if plain else ""


def _sparse(name: str, last: str, value: Any, module: SparseLayer, before: list[Part]) -> Part:
    if last == "weight":
        return Part(name, SPARSE, value, module.pattern)
    if last == STATE:
        weight = [i for i, part in enumerate(before) if part.name == f"{name[: -len(STATE)]}weight"]
        if weight and before[weight[0]].kind == SPARSE:
            return Part(name, NAMED, value, other=weight[0])
        return Part(name, WHOLE, value)
    return (
        Part(name, VECTOR, value) if last == "bias" and value.numel() else Part(name, WHOLE, value)
    )
