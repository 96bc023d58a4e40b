"""What a training holds between two steps, in bytes, counted from the very tensors and tables.

    weights      parameters and buffers
    gradients    of the parameters, as long as the parameters
    moments      all that the optimizer remembers
    tables       where connections are: patterns, indices of layers, tables of the kernels
    masks        of a dense net that is pruned, as booleans and as factors
    change       dense gradients of all layers, which RigL looks at when connections move

Activations and the code's own temporaries are not in it: `python -m benchmarks.training_memory`
measures the peak of whole processes.
"""

from typing import Any

import torch
from torch import nn

from bibd import kernels
from bibd.dynamic import Dynamic
from bibd.layer import SparseLayer
from bibd.pattern import Pattern
from compress.moving.moving import Moving
from compress.runs.pruned import Pruned


def held(net: nn.Module, way: Any) -> dict[str, int]:
    """Return bytes by purpose, and their sum as "all".

    Args:
        net: In training.
        way: What makes its steps, as compress.runs.passes takes it.
    """
    parameters = [p for p in net.parameters() if p.requires_grad]
    sparse = [m for m in net.modules() if isinstance(m, SparseLayer)]
    tables = [m.flat for m in sparse]
    buffers = [b for b in net.buffers() if not any(b is t for t in tables)]
    state = way.optimizer.state.values()
    found = {
        "weights": _bytes([*net.parameters(), *buffers]),
        "gradients": _bytes(parameters),
        "moments": _bytes([v for each in state for v in each.values() if torch.is_tensor(v)]),
        "tables": _bytes(tables) + sum(map(_table, {m.pattern for m in sparse})),
        "masks": way.masked.bytes if isinstance(way, Pruned) else 0,
        "change": _change(way),
    }
    return found | {"all": sum(found.values())}


def _bytes(tensors: Any) -> int:
    return sum(t.nbytes for t in tensors)


def _table(pattern: Pattern) -> int:
    """Return the bytes of a pattern, with what it has worked out, and of the kernels' tables."""
    own = sum(v.nbytes for v in vars(pattern).values() if hasattr(v, "nbytes"))
    return own + kernels.held(pattern)


def _change(way: Any) -> int:
    if not isinstance(way, Moving) or way.method == "set":
        return 0
    layers = [m for m in way.layers.values() if isinstance(m, Dynamic)]
    return sum(torch.Size(m.shape).numel() * m.weight.element_size() for m in layers)  # pyright: ignore
