"""Outer steps: their options, their place in wrappers, and nets that move meanwhile."""

import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from parallel import DataParallel
from parallel.identities import averaging as identities
from parallel.strategy import make


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(outer_rate=0.0), "outer_rate must be in (0, 1], got 0.0"),
        (dict(outer_momentum=1.0), "outer_momentum must be in [0, 1), got 1.0"),
        (dict(outer_momentum=-0.1), "outer_momentum must be in [0, 1), got -0.1"),
        (dict(average="float_buffers"), "diloco: its outer steps move the weights"),
        (dict(period=0), "period is a number of steps, 1 or more, got 0"),
    ],
)
def test_options_that_cannot_be(options, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        make("diloco", **options).init(3)


def test_one_worker_makes_outer_steps_too():
    """With rate r and no momentum its weights are (1 - r) old + r new: Lookahead."""
    strategy = make("diloco", period=4, outer_rate=0.5, outer_momentum=0.0)
    plain = identities.trained(make("no_comm"), workers=1, steps=4).executor.consensus()
    found = identities.trained(strategy, workers=1, steps=4).executor.consensus()
    start = identities.net().state_dict()
    assert identities.apart(found, {k: (start[k] + v) / 2 for k, v in plain.items()}) < 1e-15


def test_running_statistics_are_averaged_and_nothing_more():
    strategy = make("diloco", period=2, average=("params", "float_buffers"))

    def model(rank=0):
        with torch.random.fork_rng():
            torch.manual_seed(7)
            return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)).double()

    found = identities.training(strategy, model=model)
    for _ in range(2):
        found.step()
    (running,) = [v for k, v in found.members.get("float_buffers").items() if "running_mean" in k]
    torch.testing.assert_close(running[0], running[2], rtol=0, atol=0)
    assert set(found.executor.states.outer.anchor) == {
        f"params:{k}" for k, _ in model().named_parameters()
    }


def test_a_wrapper_has_it_as_a_style_and_its_net_may_become_float64():
    torch.manual_seed(0)
    net = DataParallel("diloco", model=nn.Linear(4, 3), workers=2, iterations=2)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    x, y = torch.randn(8, 4), torch.randint(3, (8,))
    for step in range(4):
        if step == 2:
            net.double()
            x = x.double()
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    assert {p.dtype for p in net.parameters()} == {torch.float64}
    assert all(bool(torch.isfinite(p).all()) for p in net.parameters())
