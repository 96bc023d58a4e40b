"""Subnets of widths that do not divide by the workers are masked full nets."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from parallel import World, train
from parallel.identities import averaging as identities
from parallel.identities import rules
from parallel.strategy import make
from parallel.training.training import Training
from parallel.world.comm import Comm


@pytest.mark.parametrize("world", ["sim", "procs"])
def test_subnets_of_a_width_that_does_not_divide(world):
    """10 neurons for four workers; the same as masked full nets in plain Python."""
    from harness.nets.perceptron import mlp

    words = mlp((4, 10, 3)), identities.task(), F.cross_entropy
    model = words[0].double()
    crew = World.sim(4) if world == "sim" else World.procs(4, timeout=20)
    options = dict(steps=9, batch_size=8, every=9)
    (row,) = train(model, *words[1:], strategy=make("ist", period=4), world=crew, **options)
    (same,) = train(
        model, *words[1:], strategy=make("ist", period=4), world=World.sim(4), **options
    )
    assert row["test_loss"] == pytest.approx(same["test_loss"], abs=1e-12)
    assert row["consensus_distance"] is None


@pytest.mark.parametrize("rescale", ["auto", True, False])
def test_uneven_subnets_are_masked_nets(rescale):
    from parallel.identities import oracle
    from parallel.strategy.base import random
    from parallel.subnets.cutting import partition

    torch.manual_seed(4)
    model = nn.Sequential(nn.Linear(4, 7), nn.ReLU(), nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 3))
    sgd = dict(lr=0.05, momentum=0.8, weight_decay=0.01)
    data = identities.task()
    found = Training(
        *(model.double(), data, F.cross_entropy, partial(torch.optim.SGD, **sgd)),
        *(make("ist", period=3, rescale=rescale), Comm(3)),
        batch_size=7,
        seed=5,
    )
    for _ in range(8):
        found.step()
    batches = [[i.tolist() for i in found.shards.at(k)] for k in range(1, 9)]
    parts = lambda k: [[p.tolist() for p in own] for own in partition([7, 5], 3, random(5, k))]  # noqa: E731
    words = batches, partial(oracle.SGD, **sgd), 3, parts, rescale
    xs, ys = data.train_x.tolist(), data.train_y.tolist()
    expected = oracle.subnets(rules.lists(model), xs, ys, *words)
    assert identities._apart([expected], [identities._flat(found)]) <= 1e-12
