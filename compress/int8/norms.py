"""Batch norms that no layer took in, such as those before a convolution: a product and a sum.

    norm(x) = s x + (beta - s mean)        s = gamma / sqrt(var + eps), per channel

While an exported graph holds a batch norm, torchao compares each of its layers with about a hundred
patterns of training, which takes a minute.
"""

from operator import attrgetter
from typing import Any

import torch
from torch import fx

NORM = torch.ops.aten.batch_norm.default


def spread(graph: fx.GraphModule) -> int:
    """Write the norms of an exported graph as products and sums; returns how many there were."""
    nodes = [node for node in graph.graph.nodes if node.target is NORM]
    for k, node in enumerate(nodes):
        _spread(graph, node, f"norm_{k}")
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return len(nodes)


def _spread(graph: fx.GraphModule, node: fx.Node, name: str) -> None:
    x, *held, training, _, eps, _ = node.args
    assert not training, "the net was exported in evaluation"
    gamma, beta, mean, variance = (_value(graph, each) for each in held)
    scale = (variance.double() + float(eps)).rsqrt()  # pyright: ignore[reportArgumentType]
    scale = scale if gamma is None else scale * gamma
    shift = (0.0 if beta is None else beta) - scale * mean
    axes = -1, *[1] * (node.meta["val"].ndim - 2)
    for word, value in (("scale", scale), ("shift", shift)):
        graph.register_buffer(f"{name}_{word}", value.detach().to(mean.dtype).view(axes))
    with graph.graph.inserting_before(node):
        parts = [graph.graph.get_attr(f"{name}_{word}") for word in ("scale", "shift")]
        product = graph.graph.call_function(torch.ops.aten.mul.Tensor, (x, parts[0]))
        total = graph.graph.call_function(torch.ops.aten.add.Tensor, (product, parts[1]))
    for part, key in zip(parts, ("scale", "shift"), strict=True):
        part.meta["val"] = graph.get_buffer(f"{name}_{key}")
    product.meta, total.meta = dict(node.meta), dict(node.meta)
    node.replace_all_uses_with(total)
    graph.graph.erase_node(node)


def _value(graph: fx.GraphModule, node: Any) -> Any:
    return attrgetter(str(node.target))(graph) if isinstance(node, fx.Node) else None
