"""Builds the fully connected nets of the gossip experiments, and plain ones of any width.

    iris     4 - 10 - 3
    mnist    784 - 1024 - 1024 - 1024 - 10, dropout 0.2 on the input and 0.5 on hidden layers,
             He-normal start, biases 0

Dropout is keyed (harness.nets.dropout): the same masks in every world.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import pairwise

from torch import nn

from harness.nets.dropout import KeyedDropout
from harness.seeding import seeded


def mlp(
    widths: Sequence[int],
    seed: int | None = 0,
    dropout: tuple[float, float] = (0.0, 0.0),
    he: bool = False,
) -> nn.Sequential:
    """Build a net of Linear and ReLU in turn.

    Args:
        widths: Of the input, the hidden layers and the output.
        seed: Of the first weights; None: they are drawn from torch's generator, as those of torch's
            own layers are, so that each net begins elsewhere.
        dropout: Shares of the input and of hidden layers.
        he: Start as He's instead of as torch's layers do.

    Raises:
        ValueError: a single width, of which no layer can be made.
    """
    if len(widths) < 2:
        raise ValueError(f"widths are those of input and output at least, got {tuple(widths)}")
    layers: list[nn.Module] = []
    last = len(widths) - 2
    with nullcontext() if seed is None else seeded(seed, "init"):
        for i, (a, b) in enumerate(pairwise(widths)):
            share = dropout[min(i, 1)]
            if share:
                layers.append(KeyedDropout(share, layer=i))
            layers.append(linear(a, b, he))
            if i < last:
                layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def linear(inputs: int, outputs: int, he: bool) -> nn.Linear:
    """Build one linear layer, with torch's first weights or He's."""
    layer = nn.Linear(inputs, outputs)
    if he:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    return layer


def iris(seed: int = 0) -> nn.Sequential:
    """Build the net of the experiment iris."""
    return mlp((4, 10, 3), seed)


def mnist(seed: int = 0) -> nn.Sequential:
    """Build the net of the experiment mnist."""
    return mlp((784, 1024, 1024, 1024, 10), seed, (0.2, 0.5), he=True)
