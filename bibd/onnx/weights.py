"""Puts sparse weights in the place of open ones: values, where they stand, and a dense product.

    values   -----------------------------.
    places   a formula, or differences  --->  ScatterND into zeros  -->  Reshape  -->  the weight
                                              (and their running sum)

A convolution has one place for each connection, and a row of its window's values there. Where that
takes no less than the dense weight, the dense weight is stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from bibd.layer import SparseLayer
from bibd.onnx.graph import Graph, Value
from bibd.onnx.places import differences, formula


@dataclass(frozen=True)
class Stored:
    """How a layer is stored: "plane", "differences" or "dense", and the bytes of its parts."""

    name: str
    shape: tuple[int, ...]
    how: str
    values: int
    places: int
    dense: int


def put(model: Any, layers: Mapping[str, SparseLayer]) -> list[Stored]:
    """Make the weights of these layers within the graph, where they are inputs until now."""
    graph = Graph()
    needed = {name for node in model.graph.node for name in node.input}
    found = [_put(graph, key, layer) for key, layer in layers.items() if key in needed]
    kept = [value for value in model.graph.input if value.name not in layers]
    nodes = [*graph.nodes, *model.graph.node]
    for part, filled in (("input", kept), ("node", nodes)):
        model.graph.ClearField(part)
        getattr(model.graph, part).extend(filled)
    model.graph.initializer.extend(graph.initializers)
    return found


def _put(graph: Graph, key: str, layer: SparseLayer) -> Stored:
    values, p = layer.weight.detach().cpu().numpy(), layer.pattern
    plane, before = formula(p), graph.bytes
    dense = prod(layer.shape) * values.itemsize
    steps = differences(p.flat)
    if plane is None and values.nbytes + steps.nbytes >= dense:
        graph.number(layer.to_dense().detach().cpu().numpy(), key)
        return Stored(key, layer.shape, "dense", dense, 0, dense)
    places = plane.places(graph) if plane else graph.add("CumSum", graph.whole(steps), 0)
    places_bytes = graph.bytes - before
    _scatter(graph, key, layer.shape, places, values)
    how = "differences" if plane is None else "plane"
    return Stored(key, layer.shape, how, values.nbytes, places_bytes, dense)


def _scatter(
    graph: Graph, key: str, shape: tuple[int, ...], places: Value, values: np.ndarray
) -> None:
    """Add the nodes that put values into a weight of zeros."""
    rows = np.array([shape[0] * shape[1], *[prod(shape[2:])] * (len(shape) > 2)])
    zero = graph.arrays.from_array(np.zeros(1, values.dtype))
    zeros = graph.add("ConstantOfShape", rows, value=zero)
    values = graph.number(values.reshape(len(values), *rows[1:]), f"{key}.values")  # pyright: ignore
    full = graph.add("ScatterND", zeros, graph.add("Unsqueeze", places, [1]), values)
    graph.add("Reshape", full, np.array(shape), name=key)
