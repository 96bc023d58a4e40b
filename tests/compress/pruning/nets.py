"""Small nets and samples for the tests of pruning."""

import torch
from torch import nn


def mlp(seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, 3)
    ).to(dtype)


def conv(seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    layers = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()
    layers = *layers, nn.Conv2d(4, 6, 3, stride=2, groups=2, padding=1, padding_mode="circular")
    return nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(54, 3)).to(dtype)


def samples(net, count=20, seed=1):
    g = torch.Generator().manual_seed(seed)
    shape = (12,) if isinstance(net[0], nn.Linear) else (2, 6, 6)
    dtype = net[0].weight.dtype
    return torch.randn(count, *shape, generator=g).to(dtype), torch.randint(
        3, (count,), generator=g
    )
