"""Counts against other people's counters, and by hand."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bibd import SparseLinear
from harness import cost
from harness.cost import Cost


def net():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, groups=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, groups=4),
        nn.Flatten(),
        nn.Linear(12 * 14 * 14, 10),
    )


SHAPE = (3, 32, 32)


class Remembers(nn.Module):
    """Keeps what it made in its first call, and looks at its input with numpy."""

    def __init__(self):
        super().__init__()
        self.linear, self.place = nn.Linear(4, 2), None

    def forward(self, x):
        if self.place is None:
            self.place = torch.arange(4, device=x.device)
        return self.linear(x + self.place) * float(x.detach().numpy().max() >= 0)


def test_counting_leaves_no_trace():
    net = nn.Sequential(Remembers().linear, nn.BatchNorm1d(2))
    net.train()
    net[1].eval()  # frozen
    assert cost.total(net, (4,)).macs == 8
    assert [m.training for m in net] == [True, False]
    seeing = nn.Sequential(Remembers())
    assert cost.total(seeing, (4,)).macs == 8
    assert seeing(torch.ones(2, 4)).shape == (2, 2)
    assert seeing.training


def test_by_hand():
    total = cost.total(net(), SHAPE)
    macs = 8 * 27 * 256 + 12 * (2 * 9) * 196 + 12 * 196 * 10
    assert total.macs == macs
    assert total.nonzeros == 8 * 27 + 12 * 18 + 23520
    assert total.bias_adds == 12 * 196 + 10
    assert total.norm_elements == 8 * 256
    assert total.flops("true") == 2 * macs + 12 * 196 + 10 + 2 * 8 * 256
    assert total.flops("iddl") == macs + 2 * 8 * 256
    assert total.bytes == cost.held_bytes(net())


def test_against_the_flop_counter_of_torch():
    model = net().eval()
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, *SHAPE))
    assert counter.get_total_flops() == 2 * cost.total(model, SHAPE).macs


@pytest.mark.filterwarnings("ignore")
def test_against_thop():
    """Thop counts 4 per element of a norm with scale and shift where we count 2."""
    import thop  # it warns when it is imported

    model = net()
    macs, parameters = thop.profile(model, (torch.zeros(1, *SHAPE),), verbose=False)
    ours = cost.total(net(), SHAPE)
    assert int(macs) == ours.macs + 4 * ours.norm_elements
    assert int(parameters) == sum(p.numel() for p in net().parameters())


def test_a_module_that_answers_is_counted_once_and_alone():
    class Asked(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 4)

        def forward(self, x):
            return self.inner(x)

        def cost(self, input_shape, output_shape):
            assert (input_shape, output_shape) == ((1, 4), (1, 4))
            return {"macs": 5, "nonzeros": 3}

    assert cost.total(nn.Sequential(Asked(), nn.ReLU()), (4,)) == Cost(5, 3)


def test_a_sparse_layer_costs_its_connections():
    layer = SparseLinear(784, 49, "iddl")
    total = cost.total(layer, (784,))
    assert (total.macs, total.nonzeros, total.bias_adds) == (1372, 1372, 49)
    assert total.bytes == 4 * (1372 + 49) + 8 * 1372


def test_a_module_used_twice_is_worked_twice_and_stored_once():
    shared = nn.Linear(4, 4, bias=False)
    total = cost.total(nn.Sequential(shared, nn.ReLU(), shared), (4,))
    assert (total.macs, total.nonzeros) == (32, 16)


def test_unknown_modules_with_parameters_are_refused():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return x * self.scale

    with pytest.raises(ValueError, match=r"'1' \(Own\) is in no cost table: give it a cost method"):
        cost.total(nn.Sequential(nn.Linear(4, 4), Own()), (4,))
    with pytest.raises(ValueError, match="mode must be one of true, iddl"):
        Cost().flops("thop")


def test_the_model_is_left_as_it_was():
    model = net().train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    cost.total(model, SHAPE)
    assert cost.latency(model, SHAPE, 2, seconds=0.0) > 0
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())
