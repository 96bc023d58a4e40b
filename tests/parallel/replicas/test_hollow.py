"""Models without weights, for who divides what he holds."""

import copy

import pytest
import torch
from torch import nn

from parallel import DataParallel
from parallel.identities import averaging as identities
from parallel.replicas.hollow import fill, hollow, is_hollow
from parallel.strategy import make
from parallel.zero.meter import stored


def test_shapes_without_memory_and_memory_as_it_was():
    net = nn.Sequential(nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1))
    net = net.to(memory_format=torch.channels_last)
    net[2].requires_grad_(False)
    twice = hollow(hollow(net))
    assert is_hollow(twice)
    assert not is_hollow(net)
    assert stored(p for p in twice.parameters() if p.requires_grad) == 4 * 4
    assert torch.equal(twice[2].weight, net[2].weight)
    fill(twice).load_state_dict(net.state_dict())
    for a, b in zip(twice.parameters(), net.parameters(), strict=True):
        assert torch.equal(a, b)
        assert (a.stride(), a.requires_grad) == (b.stride(), b.requires_grad)


@pytest.mark.parametrize("name", ["zero1", "zero2", "zero3"])
def test_nobody_has_a_model_to_look_at_before_he_looks(name):
    training = identities.training(make(name))
    training.step()
    assert is_hollow(training.judge)
    training.test()
    assert not is_hollow(training.judge)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["all_reduce", "zero1", "zero2", "zero3"])
def test_a_state_of_some_layers_leaves_the_others(name, dtype):
    """Also after a cast, which gives the model to look at no weights, and after a step."""
    net = DataParallel(style=name, model=identities.net(), workers=2).to(dtype)
    assert is_hollow(net.consensus.model) is (name != "all_reduce")
    start, other = (identities.net(seed).to(dtype).state_dict() for seed in (0, 1))
    some = {k: v for k, v in other.items() if k.startswith("4.")}
    net.load_state_dict(some, strict=False)
    assert identities.apart(net.state_dict(), start | some) == 0
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net(identities.task().train_x[:6].to(dtype)).square().mean().backward()
    optimizer.step()
    stepped = copy.deepcopy(net).state_dict()  # (so that nobody has looked at this one)
    net.load_state_dict(some, strict=False)
    assert identities.apart(stepped, start | some) > 0
    assert identities.apart(net.state_dict(), stepped | some) == 0
