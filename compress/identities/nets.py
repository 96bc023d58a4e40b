"""The small nets of the identities of pruning, in float64: their starts are always the same."""

import torch
from torch import nn

import bibd
from compress.pruning.layers import found

INPUTS, CLASSES, SAMPLES = 12, 3, 20


def mlp(act: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Return a small net; its start is always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        layers = nn.Linear(INPUTS, 9), act(), nn.Linear(9, 7), act(), nn.Linear(7, CLASSES)
        return nn.Sequential(*layers).double()


def conv() -> nn.Sequential:
    """Return a small convolutional net with groups, a stride and circular padding."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        first = nn.Conv2d(2, 4, 3, padding=1)
        second = nn.Conv2d(4, 6, 3, stride=2, groups=2, padding=1, padding_mode="circular")
        layers = first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), nn.Linear(54, CLASSES)
        return nn.Sequential(*layers).double()


def samples(net: nn.Sequential) -> tuple[torch.Tensor, torch.Tensor]:
    """Return samples as a net takes them, and classes."""
    g = torch.Generator().manual_seed(5)
    shape = (2, 6, 6) if isinstance(net[0], nn.Conv2d | bibd.SparseConv2d) else (INPUTS,)
    x = torch.randn(SAMPLES, *shape, generator=g, dtype=torch.float64)
    return x, torch.randint(CLASSES, (SAMPLES,), generator=g)


def terms(net: nn.Module) -> int:
    """Return how many numbers are added or multiplied on the way to an answer, and back."""
    return 2 * sum(2 * w.numel() for w in found(net).values())
