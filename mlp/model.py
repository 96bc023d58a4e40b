"""Multilayer perceptrons whose hidden layers follow a pattern.

    x -> [hidden layer, ReLU] -> [hidden layer, ReLU] -> linear -> logits      (each [] is a stage)

The last layer is always dense, with bias. The original study put a log_softmax behind it and
another inside the loss; the second of two changes nothing, so there is only the loss's here.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import nn

from bibd import SparseLinear
from harness.seeding import derive, seeded
from harness.stack import stack
from mlp.experiments import Config


class MLP(nn.Module):
    """A row of stages; input (..., inputs), output logits (..., classes)."""

    def __init__(self, stages: nn.Sequential):
        super().__init__()
        self.stages = stages

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The logits."""
        return self.stages(x)

    def forward_exits(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Logits of every exit; this net has one."""
        return [self(x)]

    @classmethod
    def stack(cls, nets: "Sequence[MLP]") -> "MLP":
        """Many of them with a leading axis."""
        return cls(stack([net.stages for net in nets]))  # pyright: ignore


def build(config: Config, inputs: int, classes: int, seed: int) -> MLP:
    """The model of a config, with this seed's first weights and patterns."""
    widths = (inputs, *config.hidden)
    with seeded(seed, "init"):
        hidden = [
            nn.Sequential(_layer(config, a, b, derive(seed, "design", i)), nn.ReLU())
            for i, (a, b) in enumerate(itertools.pairwise(widths))
        ]
        return MLP(nn.Sequential(*hidden, nn.Linear(widths[-1], classes)))


def _layer(config: Config, a: int, b: int, design: int) -> nn.Module:
    if config.pattern == "dense":
        return nn.Linear(a, b)
    # Only random patterns draw anew per seed; the others stay in their canonical order.
    seed = design if config.pattern.startswith("random") else None
    return SparseLinear(a, b, config.pattern, config.sparse_bias, seed, config.init)
