"""The layers of a stack, called one after the other, compute what the stack does."""

import pytest
import torch
from torch import nn

from bibd import SparseLinear
from ensemble.together.straight import straight
from harness.stack import stack

NETS = {
    "one layer": lambda: nn.Linear(6, 3),
    "dense": lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3, bias=False)),
    "nested": lambda: nn.Sequential(nn.Sequential(nn.Linear(6, 5), nn.ReLU()), nn.Linear(5, 3)),
    "sparse": lambda: nn.Sequential(SparseLinear(6, 5, "random"), nn.ReLU(), nn.Linear(5, 3)),
    "normed": lambda: nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 3)),
}


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_a_stack_called_straight_answers_and_learns_as_the_stack(name, apart):
    net = stack([NETS[name]().double() for _ in range(3)])
    x = torch.randn(4, 6, dtype=torch.float64).expand(3, 4, 6)
    x = x * torch.arange(1, 4)[:, None, None] if apart else x
    made = []
    for call in (net, straight(net)):
        out = call(x)
        made.append((out, *torch.autograd.grad(out.square().sum(), list(net.parameters()))))
        with torch.no_grad():
            made[-1] += (call(x),)
    for a, b in zip(*made, strict=True):
        torch.testing.assert_close(a, b)


def test_parameters_that_take_the_place_of_others_are_those_that_are_read():
    net = stack([nn.Linear(6, 3) for _ in range(2)])
    call, x = straight(net), torch.randn(2, 4, 6)
    net._parameters["weight"] = nn.Parameter(torch.zeros(2, 3, 6))
    torch.testing.assert_close(call(x), net.bias.mT.expand(2, 4, 3))
