"""What is computed as one under zero3: nets whose weights lie elsewhere than in called children."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from parallel import DataParallel
from parallel.identities import averaging as identities
from parallel.world.comm import NotFinite
from parallel.zero.units import units


class Blocks(nn.Module):
    """A list of layers between two others, and weights in a list."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 5)
        self.blocks = nn.ModuleList([nn.Linear(5, 5), nn.ModuleDict({"in": nn.Linear(5, 5)})])
        self.shifts = nn.ParameterList([torch.ones(5)])
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        x = self.first(x)
        x = x + torch.tanh(self.blocks[0](x)) + self.shifts[0]
        return self.head(self.blocks[1]["in"](x))


class Attention(nn.Module):
    """Its only child reads the weights of its own child."""

    def __init__(self):
        super().__init__()
        self.only = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        x = x.unsqueeze(1)
        return self.only(x, x, x)[0].squeeze(1)


class Normed(nn.Module):
    """A layer whose weight is made of others."""

    def __init__(self):
        super().__init__()
        self.only = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))

    def forward(self, x):
        return self.only(x)


class Empty(nn.Module):
    """A net with weights that have no numbers, of its own and of a layer."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(4, 5), nn.Linear(5, 3)
        self.none = nn.Parameter(torch.zeros(0, 3))
        self.first.none = nn.Parameter(torch.zeros(0, 3))

    def forward(self, x):
        return self.head(self.first(x)) + self.none.sum()


class Tied(nn.Module):
    """A net that reads a layer's weight once more, by itself."""

    def __init__(self):
        super().__init__()
        self.first, self.mid = nn.Linear(4, 5), nn.Linear(5, 5)

    def forward(self, x):
        return F.linear(self.mid(self.first(x)), self.first.weight.t())


class Bare(nn.Module):
    """A net that calls no layer but the last."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.head(F.linear(x, self.first.weight))


def trained(model, style, penalty=0.0, steps=3):
    """A few steps of an ordinary loop."""
    torch.manual_seed(2)
    net = DataParallel(style=style, model=model.double(), workers=2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = net(torch.randn(6, 4, dtype=torch.float64)).square().mean()
        if penalty:
            loss = loss + penalty * sum(p.square().sum() for p in net.parameters())
        loss.backward()
        optimizer.step()
    return {k: v for k, v in net.state_dict().items() if v.numel()}


@pytest.mark.parametrize("make_net", [Blocks, Attention, Normed, Empty])
def test_nets_whose_weights_lie_elsewhere_train_as_under_all_reduce(make_net):
    torch.manual_seed(1)
    model = make_net()
    a, b = (trained(model, style) for style in ("all_reduce", "zero3"))
    assert identities.apart(a, b) <= 1e-12


def test_a_list_is_no_unit_and_its_layers_are():
    found = units(Blocks())
    assert list(found) == ["", "first", "blocks.0", "blocks.1.in", "head"]
    assert found[""] == ["shifts.0"]
    assert list(units(Attention())) == [""]


def test_a_weight_that_is_read_outside_of_its_module_is_named_at_once():
    said = r"first\.weight was read while its module was not being called: .*or take zero2"
    with pytest.raises(ValueError, match=said):
        trained(Tied(), "zero3")


def test_gradients_of_weights_that_were_not_there_are_not_blamed_on_the_rate_alone():
    """Autograd keeps nothing of a first layer's weight, and of a penalty no forward."""
    with pytest.raises(NotFinite, match=r"read elsewhere.* \(in this step first was not called\)"):
        trained(Bare(), "zero3")
    with pytest.raises(NotFinite, match=r"read elsewhere: .* a part of\. Take zero2 to find out"):
        trained(nn.Linear(4, 3), "zero3", penalty=0.1)
