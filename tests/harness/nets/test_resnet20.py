"""ResNet-20: the published size, its twenty layers, and starts by the seed."""

import torch
from torch import nn

from harness.nets.resnet20 import resnet20


def test_the_net_has_the_published_number_of_parameters():
    net = resnet20()
    past = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64  # (convolutions past two blocks; He pads instead)
    assert sum(p.numel() for p in net.parameters()) == 269_722 + past
    deep = [m for n, m in net.named_modules() if isinstance(m, nn.Conv2d) and "past" not in n]
    assert len(deep) + 1 == 20


def test_pictures_are_halved_twice_and_starts_follow_the_seed():
    net = resnet20(4, 7, 1, seed=3)
    sides = []
    for stage in net.stages[:-1]:
        stage.register_forward_hook(lambda m, x, y: sides.append((y.shape[1], y.shape[-1])))
    assert net(torch.zeros(2, 1, 16, 16)).shape == (2, 7)
    assert sides == [(4, 16), (4, 16), (8, 8), (16, 4)]
    again, other = resnet20(4, 7, 1, seed=3), resnet20(4, 7, 1, seed=4)
    assert torch.equal(net.stages[0][0].weight, again.stages[0][0].weight)
    assert not torch.equal(net.stages[0][0].weight, other.stages[0][0].weight)
