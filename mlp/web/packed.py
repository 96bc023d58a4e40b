"""The weights of a net as text in a page: base64 of float32 or int8, with uint16 for columns.

In int8 each output has a scale: its values are whole multiples, -127 to 127, of a 127th of the
largest. The net then holds these very values, so that what is tested is what the page computes.
"""

import base64
from typing import Any

import numpy as np
import torch
from torch import nn

from bibd.linear import SparseLinear
from harness.exits import EarlyExit
from harness.exits.exits import stages_of

MOST = 127


def round8(net: nn.Module) -> None:
    """Give the linear layers of a net values that int8 holds."""
    for layer in _linear(net):
        whole, scales, rows = _int8(layer)
        values = torch.from_numpy(whole.astype(np.float32) * scales[rows])
        with torch.no_grad():
            layer.weight.copy_(values.view_as(layer.weight))


def packed(net: EarlyExit, int8: bool) -> dict[str, Any]:
    """Return layers and heads of a net; one of int8 has been through `round8`."""
    stages = stages_of(net.net)
    heads: list[Any] = [None] * len(stages)
    for number, head in zip(net.after, net.heads, strict=True):
        heads[number] = _layer(head, int8)
    return {"stages": [_layer(stage, int8) for stage in stages], "heads": heads}


def _layer(within: nn.Module, int8: bool) -> dict[str, Any]:
    """Return the one linear layer of a stage or head."""
    (layer,) = _linear(within)
    found: dict[str, Any] = {"inputs": layer.in_features, "outputs": layer.out_features}
    if isinstance(layer, SparseLinear):
        p = layer.pattern
        if p.in_features > 2**16:
            raise ValueError(f"a page holds layers of up to 65536 inputs, got {p.in_features}")
        found["counts"] = text(p.fan_in.astype("<u2"))
        found["columns"] = text(p.indices.astype("<u2"))
    if int8:
        whole, scales, _ = _int8(layer)
        found |= {"values": text(whole), "scales": text(scales)}
    else:
        found["values"] = text(layer.weight.detach().numpy().astype("<f4"))
    if layer.bias is not None:
        found["bias"] = text(layer.bias.detach().numpy().astype("<f4"))
    return found


def _linear(net: nn.Module) -> list[Any]:
    return [m for m in net.modules() if isinstance(m, nn.Linear | SparseLinear)]


def _int8(layer: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values as whole numbers, the scale of each output, and each value's output."""
    sparse = isinstance(layer, SparseLinear)
    n, width = layer.out_features, layer.in_features
    rows = layer.pattern.rows if sparse else np.repeat(np.arange(n), width)
    values = layer.weight.detach().numpy().ravel()
    most = np.zeros(n, np.float32)
    np.maximum.at(most, rows, np.abs(values))
    scales = np.where(most > 0, most / MOST, 1).astype("<f4")
    return np.rint(values / scales[rows]).astype(np.int8), scales, rows


def text(array: np.ndarray) -> str:
    """Return the bytes of an array as base64."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
