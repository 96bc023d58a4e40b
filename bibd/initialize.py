"""Starts weights by the functions of torch.nn.init, with a sparse layer's true fans.

    bibd.init(net, torch.nn.init.kaiming_normal_)
    bibd.init(net, torch.nn.init.xavier_uniform_, gain=2.0)

Those functions read the fans off the shape (out, in, *window) of a tensor; a sparse layer keeps one
value for each connection. Here a function is given tensors (fan_out, fan_in, *window) with the
true fans of the connections for which it draws, as if each output read only what it reads.
"""

from collections.abc import Callable, Iterator
from math import prod, sqrt
from typing import Any

import numpy as np
import torch
from torch import nn

from bibd.state import Patterned

STRUCTURED = ("orthogonal_", "dirac_", "eye_", "sparse_")
DENSE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
CERTAIN = 450  # values from which on the deviations below are told apart (three sigma are 10 %)


def init(module: nn.Module, fn: Callable[..., Any], **options: Any) -> nn.Module:
    """Draw the weights of a layer, or of all layers of a model, by a function of torch.nn.init.

    Args:
        module: A sparse layer, or a model; of a model also the weights of its nn.Linear and
            nn.Conv layers are drawn, so that one call replaces the usual loop. Biases stay.
        fn: Such as torch.nn.init.kaiming_normal_; one of your own gets a tensor to write over.
        **options: Passed on to fn, such as nonlinearity="relu".

    Returns:
        The module itself.

    Raises:
        ValueError: fn makes a property of the whole matrix (orthogonal_, dirac_, eye_, sparse_),
            which the values of a pattern cannot have; or layers that are stacked already.
    """
    layers = [m for m in module.modules() if isinstance(m, Patterned)]
    name = getattr(fn, "__name__", "")
    if layers and name in STRUCTURED:
        raise ValueError(
            f"{name} is about a whole matrix, and what lies off the pattern would be lost: draw a "
            "dense weight and take layer.load_dense(weight, layer.bias, strict=False)"
        )
    if any(not hasattr(m, "reset_parameters") for m in layers):
        raise ValueError("the layers are stacked already: call init on each before stack()")
    for m in module.modules():
        if isinstance(m, Patterned):
            _draw(m, fn, options)
        elif isinstance(m, DENSE):
            fn(m.weight, **options)
    return module


@torch.no_grad()
def _draw(layer: Any, fn: Callable[..., Any], options: dict[str, Any]) -> None:
    weight, window = layer.weight, layer.weight.shape[1:]
    for fans, places in _by_fans(layer.pattern):
        times = -(-len(places) // prod(fans))
        drawn = []
        for _ in range(times):
            block = weight.new_zeros(*reversed(fans), *window)
            fn(block, **options)
            drawn.append(block.flatten(0, 1))
        weight[torch.from_numpy(places).to(weight.device)] = torch.cat(drawn)[: len(places)]
    layer._drawn = None


def _by_fans(pattern: Any) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Yield pairs (fan-in, fan-out), each with the connections that have them."""
    rows = pattern.rows
    group = rows // (pattern.out_features // pattern.groups)
    columns = group * pattern.in_features + pattern.indices
    fan_in, fan_out = pattern.fan_in[rows], np.bincount(columns)[columns]
    fans, which = np.unique(np.stack([fan_in, fan_out]), axis=1, return_inverse=True)
    for i, pair in enumerate(fans.T.tolist()):
        yield (pair[0], pair[1]), np.flatnonzero(which.ravel() == i)


def wrong_start(layer: Any) -> str:
    """Say what is wrong if values look drawn with the fans of the tensor's shape.

    The deviations of the usual functions are known, so that values which were drawn by them have
    one of those, within three standard errors 1 / sqrt(2 n) of a deviation of n values.
    """
    weight = layer.weight.detach()
    if weight.ndim < 3 or weight.numel() < CERTAIN or weight.is_meta:
        return ""
    fan_in, fan_out = weight[0].numel(), len(weight) * weight.shape[2]
    true = float(layer.pattern.fan_in.mean()) * weight[0].numel()
    deviation = float(weight.double().square().mean().sqrt())
    usual = [2 / fan_in, 1 / fan_in, 1 / (3 * fan_in), 2 / fan_out, 2 / (fan_in + fan_out)]
    near = 3 / sqrt(2 * weight.numel())
    if not any(abs(deviation / sqrt(square) - 1) < near for square in usual):
        return ""
    if abs(deviation / sqrt(2 / true) - 1) < near:
        return ""  # (the right one too)
    return (
        f"its values look as if torch.nn.init had taken the shape {tuple(weight.shape)}, one "
        f"kernel a connection, for a weight, and a fan-in of {fan_in}; each filter reads "
        f"{true:.0f} values: take bibd.init(net, fn)"
    )
