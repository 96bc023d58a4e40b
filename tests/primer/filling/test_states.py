"""Bytes of a rank by stage, counted in steps of a small net that does not divide evenly."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from harness.data import Data
from harness.nets.perceptron import mlp
from parallel.strategy import make
from parallel.strategy.zero import Held
from parallel.strategy.zero import held as of_library
from parallel.training.training import Training
from parallel.world.comm import Comm
from primer.batch import costs
from primer.filling import states
from primer.saved import keeping

STAGES = ("all_reduce", "zero1", "zero2", "zero3")
WIDTHS, SAMPLES = (4, 6, 5, 3), 24
N, UNIT = 83, 6 * 5 + 5  # 30 + 35 + 18 weights, and those of the largest layer
OPTIMIZERS = {
    0: partial(torch.optim.SGD, lr=0.1),
    1: partial(torch.optim.SGD, lr=0.1, momentum=0.9),
    2: partial(torch.optim.Adam, lr=0.1),
}


def stepped(stage, ranks, optimizer):
    """A training after its second step, and what autograd kept in that."""
    torch.manual_seed(0)
    x, y = torch.randn(SAMPLES, WIDTHS[0]), torch.arange(SAMPLES) % 3
    data = Data("made", "none", x, y, x, y)
    parts = lambda rank: mlp(WIDTHS), data, F.cross_entropy, optimizer, make(STAGES[stage])
    training = Training(*parts, Comm(ranks), batch_size=12, seed=0)
    training.step()
    leaves = [
        leaf for k in training.members.get("params") for leaf in training.members.leaves_of(k)
    ]
    with keeping(leaves) as kept:
        training.step()
    return training, kept


@pytest.mark.parametrize("stage", range(4))
@pytest.mark.parametrize("copies", OPTIMIZERS)
def test_a_rank_holds_what_the_formula_says(stage, copies):
    for ranks in (1, 3, 4):
        rest, most = states.counted(stepped(stage, ranks, OPTIMIZERS[copies])[0])
        late = most if stage == 1 else rest  # gradients that are whole until the backward is over
        for kind, found in (
            ("parameters", rest["parameters"]),
            ("gradients", late["gradients"]),
            ("optimizer", rest["optimizer"]),
        ):
            each = 4 * copies if kind == "optimizer" else 4
            assert found == states.held(kind, stage, N, ranks, each)
        assert most["parameters"] == states.lent(stage, N, ranks, UNIT, 4)


@pytest.mark.parametrize("stage", range(4))
def test_what_is_kept_for_the_backward_is_divided_by_nobody(stage):
    """Simulated ranks keep together what one would: each what its own samples need."""
    for ranks in (1, 4):
        _, kept = stepped(stage, ranks, OPTIMIZERS[2])
        assert kept.bytes == costs.kept(WIDTHS, 12)


@pytest.mark.parametrize("stage", range(4))
def test_the_formula_is_the_librarys(stage):
    for numbers, ranks in ((93, 1), (93, 4), (7_500_000_000, 64)):
        there = of_library(stage, numbers, ranks, Held(2, 4, 12))
        for kind, each in (("parameters", 2), ("gradients", 4), ("optimizer", 12)):
            assert states.held(kind, stage, numbers, ranks, each) == getattr(there, kind)
