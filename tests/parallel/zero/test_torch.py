"""Slices beside what torch has: DDP, ZeroRedundancyOptimizer, fully_shard, in processes."""

from functools import partial

import pytest

from parallel.identities.by_torch import KINDS, as_torch, missing
from parallel.strategy import make
from tests.parallel.processes import limit

pytestmark = pytest.mark.slow


def apart(kind, name, workers):
    if why := missing(kind):
        pytest.skip(why)
    with limit(120):
        return as_torch(partial(make, name), kind, workers)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["zero1", "zero2", "zero3"])
def test_two_are_torchs_own_to_the_bit(name, kind):
    """SGD with Nesterov momentum and decay, and AdamW; a mean of two halves does not round."""
    assert apart(kind, name, 2) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_three_are_torchs_own_but_for_rounding(kind):
    """A third is rounded, and sums of three have an order."""
    assert apart(kind, "zero2", 3) <= 1e-12


def test_an_old_torch_is_told_what_is_left_out():
    assert "from torch 2.7 on, and this is 2.6.0" in missing("fully_shard", "2.6.0+cpu")
    assert missing("fully_shard", "2.15.0") == missing("ddp", "2.6.0") == ""
