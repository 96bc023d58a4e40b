"""Conv-2 and Conv-4: the published sizes, and starts by the seed."""

import pytest
import torch
from torch import nn

from harness.nets.convs import convs


@pytest.mark.parametrize(("layers", "weights"), [(2, 4.3e6), (4, 2.4e6)])
def test_the_nets_have_the_published_number_of_weights(layers, weights):
    net = convs(layers)
    held = sum(p.numel() for p in net.parameters() if p.ndim > 1)
    assert held == pytest.approx(weights, rel=0.03)
    assert sum(isinstance(m, nn.Conv2d) for m in net.modules()) == layers


def test_widths_follow_the_first_and_starts_the_seed():
    net = convs(4, (1, 8, 8), 7, width=4, seed=3)
    assert net(torch.zeros(2, 1, 8, 8)).shape == (2, 7)
    assert [p.shape[0] for p in net.parameters() if p.ndim > 1] == [4, 4, 8, 8, 16, 16, 7]
    again, other = (convs(4, (1, 8, 8), 7, width=4, seed=s) for s in (3, 4))
    first = [n.stages[0][0].weight for n in (net, again, other)]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])


def test_what_cannot_be_built_is_refused():
    with pytest.raises(ValueError, match="unknown count of convolutions"):
        convs(3)
    with pytest.raises(ValueError, match="halves a picture 2 times, which leaves nothing of 3 x 9"):
        convs(4, (1, 3, 9))
