"""Int8 that is learned: weights and ranges are rounded while a copy of the net trains further.

Gradients pass a rounding as if it were not there. Batch norms go into the convolutions before them
first, and their statistics stay, as in the last passes of a training. The file is torchao's.
"""

from typing import Any

import torch

from compress.int8 import pt2e
from compress.int8.asked import Asked
from compress.int8.extras import quiet
from harness.exits import losses
from harness.seeding import order

BATCH = 64


def make(asked: Asked, how: str, *, epochs: int = 1, lr: float = 0.001, seed: int = 0) -> bytes:
    """Return the file of a net that has learned to be int8.

    Args:
        asked: The net, its samples and their classes.
        how: The word that the file has for this.
        epochs: Passes over the samples.
        lr: Rate of SGD with momentum .9; it falls along a cosine to 0.
        seed: Of the orders.

    Raises:
        ImportError: the extra is not installed.
        ValueError: no classes, or some that the net does not have; a loss that is not finite.
    """
    y = _targets(asked)
    if epochs < 1 or not 0 < lr < float("inf"):
        raise ValueError(f"epochs must be at least 1 and lr above 0, got {epochs} and {lr}")
    prepared = pt2e.prepare(asked, learning=True)
    optimizer = torch.optim.SGD(prepared.parameters(), lr=lr, momentum=0.9)
    batches = [
        index
        for epoch in range(epochs)
        for index in order(seed, epoch, len(y)).split(BATCH)
        if len(index) > 1 or len(y) == 1
    ]
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(batches))
    for index in batches:
        _step(prepared, optimizer, asked.x[index], y[index])
        falling.step()
    return pt2e.packed(prepared, asked, how)


def _step(net: Any, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor) -> None:
    optimizer.zero_grad()
    with quiet(), torch.enable_grad():
        loss = losses(net(x), y).sum()
        loss.backward()
    if not loss.isfinite():
        raise ValueError(f"the loss became {loss.item()}: take a smaller lr")
    optimizer.step()


def _targets(asked: Asked) -> torch.Tensor:
    if asked.y is None:
        raise ValueError('how="qat" trains: calibration is (x, y), or a list of such pairs')
    y, classes = asked.y, min(asked.classes)
    if y.is_floating_point() or y.min() < 0 or y.max() >= classes:
        raise ValueError(f"y holds classes from 0 to {classes - 1}, got {y.dtype}, {y.unique()}")
    return y.long()
