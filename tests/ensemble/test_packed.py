"""Layers that hold many nets answer what those answer, and say what they cost."""

import pytest
import torch
from torch import nn

from ensemble.packed import Members, PackedLinear, packed_conv2d, width
from ensemble.shared import BatchEnsembleLinear
from harness import cost


def packed(members, alpha):
    return nn.Sequential(
        PackedLinear(12, 8, members, alpha, first=True),
        nn.ReLU(),
        PackedLinear(8, 3, members, alpha, last=True),
        Members(members),
    )


@pytest.mark.parametrize(("alpha", "each"), [(1, 2), (2, 4), (4, 8)])
def test_alpha_is_the_width_of_all_over_that_of_the_net(alpha, each):
    net = packed(4, alpha)
    assert net[0].weight.shape == (4, each, 12)
    assert net[2].weight.shape == (4, 3, each)
    assert net(torch.randn(5, 12)).shape == (4, 5, 3)
    assert cost.total(net, (12,)).macs == 4 * (12 * each + each * 3)


def test_members_do_not_read_each_other():
    net = packed(4, 2)
    x = torch.randn(5, 12)
    before = net(x)
    with torch.no_grad():
        net[0].weight[1].zero_()
    after = net(x)
    assert torch.equal(before[[0, 2, 3]], after[[0, 2, 3]])
    assert not torch.equal(before[1], after[1])


def test_widths_are_rounded_up():
    assert width(10, 4, 1) == 3
    assert width(2, 4, 1) == 1


@pytest.mark.parametrize("alpha", [0, 5])
def test_alpha_beyond_whole_nets_is_refused(alpha):
    with pytest.raises(ValueError, match="at most members=4"):
        PackedLinear(12, 8, 4, alpha)


def test_an_input_of_one_member_is_refused():
    with pytest.raises(ValueError, match=r"\(batch, 16\), got \(5, 4\)"):
        PackedLinear(8, 8, 4, 2)(torch.randn(5, 4))


def test_convolutions_that_differ_are_not_packed():
    with pytest.raises(ValueError, match="alike"):
        packed_conv2d([nn.Conv2d(2, 4, 3), nn.Conv2d(2, 4, 1)])
    with pytest.raises(ValueError, match="no groups"):
        packed_conv2d([nn.Conv2d(2, 4, 3, groups=2)] * 2, first=True)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_packed_convolution_keeps_all_settings(groups):
    settings = dict(stride=2, padding=1, dilation=2, groups=groups, bias=False)
    layers = [nn.Conv2d(4, 6, 3, padding_mode="reflect", **settings) for _ in range(3)]
    x = torch.randn(2, 12, 9, 9)
    made = torch.cat([m(part) for m, part in zip(layers, x.chunk(3, 1), strict=True)], 1)
    torch.testing.assert_close(packed_conv2d(layers)(x), made)


def test_batch_ensemble_reads_one_input_or_one_each():
    layer = BatchEnsembleLinear(6, 3, 4)
    x = torch.randn(5, 6)
    torch.testing.assert_close(layer(x), layer(x.expand(4, 5, 6)))
    with pytest.raises(ValueError, match=r"\(4, batch, 6\)"):
        layer(torch.randn(3, 5, 6))
    assert repr(layer) == "BatchEnsembleLinear(6, 3, members=4, bias=True)"


@pytest.mark.parametrize("shape", [(6,), (4, 1, 6)])
def test_batch_ensemble_costs_both_scalings(shape):
    layer = BatchEnsembleLinear(6, 3, 4)
    x = torch.randn(1, 6) if len(shape) == 1 else torch.randn(shape)
    found = layer.cost(tuple(x.shape), tuple(layer(x).shape))
    assert found["macs"] == 4 * (18 + 6 + 3)
    assert found["nonzeros"] == 18 + 4 * (6 + 3)
    assert found["bias_adds"] == 4 * 3


def test_random_signs_are_signs():
    layer = BatchEnsembleLinear(6, 3, 4, spread=0)
    assert set(layer.r.flatten().tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize(
    "layers",
    [
        [],
        [nn.Linear(3, 2), nn.Linear(3, 2, bias=False)],
        [nn.Linear(3, 2), nn.Linear(3, 2).double()],
        [nn.Linear(3, 2), nn.Linear(4, 2)],
    ],
)
def test_layers_that_differ_are_not_packed(layers):
    with pytest.raises(ValueError, match="packed layers are alike, one or more, got"):
        PackedLinear.of(layers)


def test_no_convolutions_are_not_packed():
    with pytest.raises(ValueError, match="packed convolutions are alike, one or more, got none"):
        packed_conv2d([])
