"""A backward pass in two halves: together the whole one, to the bit, and no product more."""

from collections import Counter

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from parallel.identities.pipelines import pipeline, training
from parallel.pipeline.halves import Halves, joints

HEAVY = ("mm", "addmm", "bmm", "convolution_backward")


class Counted(TorchDispatchMode):
    """Counts the heavy ones of the calls within; convolutions by what they are asked for."""

    def __init__(self):
        super().__init__()
        self.calls = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in HEAVY:
            self.calls[name] += sum(args[-1][:2]) if name == "convolution_backward" else 1
        return func(*args, **(kwargs or {}))


def linear(layers=3, bias=True):
    row = [m for _ in range(layers) for m in (nn.Linear(6, 6, bias=bias), nn.Tanh())]
    return nn.Sequential(*row)


class Residual(nn.Module):
    """Two branches, and weights that meet before they meet the inputs."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.scale = nn.Linear(6, 6), nn.Linear(6, 6), nn.Parameter(torch.ones(6))

    def forward(self, x):
        y = torch.tanh(self.a(x))
        return y + self.b(y) * (self.scale * self.scale.exp())


class Chunked(nn.Module):
    """Layers with several outputs."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 12), nn.LSTM(6, 6, batch_first=True)

    def forward(self, x):
        a, b = self.first(x).chunk(2, -1)
        return self.second((a * b)[:, None])[0][:, 0]


class Twice(nn.Module):
    """One layer called twice."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x):
        return self.layer(torch.tanh(self.layer(x)))


class Again(nn.Module):
    """Layers that run again in the backward pass."""

    def __init__(self):
        super().__init__()
        self.rest = linear(2)

    def forward(self, x):
        return checkpoint(self.rest, x, use_reentrant=False)


class Elsewhere(nn.Module):
    """Outputs that do not depend on the inputs."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(6))

    def forward(self, x):
        return x.detach() * self.w


class Wide(nn.Module):
    """Images of numbers in a row."""

    def __init__(self):
        super().__init__()
        self.rest = nn.Sequential(
            nn.Conv1d(1, 3, 3, padding=1), nn.BatchNorm1d(3), nn.ReLU(), nn.Conv1d(3, 1, 3)
        )

    def forward(self, x):
        return self.rest(x[:, None])[:, 0]


NETS = {
    "linear": linear,
    "no bias": lambda: linear(bias=False),
    "residual": Residual,
    "lstm": Chunked,
    "tied": Twice,
    "conv and batch norm": Wide,
    "weight norm": lambda: nn.Sequential(weight_norm(nn.Linear(6, 6)), nn.Tanh(), nn.Linear(6, 6)),
    "attention": lambda: nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True),
    "checkpoint": Again,
    "no weights": nn.Tanh,
    "no inputs": Elsewhere,
}


def begun(make, frozen=()):
    torch.manual_seed(0)
    net = make().double()
    x = torch.randn(7, 6).double().requires_grad_()
    weights = {n: p for n, p in net.named_parameters() if n not in frozen}
    for name in frozen:
        net.get_parameter(name).requires_grad_(False)
    y = net(x)
    return y, x, weights, torch.randn_like(y)


def whole(make, frozen=()):
    y, x, weights, dy = begun(make, frozen)
    with Counted() as counted:
        each = torch.autograd.grad(y, [x, *weights.values()], dy, allow_unused=True)
    return each[0], dict(zip(weights, each[1:], strict=True)), counted.calls


def halved(make, frozen=()):
    y, x, weights, dy = begun(make, frozen)
    with Counted() as first:
        halves = Halves(y, x, weights)
        dx = halves.inputs(dy)
    with Counted() as second:
        gradients = halves.gradients(dy)
    return dx, gradients, first.calls, second.calls


@pytest.mark.parametrize("name", NETS)
def test_two_halves_are_the_whole_to_the_bit(name):
    """Also where the graph has no joints, or branches."""
    dx, gradients, _ = whole(NETS[name])
    first, second, *_ = halved(NETS[name])
    assert (dx is None) == (first is None)
    assert dx is None or torch.equal(dx, first)
    assert list(second) == list(gradients)  # (in the order of the weights)
    assert all(torch.equal(second[n], g) for n, g in gradients.items())


@pytest.mark.parametrize("name", ["linear", "no bias", "residual", "lstm", "conv and batch norm"])
def test_no_product_is_made_twice(name):
    """Of L linear layers there are L for the inputs and L for the weights."""
    *_, calls = whole(NETS[name])
    *_, first, second = halved(NETS[name])
    assert first + second == calls
    if name == "linear":
        assert first == second == {"mm": 3}


def test_a_layer_that_is_called_twice_has_no_joint_and_its_products_are_made_twice():
    y, x, weights, _ = begun(Twice)
    assert joints(y, x, weights) is None
    *_, first, second = halved(Twice)
    assert (first, second) == ({"mm": 2}, {"mm": 3})


@pytest.mark.parametrize("name", ["linear", "no weights"])
def test_a_stage_whose_joints_nobody_seeks_goes_through_its_layers_twice(name):
    y, x, weights, dy = begun(NETS[name])
    halves = Halves(y, x, weights, seek=False)
    dx, gradients, _ = whole(NETS[name])
    assert torch.equal(halves.inputs(dy), dx)
    second = halves.gradients(dy)
    assert all(torch.equal(second[n], g) for n, g in gradients.items())


def test_frozen_weights_have_no_gradient():
    frozen = ("0.weight", "2.bias")
    assert list(halved(linear, frozen)[1]) == ["0.bias", "2.weight", "4.weight", "4.bias"]
    assert all(
        torch.equal(whole(linear, frozen)[1][n], g) for n, g in halved(linear, frozen)[1].items()
    )


def test_a_net_deeper_than_the_recursion_of_python_has_joints():
    y, x, weights, _ = begun(lambda: linear(600))
    found = joints(y, x, weights)
    assert [sorted(names) for names in found.values()] == [
        [f"{2 * k}.bias", f"{2 * k}.weight"] for k in range(600)
    ]


@pytest.mark.parametrize("schedule", ["zb_h1", "zbv"])
def test_the_halves_of_a_schedule_make_as_many_products_as_whole_passes(schedule):
    """Eight linear layers, 3 micro-batches: forward 8, weights 8, and inputs of all but the first."""
    session = training(pipeline(None, 4, schedule=schedule, micro=3))
    with Counted() as counted:
        session.step()
    assert counted.calls["addmm"] == 3 * 8
    assert counted.calls["mm"] == 3 * (8 + 7)
