"""Trains five seeds side by side until they can read, for a batch and a rate.

Each member of the stack (harness.stack) draws its own samples, with replacement: so a batch may be
larger than the training set, and all batches follow one law.

    step       1  2  3 ... 20  21  22  23  24  25  26 ... 40  42  44 ...
    tested     x  x  x     x   x   x   x   x   x   x      x   x   x       5 % further each time
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from harness.data import Data
from harness.nets.perceptron import mlp
from harness.seeding import generator
from harness.stack import stack
from harness.train.fit import descend, evaluate, take

FURTHER = 1.05  # from one test to the next


@dataclass(frozen=True)
class Reached:
    """For each seed: the step from which it could read, and its gap; None where it never was."""

    steps: list[int | None]
    gaps: list[float | None]  # accuracy on what it has trained on, less that on what it has not

    @property
    def all(self) -> bool:
        """Return whether all seeds can read."""
        return None not in self.steps


def walk(
    data: Data, widths: Sequence[int], batch: int, rate: float, seeds: Sequence[int], most: int
) -> Iterator[tuple[int, nn.Module]]:
    """Train a stack, and yield step and net where it is to be tested."""
    net = stack([mlp(widths, seed) for seed in seeds])
    optimizer = torch.optim.SGD(net.parameters(), lr=rate)
    draws = [generator(seed, "sample") for seed in seeds]
    n, tested = len(data.train_x), 0.0
    for step in range(1, most + 1):
        index = torch.stack([torch.randint(n, (batch,), generator=g) for g in draws])
        descend(net, optimizer, take(data.train_x, index), take(data.train_y, index))
        if step >= tested or step == most:
            yield step, net
            tested = FURTHER * step


def race(
    data: Data,
    walked: Iterable[tuple[int, nn.Module]],
    members: int,
    right: float = 0.95,
    low: float | None = None,
) -> Reached:
    """Test a walk until all members read this share of the test samples.

    With `low`, go on until their training losses are so low, and look at each one's gap there.
    """
    steps: list[int | None] = [None] * members
    gaps: list[float | None] = [None] * members
    for step, net in walked:
        _, tested = evaluate(net, data.test_x, data.test_y, members)
        _mark(steps, tested >= right, [step] * members)
        if low is not None:
            loss, known = evaluate(net, data.train_x, data.train_y, members)
            _mark(gaps, loss <= low, (known - tested).tolist())
        if None not in steps and (low is None or None not in gaps):
            break
    return Reached(steps, gaps)


def _mark(found: list, there: torch.Tensor, values: Sequence) -> None:
    """Write down the value of each that is there for the first time."""
    for i in there.nonzero().flatten().tolist():
        found[i] = values[i] if found[i] is None else found[i]


def member(net: nn.Module, i: int, widths: Sequence[int]) -> nn.Module:
    """Return a copy of one net of a stack, as it would be alone."""
    alone = mlp(widths)
    state = {k: v[i].reshape(alone.get_parameter(k).shape) for k, v in net.state_dict().items()}
    alone.load_state_dict(state)
    return alone
