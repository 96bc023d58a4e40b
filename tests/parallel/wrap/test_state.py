"""The wrapper's state: the consensus under every name, as a part of others, when it is changed."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from parallel import DataParallel
from tests.parallel.wrap.nets import batch, shallow, step


class Tied(nn.Module):
    """One weight, two layers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.a, self.b = nn.Linear(5, 5).double(), nn.Linear(5, 5).double()
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(torch.tanh(self.a(x)))


def test_shared_weights_are_averaged_under_both_names():
    wrapped = DataParallel(style="local_sgd", model=Tied(), workers=2, iterations=100)
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.5)
    for k in range(4):
        step(wrapped, optimizer, k)
    a, b = (r.a.weight.detach() for r in wrapped.replicas)
    state = wrapped.state_dict()
    assert not torch.equal(a, b)
    assert torch.allclose(state["a.weight"], (a + b) / 2, atol=1e-14)
    assert torch.equal(state["a.weight"], state["b.weight"])


def test_the_consensus_follows_whoever_changes_the_replicas():
    wrapped = DataParallel(style="local_sgd", model=shallow(), workers=2)
    x, _ = batch()
    wrapped.eval()(x)
    average = AveragedModel(wrapped)
    optimizer = torch.optim.SGD(wrapped.train().parameters(), lr=0.5)
    for k in range(3):
        step(wrapped, optimizer, k)
        average.update_parameters(wrapped)
    before = shallow()(x)
    assert not torch.equal(average.eval()(x), before)
    states = [r.state_dict() for r in average.module.replicas]
    mean = {k: (states[0][k] + states[1][k]) / 2 for k in states[0]}
    bare = shallow()
    bare.load_state_dict(mean)
    assert torch.allclose(average(x), bare(x), atol=1e-12)


def test_as_a_part_of_a_larger_module():
    wrapped = DataParallel(style="easgd", model=shallow(), workers=2)
    outer = nn.Sequential(nn.Linear(5, 5).double(), wrapped)
    state = {k: v + 1 for k, v in outer.state_dict().items()}
    assert list(state) == ["0.weight", "0.bias", *(f"1.{k}" for k in shallow().state_dict())]
    outer.load_state_dict(state)
    for replica in outer[1].replicas:
        assert torch.equal(replica[0].weight, state["1.0.weight"])
    with pytest.raises(RuntimeError, match=r"1\.0\.weight"):
        outer.load_state_dict({k: v for k, v in state.items() if k != "1.0.weight"})
