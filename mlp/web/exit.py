"""Gives a trained MLP an exit after its first hidden layer; the net itself stays as it is."""

from math import ceil
from typing import NamedTuple

import torch
import torch.nn.functional as F

from harness.data import Data
from harness.exits import EarlyExit, Outcome, attach, fit, outcome, record
from harness.seeding import order, seeded
from mlp.model import MLP

AFTER = 0  # the stage
EPOCHS, BATCH, RATE = 3, 128, 0.05
LOSS = 0.005  # of accuracy on held-out samples that an early answer may cost


class Exits(NamedTuple):
    """What the exits of a net do on the test set, alone and together under the threshold."""

    samples: int
    threshold: float
    alone: list[float]
    together: Outcome


def with_exit(net: MLP, data: Data, seed: int) -> EarlyExit:
    """Return the net with an exit that has learned from the training set, beside it."""
    with seeded(seed, "init", 1):
        found = attach(net, (AFTER,), data.shape, data.classes, head="linear").eval()
    with torch.no_grad():
        x = torch.cat([net.stages[AFTER](part) for part in data.train_x.split(5000)])
    head = found.heads[0]
    optimizer = torch.optim.SGD(head.parameters(), lr=RATE, momentum=0.9)
    for epoch in range(EPOCHS):
        for index in order(seed, epoch, len(x)).split(BATCH):
            loss = F.cross_entropy(head(x[index]), data.train_y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return found


def judge(net: EarlyExit, data: Data) -> Exits:
    """Choose the threshold on samples that were set aside, and test what it gives."""
    assert data.validation_x is not None
    assert data.validation_y is not None
    held = record(net, data.validation_x, data.validation_y)
    (bound,) = fit(held, accuracy=float(held.right[-1].mean()) - LOSS)["thresholds"]
    bound = ceil(100 * bound) / 100  # (as the page's slider has it)
    test = record(net, data.test_x, data.test_y)
    return Exits(len(data.test_y), bound, test.right.mean(1).tolist(), outcome(test, (bound,)))
