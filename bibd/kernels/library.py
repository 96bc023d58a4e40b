"""Holds what the operators of linear layers and of convolutions share: namespace and tables.

Operators take the connections as a tensor, since torch knows nothing else; `given` finds the
table that belongs to such a tensor.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bibd.kernels import modes, native
from bibd.kernels.table import Table

KEPT = 256  # tables that came as tensors
LIBRARY = torch.library.Library("iddl", "DEF")
_given: OrderedDict[tuple, tuple[torch.Tensor, Any]] = OrderedDict()


def given(
    flat: torch.Tensor,
    inputs: int,
    outputs: int,
    groups: int = 1,
    kind: Callable[[np.ndarray, int, int, int], Any] = Table,
) -> Any:
    """Return the table of connections that come as a tensor (tables, n), built once.

    Args:
        flat: Places in the weight.
        inputs: Inputs of the layer.
        outputs: Outputs of the layer.
        groups: Separate parts of both.
        kind: Makes the table from places and sizes.

    Raises:
        ValueError: they are not ascending places in the weight.
    """
    if flat.is_inference():
        return _build(flat, inputs, outputs, groups, kind)
    place = flat.device, flat.data_ptr(), flat._version, flat.shape, flat.stride()
    key = kind, *place, inputs, outputs, groups
    found = _given.get(key)
    if found is None:
        # (The tensor is kept too, so that no other can come to lie at its address.)
        found = _given[key] = flat, _build(flat, inputs, outputs, groups, kind)
        while len(_given) > KEPT:
            _given.popitem(last=False)
    return found[1]


def _build(flat: torch.Tensor, inputs: int, outputs: int, groups: int, kind: Callable) -> Any:
    if flat.dtype is not torch.int64 or flat.ndim != 2:
        raise ValueError(f"connections are int64 (tables, n), got {flat.dtype} {tuple(flat.shape)}")
    if min(inputs, outputs, groups) < 1 or inputs % groups or outputs % groups:
        raise ValueError(f"no layer of {inputs} inputs, {outputs} outputs and {groups} groups")
    places = flat.cpu().numpy()
    size = inputs // groups * outputs
    if places.size and not 0 <= places.min() <= places.max() < size:
        raise ValueError(f"connections are places below {size} in the weight")
    if (np.diff(places) <= 0).any():
        raise ValueError("connections must be ascending and distinct")
    return kind(places, inputs, outputs, groups)


def members_of(info, dims, tensors) -> list[torch.Tensor]:
    """Return tensors (n, members, ...), from those that vmap maps and those it does not."""
    moved = []
    for t, dim in zip(tensors, dims, strict=True):
        moved.append(t.expand(info.batch_size, *t.shape) if dim is None else t.movedim(dim, 0))
    return moved


def eager(x: torch.Tensor, values: torch.Tensor, bias: torch.Tensor | None = None) -> bool:
    """Return whether the library may be called at once: on plain, unwatched tensors."""
    return (
        not torch.compiler.is_compiling() and native.plain(x, values, bias) and not modes.watched()
    )
