"""Multilayer perceptrons whose hidden layers follow a pattern.

    x -> [hidden layer, ReLU] -> [hidden layer, ReLU] -> linear -> logits      (each [] is a stage)

The last layer is always dense, with bias. The original study put a log_softmax behind it and
another inside the loss; the second of two changes nothing, so there is only the loss's here.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import nn

from bibd import Pattern, SparseLinear, make_pattern
from harness.seeding import derive, seeded
from harness.stack import stack
from mlp.plans.config import Config


class MLP(nn.Module):
    """A row of stages that maps (..., inputs) to logits (..., classes)."""

    def __init__(self, stages: nn.Sequential):
        super().__init__()
        self.stages = stages

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        return self.stages(x)

    def forward_exits(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the logits of every exit, of which this net has one."""
        return [self(x)]

    @classmethod
    def stack(cls, nets: "Sequence[MLP]") -> "MLP":
        """Make one net of many, with a leading axis for its members."""
        return cls(stack([net.stages for net in nets]))  # pyright: ignore


def build(config: Config, inputs: int, classes: int, seed: int) -> MLP:
    """Build the model of a config, with this seed's first weights and patterns."""
    tables = patterns(config, inputs, seed)
    with seeded(seed, "init"):
        hidden = [nn.Sequential(_layer(config, table), nn.ReLU()) for table in tables]
        return MLP(nn.Sequential(*hidden, nn.Linear(config.hidden[-1], classes)))


def patterns(config: Config, inputs: int, seed: int) -> list[Pattern]:
    """Return the patterns of the hidden layers, as this seed has them."""
    # Random patterns draw anew per seed; the others keep their canonical order unless relabelled.
    anew = config.relabel or config.pattern.startswith("random")
    return [
        make_pattern(config.pattern, a, b, derive(seed, "design", i) if anew else None)
        for i, (a, b) in enumerate(itertools.pairwise((inputs, *config.hidden)))
    ]


def _layer(config: Config, pattern: Pattern) -> nn.Module:
    if config.pattern != "dense":
        return SparseLinear(*pattern.shape, pattern, config.sparse_bias, init=config.init)
    layer = nn.Linear(*pattern.shape)
    if config.init == "true":  # as the sparse ones; torch's own start is sqrt(6) smaller
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer
