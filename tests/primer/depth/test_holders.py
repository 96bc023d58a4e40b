"""Who holds what, beside what memory, formulas and counters of the library say."""

import numpy as np
import pytest
import torch
from torch import nn

from harness.data import Data
from primer.depth import holders

N, BATCH = 4, 8
NET = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
NUMBERS = sum(p.numel() for p in NET.parameters())


@pytest.fixture(scope="module")
def noise():
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 6, generator=draw), torch.randint(4, (40,), generator=draw)
    return Data.from_tensors(x, y, name="noise")


@pytest.mark.parametrize("name", ["all_reduce", "zero1", "zero2", "zero3"])
def test_slices_are_those_that_memory_says(name, noise):
    one = holders.of_strategy(name, NET, noise, N, BATCH)
    assert one.theory == one.counted
    assert one.samples.shape == (N, BATCH)
    assert (one.samples.sum(0) == 1).all()
    stage = int(name[-1]) if name.startswith("zero") else 0
    for kind, first in (("parameters", 3), ("gradients", 2), ("optimizer", 1)):
        mask = one.kinds[kind]
        assert (mask.sum(0) == (1 if stage >= first else N)).all()
        if stage:
            assert 4 * mask[0].sum() == one.row["held_theory"][kind]
    if stage:
        rest, peak = one.row["held_rest"], one.row["held_peak"]
        seen = rest | {"gradients": (rest if stage > 1 else peak)["gradients"]}
        assert {kind: 4 * mask[0].sum() for kind, mask in one.kinds.items()} == seen


def test_subnets_share_what_belongs_to_no_neuron_and_nothing_else(noise):
    one = holders.of_strategy("ist", NET, noise, N, BATCH, period=1)
    assert one.theory == one.counted
    copies = one.kinds["parameters"].sum(0)
    bias = holders.places(NET)["4.bias"].numpy()
    assert (copies[bias] == N).all()
    assert np.delete(copies, bias).max() == 1


def test_stages_divide_the_layers(noise):
    one = holders.of_pipeline(NET, noise, 3, 9)
    mask = one.kinds["parameters"]
    assert (mask.sum(0) == 1).all()
    starts = [int(np.flatnonzero(row)[0]) for row in mask]
    assert starts == sorted(starts)
    assert mask.sum() == NUMBERS
    assert one.samples.all()
    assert one.theory == one.counted > 0
