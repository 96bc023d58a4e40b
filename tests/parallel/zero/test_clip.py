"""Gradients in slices are clipped as torch clips those of a whole net, by whatever norm."""

import math

import pytest
import torch
from torch import nn

from parallel import DataParallel
from parallel.identities import averaging as identities


def clipped(net, most, kind):
    """The norm and the step that a clipping gives."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    out = net(identities.task().train_x[:8])
    (100 * out[:, :2].square()).mean().backward()
    clip = getattr(net, "clip_grad_norm_", None)
    words = (most, kind) if clip else (list(net.parameters()), most, kind)
    norm = (clip or nn.utils.clip_grad_norm_)(*words)
    optimizer.step()
    return norm, net.state_dict()


@pytest.mark.parametrize("kind", [2.0, 1, 3.5, 0.0, -1.0, math.inf, -math.inf, "inf"])
@pytest.mark.parametrize("name", ["zero1", "zero2", "zero3"])
def test_every_norm_is_torchs(name, kind):
    """Also of parameters that are cut between two, and zeros, by which a power would divide."""
    theirs, expected = clipped(identities.net(), 0.5, kind)
    net = DataParallel(style=name, model=identities.net(), workers=3)
    mine, found = clipped(net, 0.5, kind)
    assert mine == pytest.approx(float(theirs), rel=1e-12)
    assert identities.apart(expected, found) <= 1e-12


def test_the_norm_is_like_the_weights_also_for_who_owns_none():
    """Of 3 numbers the fourth of 4 workers has none; nobody has a gradient yet either."""
    net = DataParallel(style="zero2", model=nn.Linear(2, 1), workers=4)
    assert net.clip_grad_norm_(1.0) == 0
    assert net.clip_grad_norm_(1.0, -math.inf).dtype == torch.float32
