"""Holds what the operators of linear layers and of convolutions share: namespace and tables.

Operators take the connections as a tensor, since torch knows nothing else; `given` finds the
table that belongs to such a tensor. Tables hang on the memory of that tensor and live as long: a
layer that is gone leaves none, and no number of layers displaces those of another.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bibd.kernels import modes, native
from bibd.kernels.table import Table

LIBRARY = torch.library.Library("iddl", "DEF")
TABLES = "iddl_tables"  # the attribute of a storage, which every view and every graph shares


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
    kept = flat.untyped_storage().__dict__.setdefault(TABLES, {})
    place = flat._version, flat.data_ptr(), flat.shape, flat.stride()
    key = kind, *place, inputs, outputs, groups
    found = kept.get(key)
    if found is None:
        found = _build(flat, inputs, outputs, groups, kind)
        _forget(kept, flat._version)
        kept[key] = found
    return found


def _forget(kept: dict[tuple, Any], version: int) -> None:
    """Drop tables of what was written over since, but for those that a CUDA graph reads."""
    for key, table in list(kept.items()):
        if key[1] < version and not getattr(table, "captured", False):
            kept.pop(key, None)


def _build(flat: torch.Tensor, inputs: int, outputs: int, groups: int, kind: Callable) -> Any:
    if flat.dtype is not torch.int64 or flat.ndim != 2:
        raise ValueError(f"connections are int64 (tables, n), got {flat.dtype} {tuple(flat.shape)}")
    if min(inputs, outputs, groups) < 1 or inputs % groups or outputs % groups:
        raise ValueError(f"no layer of {inputs} inputs, {outputs} outputs and {groups} groups")
    # (a copy: a table of views of these numbers would hold the memory that holds it)
    places = flat.to("cpu", copy=True).numpy()
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


def together(first: torch.Tensor, *rest: torch.Tensor) -> None:
    """Refuse tensors of several devices or types, as a card's kernels read whatever they are given.

    Raises:
        ValueError: with what came.
    """
    if any(t.device != first.device for t in rest) or rest[0].dtype != first.dtype:
        found = ", ".join(f"{t.dtype} on {t.device}" for t in (first, *rest))
        raise ValueError(f"expected tensors of one type on one device, got {found}")
