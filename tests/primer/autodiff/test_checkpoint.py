"""Checkpoints change what is held and how often is computed, and no bit of the gradients."""

import numpy as np
import pytest
import torch

from primer.autodiff import checkpoint, sides
from primer.count import counting

LAYERS, WIDTH = 12, 5


@pytest.fixture(scope="module")
def net():
    return sides.weights((WIDTH,) * (LAYERS + 1)), np.linspace(-1, 1, WIDTH).reshape(-1, 1)


@pytest.mark.parametrize("segment", [1, 2, 3, 4, 6, 12])
def test_every_segment_gives_torchs_gradients_at_its_cost(net, segment):
    matrices, x = net
    leaves = [torch.tensor(w, requires_grad=True) for w in matrices]
    sides.net(leaves, torch.tensor(x)).sum().backward()
    with counting() as count:
        found = checkpoint.gradients(matrices, x, segment)
    for ours, theirs in zip(found, leaves, strict=True):
        np.testing.assert_allclose(ours, theirs.grad, rtol=0, atol=1e-12)
    assert count.macs == checkpoint.macs(LAYERS, WIDTH, segment)
    assert count.most == checkpoint.held(LAYERS, WIDTH, segment)


def test_least_is_held_at_the_root(net):
    assert checkpoint.cheapest(64, checkpoint.held) == 8
    assert checkpoint.cheapest(64, checkpoint.macs) == 64


def test_segments_that_do_not_fit_are_refused_with_those_that_do(net):
    with pytest.raises(ValueError, match=r"divide 12 layers, got 5: take \[1, 2, 3, 4, 6, 12\]"):
        checkpoint.gradients(*net, 5)
