"""Small nets for the tests of files."""

from itertools import pairwise

import torch
from torch import nn

from bibd import SparseConv2d, SparseLinear, from_mask, make_pattern


def pruned(sizes=(20, 12, 5), density=0.3, seed=0) -> nn.Sequential:
    """A perceptron of which few weights are left."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    net = nn.Sequential(*layers[:-1])
    return prune(net, density)


def prune(net: nn.Module, density: float) -> nn.Module:
    with torch.no_grad():
        for p in net.parameters():
            if p.ndim > 1:
                p.mul_(torch.rand_like(p) < density)
    return net


class Mixed(nn.Module):
    """Convolutions, norms, sparse layers, an embedding, a recurrent layer, a tied weight."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.conv = prune(nn.Conv2d(3, 8, 3, bias=False), 0.4)
        self.norm = nn.BatchNorm2d(8)
        self.sparse_conv = SparseConv2d(8, 8, 3, pattern="random", seed=5)
        self.described = SparseLinear(16, 12, "bibd", seed=3)
        mask = torch.rand(6, 12) < 0.4
        mask[:, 0] = True
        self.learned = SparseLinear(12, 6, from_mask(mask))
        self.embedding = nn.Embedding(7, 4)
        self.first = nn.Linear(4, 7)
        self.first.weight = self.embedding.weight
        self.recurrent = nn.GRU(4, 3)
        self.group = nn.Conv1d(4, 4, 1, groups=2)
        self.register_buffer("mask", torch.tensor([0.0, float("-inf")]))
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(1e-6, 2)
        with torch.no_grad():
            self.described.weight[::3] = 0


def superset(inputs=20, outputs=12):
    return make_pattern("random", inputs, outputs, seed=4, nonzeros=inputs * outputs // 2)


def same(a, b) -> bool:
    """Whether two states are equal, bit for bit."""
    assert list(a) == list(b)
    return all(
        a[k].dtype == b[k].dtype and a[k].shape == b[k].shape and torch.equal(raw(a[k]), raw(b[k]))
        for k in a
    )


def raw(x):
    return x.contiguous().reshape(-1).view(torch.uint8) if x.numel() else x.reshape(-1)
