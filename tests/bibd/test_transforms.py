"""Transforms, compilers and in-place changes: layers answer as torch's own do, whatever path they take."""

import copy

import pytest
import torch
from torch import nn

from bibd import SparseLinear

BACKENDS = ["dense", "bag"]
F64 = torch.float64


def test_transforms_and_compile_see_the_layer():
    layer = SparseLinear(600, 500, "iddl", dtype=F64)  # large enough that auto measures
    x = torch.randn(5, 600, dtype=F64)
    expected = layer(x)
    torch.testing.assert_close(torch.vmap(layer)(x), expected)
    values = dict(layer.named_parameters())

    def loss(values, sample):
        return torch.func.functional_call(layer, values, sample).square().sum()

    each = torch.vmap(torch.func.grad(loss), in_dims=(None, 0))(values, x)
    whole = torch.autograd.grad(layer(x).square().sum(), list(values.values()))
    for got, want in zip(each.values(), whole, strict=True):
        torch.testing.assert_close(got.sum(0), want)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert copy.deepcopy(layer).float()(x.float()).dtype == torch.bfloat16
    torch.testing.assert_close(torch.compile(layer, backend="eager", fullgraph=True)(x), expected)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*")  # torch's own forward-mode rules use it
def test_large_layers_take_forward_mode_and_batched_gradients():
    """(Those that auto sends to the bag path otherwise.)"""
    layer = SparseLinear(600, 500, "iddl", dtype=F64)
    x, tangent = torch.randn(2, 600, dtype=F64), torch.randn(2, 600, dtype=F64)
    weight = layer.to_dense().detach()
    with torch.autograd.forward_ad.dual_level():
        dual = layer(torch.autograd.forward_ad.make_dual(x, tangent))
        got = torch.autograd.forward_ad.unpack_dual(dual).tangent
    torch.testing.assert_close(got, tangent @ weight.t())
    x.requires_grad_()
    seeds = torch.eye(500, dtype=F64)[:3, None].expand(3, 2, 500)
    (rows,) = torch.autograd.grad(layer(x), x, seeds, is_grads_batched=True)
    torch.testing.assert_close(rows[:, 1], weight[:3])


def bag_and_twin(sizes=(40, 30)):
    layer = SparseLinear(*sizes, "random", seed=2, backend="bag", dtype=F64)
    twin = copy.deepcopy(layer)
    twin.backend = "dense"
    return layer, twin


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*")
@pytest.mark.parametrize("name", ["jacrev", "jacfwd", "hessian"])
def test_the_bag_path_leaves_transforms_to_the_dense_one(name):
    layer, twin = bag_and_twin()
    transform, x = getattr(torch.func, name), torch.randn(40, dtype=F64)

    def through(net):
        return transform(lambda x: net(x).square().sum())(x)

    torch.testing.assert_close(through(layer), through(twin))


def test_the_bag_path_leaves_compilers_meta_tensors_and_autocast_to_the_dense_one():
    layer, twin = bag_and_twin()
    x = torch.randn(3, 40, dtype=F64)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), twin(x))
    assert copy.deepcopy(layer).to("meta")(x.to("meta")).shape == (3, 30)
    layer, linear = layer.float(), nn.Linear(40, 30)
    for kind in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype=kind):
            assert layer(x.float()).dtype == linear(x.float()).dtype == kind
    assert layer.path(x.float()) == "bag"


@pytest.mark.parametrize("backend", [*BACKENDS, "native"])
def test_values_written_over_before_the_backward_pass_are_an_error(backend):
    """As of nn.Linear, and where it is none there, the input needing no gradient, it is none."""
    layer, dense = SparseLinear(64, 72, backend=backend), nn.Linear(64, 72)
    for net in (layer, dense):
        y = net(torch.randn(3, 64, requires_grad=True)).sum()
        with torch.no_grad():
            net.weight.mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.backward()
    y = layer(torch.randn(3, 64, requires_grad=True)).sum()
    y.backward(retain_graph=True)
    y.backward()
