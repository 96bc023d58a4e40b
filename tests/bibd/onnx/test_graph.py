"""Nodes that make weights, run by onnxruntime, against the layers' own dense weights."""

import numpy as np
import pytest
import torch
from torch import nn

from bibd import DynamicLinear, SparseConv2d, SparseLinear, from_mask
from bibd.onnx.dense import densify
from bibd.onnx.extras import session
from tests.bibd.onnx.needs import needs_the_extra
from tests.bibd.onnx.test_places import PLANES

LAYERS = {name: lambda p=p: SparseLinear(*p[1:], p[0], seed=4) for name, p in PLANES.items()} | {
    "canonical": lambda: SparseLinear(64, 72, "bibd"),
    "random": lambda: SparseLinear(50, 60, "random", seed=1),
    "blocks": lambda: SparseLinear(40, 40, "block_diagonal"),
    "double": lambda: SparseLinear(49, 56, "bibd", dtype=torch.float64),
    "far": lambda: SparseLinear(300, 300, "random", seed=0, nonzeros=3),
    "everything": lambda: SparseLinear(6, 5, "dense"),
    "mask": lambda: SparseLinear(3, 2, from_mask(np.array([[1, 0, 1], [0, 0, 0]]))),
    "conv": lambda: SparseConv2d(16, 20, 3, pattern="bibd"),
    "groups": lambda: SparseConv2d(32, 32, (3, 1), groups=2, pattern="random", seed=2),
    "moving": lambda: DynamicLinear(30, 20, "random", seed=1, nonzeros=60),
}


def made(layers):
    """What onnxruntime makes of the weights of layers, and how they are stored."""
    from onnx import TensorProto, helper

    from bibd.onnx.weights import put

    double = {name for name, layer in layers.items() if layer.weight.dtype == torch.float64}
    kind = {n: TensorProto.DOUBLE if n in double else TensorProto.FLOAT for n in layers}
    info = {n: helper.make_tensor_value_info(n, kind[n], m.shape) for n, m in layers.items()}
    outputs = [helper.make_tensor_value_info(f"{n}!", kind[n], m.shape) for n, m in layers.items()]
    nodes = [helper.make_node("Identity", [name], [f"{name}!"]) for name in layers]
    graph = helper.make_graph(nodes, "weights", list(info.values()), outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    stored = put(model, layers)
    assert not model.graph.input
    found = session(model.SerializeToString()).run(None, {})
    return dict(zip(layers, found, strict=True)), {s.name: s for s in stored}


@needs_the_extra
def test_the_graph_makes_the_dense_weights_to_the_bit():
    layers = {name: make() for name, make in LAYERS.items()}
    found, stored = made(layers)
    for name, layer in layers.items():
        assert np.array_equal(found[name], layer.to_dense().detach().numpy()), name
    assert {name: stored[name].how for name in layers} == dict.fromkeys(PLANES, "plane") | {
        "canonical": "plane",
        "double": "plane",
        "conv": "plane",
        "everything": "dense",
    } | dict.fromkeys(["random", "blocks", "far", "mask", "groups", "moving"], "differences")


@needs_the_extra
def test_bytes_of_places_are_counted():
    layers = {"random": LAYERS["random"](), "groups": LAYERS["groups"]()}
    _, stored = made(layers)
    for name, layer in layers.items():
        line = stored[name]
        count = layer.pattern.nonzeros
        assert line.values == 4 * layer.weight.numel()
        assert count <= line.places <= 4 * count + 32  # (and the numbers that nodes share)
        assert line.dense == 4 * layer.to_dense().numel()
    assert stored["random"].places < 2 * layers["random"].pattern.nonzeros


def test_a_layer_that_stands_in_two_places_stays_one():
    net = nn.Module()
    net.a = net.b = SparseLinear(16, 20)
    kept = net.a
    assert densify(net) == {"a": kept}
    assert net.a is net.b


@pytest.mark.parametrize("name", ["conv", "groups", "random", "moving"])
def test_the_dense_twin_answers_alike(name):
    net = nn.Sequential(LAYERS[name]()).double()
    layer = net[0]
    channels = layer.shape[1] * layer.pattern.groups
    x = torch.randn(3, channels, *([9, 8] * (len(layer.shape) > 2)), dtype=torch.float64)
    want = layer(x)
    densify(net)
    torch.testing.assert_close(net(x), want, rtol=0, atol=1e-13)  # some tens of terms near 1
