"""Layers used twice, watched, and given foreign tables: what was remembered does no harm."""

import copy

import pytest
import torch
from torch.func import functional_call, jvp
from torch.utils.flop_counter import FlopCounterMode

from bibd import SparseConv2d, SparseLinear
from bibd.kernels import build
from harness.stack import stack

pytestmark = [
    pytest.mark.skipif(build.compiler() is None, reason="no compiler"),
    pytest.mark.filterwarnings("ignore:`torch.jit"),  # torch's jvp, of its own
]
F64 = torch.float64


def same(got, want):
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ["linear", "conv", "stack"])
def test_a_layer_used_twice(kind):
    """Gradients of gradients, many at a time, and under whatever watches the backward pass."""

    def make(backend):
        if kind == "conv":
            torch.manual_seed(0)
            layer = SparseConv2d(8, 8, 3, padding=1, seed=0, backend=backend, dtype=F64)
            return layer, torch.randn(2, 8, 5, 5, dtype=F64, requires_grad=True)
        torch.manual_seed(0)
        layers = [SparseLinear(16, 16, seed=s, backend=backend, dtype=F64) for s in range(2)]
        x = torch.randn(2, 5, 16, dtype=F64, requires_grad=True)
        return (stack(layers), x) if kind == "stack" else (layers[0], x)

    def once(layer, x):
        return layer(torch.tanh(layer(x)))

    found = []
    for backend in ("native", "dense"):
        layer, x = make(backend)
        leaves = [x, *layer.parameters()]
        first = torch.autograd.grad(once(layer, x).pow(2).sum(), leaves, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), leaves)
        y = once(layer, x)
        many = torch.stack([torch.ones_like(y), y.detach()])
        each = torch.autograd.grad(y, leaves, many, is_grads_batched=True)
        y = once(layer, x).pow(2).sum()
        with FlopCounterMode(display=False), torch.autocast("cpu", dtype=torch.float16):
            watched = torch.autograd.grad(y, leaves)
        hyper = functional_call(layer, {"weight": layer.weight * x.sum()}, (x,)).pow(2).sum()
        of_x = torch.autograd.grad(hyper, x, create_graph=True)
        found.append([*first, *second, *each, *watched, *of_x])
    for got, want in zip(*found, strict=True):
        same(got, want)


class Marked(torch.Tensor):
    """A tensor with a type of its own."""


@pytest.mark.parametrize("big", [True, False])
def test_what_was_remembered_does_not_meet_what_it_cannot(big):
    """The same shape as before, but of another kind, or watched: auto is right every time."""
    layer = SparseLinear(300, 200, "random", seed=0) if big else SparseConv2d(16, 16, 3, seed=0)
    x = torch.randn(1, 300) if big else torch.randn(1, 16, 40, 40)
    twin = copy.deepcopy(layer)
    twin.backend = "dense"
    layer(x)
    assert layer._routes
    layer._routes = dict.fromkeys(layer._routes, "native")  # whatever was the fastest here
    close = torch.testing.assert_close
    close(layer(x), twin(x), rtol=1e-4, atol=1e-4)
    close(jvp(layer, (x,), (x,))[1], jvp(twin, (x,), (x,))[1], rtol=1e-4, atol=1e-4)
    with torch.autocast("cpu", dtype=torch.float16):
        assert layer(x).dtype == twin(x).dtype == torch.float16
    marked = x.as_subclass(Marked)
    assert type(layer(marked)) is type(twin(marked)) is Marked


def test_a_first_call_in_inference_mode_spoils_nothing():
    for backend in ("native", "bag"):
        layer = SparseLinear(57, 57, seed=3, backend=backend)
        x = torch.ones(4, 57)
        with torch.inference_mode():
            layer(x)
        x = x.clone().requires_grad_()
        (g,) = torch.autograd.grad(layer(x).pow(3).sum(), x, create_graph=True)
        g.sum().backward()


@pytest.mark.parametrize("backend", ["native", "bag", "dense", "auto"])
def test_a_table_that_a_caller_brings_is_the_one_that_counts(backend):
    """Values and connections of another layer, without any transform around."""
    one, other = (SparseLinear(200, 200, "random", seed=s, backend=backend) for s in (1, 2))
    x = torch.randn(3, 200)
    with torch.no_grad():
        for _ in range(2):
            one(x)
            brought = {**dict(other.named_parameters()), "flat": other.flat}
            got = functional_call(one, brought, (x,))
            torch.testing.assert_close(got, other(x), rtol=1e-4, atol=1e-5)
