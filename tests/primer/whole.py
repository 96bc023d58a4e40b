"""Steps in small whole numbers, whose sums are exact in any order; and PyTorch's gradients."""

from itertools import pairwise

import numpy as np
import torch


def drawn(widths, batch):
    """Small whole numbers, whose sums are exact in any order."""
    draw = np.random.default_rng(batch)
    shapes = [*pairwise(widths), (batch, widths[0]), (batch, widths[-1])]
    *weights, x, target = [draw.integers(-2, 3, shape).astype(float) for shape in shapes]
    return weights, x, target


def by_torch(weights, x, target):
    there = [torch.tensor(w, requires_grad=True) for w in weights]
    y = torch.tensor(x)
    for w in there:
        y = (y @ w).relu()
    ((y - torch.tensor(target)) ** 2 / 2).sum().backward()
    return [w.grad.numpy() for w in there]
