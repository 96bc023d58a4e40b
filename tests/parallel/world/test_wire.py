"""What the wire makes of those who live."""

import pytest
import torch

from parallel.identities import averaging as identities
from parallel.strategy import make
from parallel.world import packing
from parallel.world.star import WEIGHT, weighed
from parallel.world.wire import Wire


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
