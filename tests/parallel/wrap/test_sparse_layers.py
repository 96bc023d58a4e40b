"""Layers of bibd under the wrapper: what they keep beside tensors goes along."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bibd import BibdLinear, DynamicLinear, SparseConv2d, SparseLinear
from parallel import DataParallel, World, train

STYLES = ("all_reduce", "local_sgd", "easgd", "elastic_gossip", "push_sum", "zero2", "zero3")


def flat() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        BibdLinear(16, 20), nn.ReLU(), DynamicLinear(20, 12, "random", seed=1, nonzeros=100),
        nn.BatchNorm1d(12), SparseLinear(12, 10, "random", seed=2, nonzeros=60),
    )  # fmt: skip


def pictures() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        SparseConv2d(4, 8, 3, pattern="random", seed=0), nn.BatchNorm2d(8),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
    )  # fmt: skip


def trained(style, make, x):
    net = DataParallel(style, model=make(), workers=2)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(net(x), torch.arange(len(x)) % 10).backward()
        optimizer.step()
    return net


@pytest.mark.parametrize(("make", "shape"), [(flat, (8, 16)), (pictures, (8, 4, 6, 6))])
@pytest.mark.parametrize("style", STYLES)
def test_its_state_loads_into_the_bare_net_and_back(style, make, shape):
    x = torch.randn(shape)
    net, bare = trained(style, make, x), make()
    bare.load_state_dict(net.state_dict())
    assert torch.equal(net.eval()(x), bare.eval()(x))
    net.train()
    net.load_state_dict(make().state_dict())
    assert torch.equal(net.eval()(x), make().eval()(x))


@pytest.mark.parametrize("strategy", ["local_sgd", "zero3"])
def test_the_loop_tests_and_returns_it(strategy):
    torch.manual_seed(0)
    net = nn.Sequential(BibdLinear(64, 72), nn.ReLU(), nn.Linear(72, 10))
    done = train(net, "digits", strategy=strategy, world=World.sim(2), steps=4, every=2)
    assert len(list(done)) == 2
    assert done.model[0].pattern.digest() == net[0].pattern.digest()
    assert not torch.equal(done.model[0].weight, net[0].weight)


def test_other_connections_are_refused_as_replicas_would_keep_theirs():
    net, other = DataParallel("all_reduce", model=flat(), workers=2), flat()
    free = np.flatnonzero(~other[2].pattern.mask().reshape(-1))[:3]
    other[2].rewire([0, 1, 2], free, None)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(ValueError, match=r"2\._extra_state is another than that of the replicas"):
        net.load_state_dict(other.state_dict())
    state = net.state_dict()
    digests = (bytes(s["2._extra_state"].tolist()).split()[0] for s in (state, before))
    assert len(set(digests)) == 1
    for name in state.keys() - {"2._extra_state"}:
        assert torch.equal(state[name], before[name]), name


class Counted(nn.Module):
    """Keeps a number beside its tensors."""

    def __init__(self, number: int):
        super().__init__()
        self.weight, self.number = nn.Parameter(torch.ones(1)), number

    def forward(self, x):
        return self.weight * x * self.number

    def get_extra_state(self):
        return self.number

    def set_extra_state(self, state):
        self.number = state


@pytest.mark.parametrize("style", ["zero2", "zero3"])
def test_training_states_of_such_modules_load_into_another_number_of_workers(style):
    two, three = (DataParallel(style, model=Counted(2), workers=n) for n in (2, 3))
    optimizers = [torch.optim.SGD(net.parameters(), 0.1, momentum=0.9) for net in (two, three)]
    two(torch.ones(6)).sum().backward()
    optimizers[0].step()
    three.load_training_state([two.training_state(optimizers[0])], optimizers[1])
    found = three.state_dict()["weight"]  # the mean of three that are equal: a sum and a quotient
    torch.testing.assert_close(found, two.state_dict()["weight"], rtol=2**-22, atol=0)
    assert three.state_dict()["_extra_state"] == 2


def test_what_a_module_keeps_reaches_all_replicas():
    net = DataParallel("local_sgd", model=Counted(2), workers=2)
    net.load_state_dict(Counted(5).state_dict())
    assert [replica.number for replica in net.replicas] == [5, 5]
    assert net.state_dict()["_extra_state"] == 5
    assert net(torch.ones(2)).tolist() == [5, 5]
