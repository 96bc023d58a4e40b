"""Wrong words of strategies, plans and training; and parts of worlds by themselves."""

import numpy as np
import pytest
import torch
from torch import nn

from harness.nets.dropout import KeyedDropout
from parallel import train
from parallel.identities import averaging as identities
from parallel.strategy import make
from parallel.strategy.gossip import ElasticGossip
from parallel.world import packing
from parallel.world.ops import CENTRE, AllReduce, Exchange, Round, check
from parallel.world.star import WEIGHT, weighed
from parallel.world.wire import Wire


def broken(**options):
    return lambda: train(identities.net(), identities.task(), steps=1, **options)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: make("post_local_sgd", switch=2.5).init(2), "number of a step, 0 or later"),
        (lambda: make("gossip_pull", penalty=float("nan")).init(2), r"penalty must be in \(0, 100"),
        (lambda: make("elastic_gossip", penalty=1.0, matching=True).init(2), "no effect on it"),
        (lambda: make("ist", average="float_buffers").init(2), "nothing is averaged by `average`"),
        (
            lambda: make("elastic_gossip", alpha=0.6, average="optimizer_state").init(2),
            "own weight may fall below 0",
        ),
        (broken(strategy=ElasticGossip), "make it first"),
        (broken(seed=-1), "seed is a whole number, 0 or more"),
        (broken(every=2.5), "every is a whole number, 1 or more"),
        (lambda: train(identities.net(), identities.task(), steps=2.5), "steps is a whole number"),
    ],
)
def test_wrong_words_of_strategies_and_training(call, text):
    with pytest.raises(ValueError, match=text):
        list(call() or ())


def test_two_dropouts_of_one_number_are_refused():
    twice = nn.Sequential(KeyedDropout(0.5), nn.Linear(4, 3), KeyedDropout(0.5)).double()
    with pytest.raises(ValueError, match=r"have the numbers \[0, 0\]"):
        list(train(twice, identities.task(), steps=1))


def test_masks_differ_between_workers_layers_and_steps():
    layers = KeyedDropout(0.5, 0), KeyedDropout(0.5, 1)
    masks = []
    for layer in layers:
        for step, worker in ((1, 0), (1, 1), (2, 0)):
            layer.step, layer.workers = step, (worker,)
            masks.append(layer.mask(torch.ones(64)))
    for i, one in enumerate(masks):
        assert not any(torch.equal(one, other) for other in masks[:i])


def test_the_weight_of_who_does_not_come_goes_to_oneself():
    wire = Wire(0, 3, None, 1.0, elastic=True)
    rows = {"w": torch.tensor([[2.0]])}
    found = {"w": torch.zeros(1, 1)}
    got = {(1, 0): {"w": torch.tensor([8.0])}}
    wire._add_up(found, rows, 0, {0: -0.5, 1: 0.25, 2: 0.25}, got)
    assert found["w"].item() == (-0.5 + 0.25) * 2 + 0.25 * 8


@pytest.mark.parametrize(("weights", "mean"), [((0.5, 0.25), 4.0), ((0.0, 0.0), 5.0)])
def test_the_mean_of_those_who_live(weights, mean):
    """By their weights; alike where only the dead had any."""
    came = [
        {"w": torch.tensor([value]), WEIGHT: torch.tensor(weight).double()}
        for value, weight in zip((2.0, 8.0), weights, strict=True)
    ]
    parts = list(zip(*map(packing.pack, came), strict=True))
    found = packing.unpack(weighed(parts, came[0]), came[0])["w"]
    assert found.item() == pytest.approx(mean)


def test_the_distance_is_of_those_who_live():
    executor = identities.trained(make("no_comm"), workers=2, steps=6).executor
    whole = executor.distance()
    executor.comm.alone, executor.comm.everyone = False, lambda value: [value]
    assert executor.distance() == pytest.approx(whole * 2**0.5)


def test_near_peers_are_picked_more_often():
    near, even = (make("gossip_pull", penalty=p) for p in (3.0, None))
    counts = []
    for strategy in (near, even):
        strategy.init(4)
        picked = [strategy.picks(7, k)[0] for k in range(1, 2001)]
        counts.append(max(picked.count(i) for i in range(4)))
    assert counts[0] > 1.3 * counts[1]
    assert counts[1] < 2000 * 0.37


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        (Round(after=(AllReduce("gradients"),)), "averaged before the step"),
        (Round(before=(Exchange(0, CENTRE),)), "names a worker that is not there"),
        (Round(before=(Exchange(np.int64(0), 1),)), "something else than int"),
    ],
)
def test_plans_that_cannot_be_followed(plan, text):
    with pytest.raises(ValueError, match=text):
        check(plan, 2, centre=False)
