"""Batch norms folded into the layer before them: the same function in evaluation, fewer bytes.

    norm(W x + b) = (s W) x + s (b - mean) + beta      s = gamma / sqrt(var + eps), per output

A channel's scale then sits in its weights, which share values with those of other channels: fold
before values are shared and trained, not after, and compare with norms stored as they are.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import fx, nn

from bibd.layer import SparseLayer
from compress.file.share import LAYERS

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class _Tracer(fx.Tracer):
    """Follows a net without looking into layers."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return whether a module is one step, as layers of torch and of bibd are."""
        return isinstance(m, SparseLayer) or super().is_leaf_module(m, module_qualified_name)


def fold(net: nn.Module, pairs: Sequence[tuple[str, str]] | None = None) -> nn.Module:
    """Return a copy of a net, for evaluation, whose batch norms are folded into layers.

    Fold first, then share: folding scales each channel by another number, so that weights which
    were shared, trained and baked before share no values any more, and pack(bits=4) would round
    them to others, untrained.

    Args:
        net: The net, which stays as it is.
        pairs: Names of layers and of the norms behind them; None: those that torch.fx finds, where
            a layer is called once and nothing but the norm reads what it gives. (A BatchNorm1d
            behind a Linear is folded as one of inputs (batch, features): with a third axis torch
            takes the second one for the channels, which is another function.)

    Raises:
        ValueError: a net that torch.fx cannot follow, a pair that cannot be folded, or a weight
            that is computed from others.
    """
    for name, module in net.named_modules():
        if isinstance(module, LAYERS) and module._parameters.get("weight") is None:
            raise ValueError(
                f"{name}.weight is computed from other numbers: compress.bake(net) makes plain "
                "weights of shared ones, torch.nn.utils.prune.remove of masked ones, "
                "torch.nn.utils.parametrize.remove_parametrizations of others"
            )
    made = copy.deepcopy(net).eval()
    for layer, norm in find(made) if pairs is None else _checked(pairs):
        _fold(_module(made, layer), _module(made, norm), layer, norm)
        made.set_submodule(norm, nn.Identity())
    return made


def _checked(pairs: Any) -> list[tuple[str, str]]:
    found = list(pairs)
    for pair in found:
        if not isinstance(pair, tuple | list) or [type(name) for name in pair] != [str, str]:
            raise ValueError(
                "pairs are tuples of two names, a layer's and that of the norm behind it, such as "
                f'pairs=[("conv1", "bn1")]; got {pair!r} among them'
            )
    return found


def find(net: nn.Module) -> list[tuple[str, str]]:
    """Return the names of layers and norms that follow each other and nothing else.

    Raises:
        ValueError: a net that torch.fx cannot follow.
    """
    try:
        graph = _Tracer().trace(net)
    except Exception as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"torch.fx cannot follow {type(net).__name__} ({text}): name layers and norms yourself,"
            ' fold(net, pairs=[("conv1", "bn1")])'
        ) from None
    return list(_pairs(net, graph))


def _pairs(net: nn.Module, graph: fx.Graph) -> Iterator[tuple[str, str]]:
    calls = [node for node in graph.nodes if node.op == "call_module"]
    often: dict[Any, int] = {}
    for node in calls:
        often[node.target] = often.get(node.target, 0) + 1
    for node in calls:
        before = node.args[0] if node.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) > 1:
            continue
        if often[node.target] == often[before.target] == 1:
            layer, norm = (net.get_submodule(str(n.target)) for n in (before, node))
            if isinstance(layer, LAYERS) and _has_statistics(norm):
                yield str(before.target), str(node.target)


def _has_statistics(norm: nn.Module) -> bool:
    return isinstance(norm, NORMS) and norm.running_var is not None


def _module(net: nn.Module, name: str) -> nn.Module:
    try:
        return net.get_submodule(name)
    except AttributeError:
        names = ", ".join(n for n, m in net.named_modules() if isinstance(m, (*LAYERS, *NORMS)))
        raise ValueError(f"no module {name!r}: there are {names}") from None


@torch.no_grad()
def _fold(layer: Any, norm: Any, first: str, second: str) -> None:
    if not isinstance(layer, LAYERS) or not _has_statistics(norm):
        raise ValueError(
            f"{second} ({type(norm).__name__}) cannot be folded into {first} "
            f"({type(layer).__name__}): a batch norm with statistics goes into a linear or "
            "convolutional layer"
        )
    sparse = isinstance(layer, SparseLayer)
    outputs = layer.pattern.out_features if sparse else len(layer.weight)
    if outputs != norm.num_features:
        raise ValueError(
            f"{second} is a norm of {norm.num_features} channels, {first} has {outputs}: a norm is "
            "folded into the layer right before it"
        )
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    scale = scale if norm.weight is None else scale * norm.weight
    bias = 0 if layer.bias is None else layer.bias.double()
    moved = scale * (bias - norm.running_mean) + (0 if norm.bias is None else norm.bias)
    rows = scale
    if sparse:
        rows = scale[torch.from_numpy(layer.pattern.rows).to(scale.device)]
        layer._drawn = None  # (folded values are no start that could be a wrong one)
    weight = layer.weight.double() * rows.view(-1, *[1] * (layer.weight.ndim - 1))
    layer.weight = nn.Parameter(weight.to(layer.weight))  # (another layer may hold the old one)
    layer.bias = nn.Parameter(moved.to(layer.weight))
