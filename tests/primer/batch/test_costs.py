"""Bytes and products of a step, counted by torch; and lines through points."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from harness.nets.perceptron import mlp
from primer.batch import costs
from primer.saved import keeping
from tests.drawn import examples

WIDTHS = st.lists(st.integers(2, 9), min_size=2, max_size=5)


def passed(net, batch, inputs, classes):
    """The loss of random samples, and what autograd kept for its backward."""
    x, y = torch.randn(batch, inputs), torch.randint(classes, (batch,))
    with keeping(net.parameters()) as kept:
        loss = F.cross_entropy(net(x), y)
    return loss, kept


@examples(25)
@given(WIDTHS, st.integers(1, 40))
def test_what_is_kept_and_multiplied_is_what_the_formulas_say(widths, batch):
    net = mlp(widths)
    with FlopCounterMode(display=False) as count:
        loss, kept = passed(net, batch, widths[0], widths[-1])
        loss.backward()
    assert kept.bytes == costs.kept(widths, batch)
    assert count.get_total_flops() == 2 * costs.macs(widths, batch)


@pytest.mark.parametrize(
    ("copies", "optimizer"),
    [
        (0, lambda p: torch.optim.SGD(p, lr=0.1)),
        (1, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
        (2, lambda p: torch.optim.Adam(p)),
    ],
)
def test_what_is_held_between_two_steps(copies, optimizer):
    net = mlp((7, 5, 3))
    made = optimizer(net.parameters())
    passed(net, 4, 7, 3)[0].backward()
    made.step()
    own = [t for p in net.parameters() for t in (p, p.grad, *made.state[p].values())]
    own = [t for t in own if isinstance(t, torch.Tensor) and t.ndim]  # (Adam counts its steps)
    assert sum(t.nbytes for t in own) == costs.held((7, 5, 3), copies)


def test_views_of_one_memory_are_kept_once_and_weights_never():
    net = torch.nn.Linear(3, 3)
    x = torch.randn(4, 3, requires_grad=True)
    with keeping(net.parameters()) as kept:
        (net(x) * x.T.T * x[:]).sum()
    # the input, which is kept by all three products, and two of their results
    assert kept.bytes == x.nbytes + 2 * x.nbytes


def test_memory_that_is_known_is_given_to_nobody_else_meanwhile():
    """As under zero3, whose parameters let go of theirs inside a step."""
    known = [torch.zeros(64) for _ in range(20)]
    places = {t.data_ptr() for t in known}
    with keeping(known):
        known.clear()
        others = [torch.zeros(64) for _ in range(20)]
        assert not places & {t.data_ptr() for t in others}


def test_a_line_is_found_again():
    x = [1.0, 4.0, 64.0, 4096.0]
    a, b = costs.line(x, [0.25 + 0.5 * v for v in x])
    # (numbers of two digits in binary; the solver's rounding, of a matrix with a condition of 1e4)
    assert abs(a - 0.25) + abs(b - 0.5) < 1e4 * 2.0**-52
