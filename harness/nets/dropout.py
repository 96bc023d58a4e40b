"""Dropout whose masks depend on (seed, layer, step, worker) alone: the same wherever it runs.

    net = nn.Sequential(KeyedDropout(0.2, layer=0), nn.Linear(784, 1024), ...)
    set_key(net, seed=0, step=17, workers=[3])      before each training step

A stack of workers (harness.stack) has one mask per worker, each as that worker alone would draw it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from harness.seeding import generator


class KeyedDropout(nn.Module):
    """Dropout that zeroes a share p of its inputs in training and scales up the rest.

    Args:
        p: Share of the inputs that is zeroed.
        layer: Tells the masks of several layers of one net apart.
    """

    leading = False  # whether the first axis of the input counts workers

    def __init__(self, p: float = 0.5, layer: int = 0):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"p must be in [0, 1), got {p}")
        self.p, self.layer = p, layer
        self.seed, self.step, self.workers = 0, 0, (0,)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the masked input in training, and the input itself in eval mode."""
        if not self.training or self.p == 0:
            return x
        return x * self.mask(x).to(x.device, x.dtype)

    def mask(self, x: torch.Tensor) -> torch.Tensor:
        """Return the factor of each input: 0, or 1 / (1 - p)."""
        shape = x.shape[1:] if self.leading else x.shape
        drawn = [torch.rand(shape, generator=self._generator(w)) for w in self.workers]
        kept = (torch.stack(drawn) if self.leading else drawn[0]) >= self.p
        return kept.div(1 - self.p)

    def _generator(self, worker: int) -> torch.Generator:
        return generator(self.seed, "noise", self.layer, self.step, worker)

    def extra_repr(self) -> str:
        """Return the settings of the layer for print(net)."""
        return f"p={self.p}, layer={self.layer}"

    @classmethod
    def stack(cls, modules: "Sequence[KeyedDropout]") -> "KeyedDropout":
        """Make one layer for all workers, with a mask for each of them."""
        both = cls(modules[0].p, modules[0].layer)
        both.leading, both.workers = True, tuple(range(len(modules)))
        return both


def distinct(net: nn.Module) -> None:
    """Check that no two layers draw the same masks.

    Raises:
        ValueError: two KeyedDropout layers have one number.
    """
    numbers = [m.layer for m in net.modules() if isinstance(m, KeyedDropout)]
    if len(set(numbers)) < len(numbers):
        raise ValueError(
            f"KeyedDropout layers have the numbers {numbers} and would draw the same masks: give "
            "each its own, KeyedDropout(p, layer=1)"
        )


def set_key(net: nn.Module, **key: Any) -> None:
    """Set seed, step or workers of every KeyedDropout in a net."""
    for module in net.modules():
        if isinstance(module, KeyedDropout):
            for name, value in key.items():
                setattr(module, name, value)
