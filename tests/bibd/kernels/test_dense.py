"""The full weight of the dense path: every way to make it, beside a plain loop."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from bibd.kernels.dense import dense_weight
from tests.drawn import examples


class Watched(TorchDispatchMode):
    """Sees every operation, so that the way is taken that transforms can follow."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def by_hand(values, flat, shape):
    full = torch.zeros(shape, dtype=values.dtype).flatten(0, 1)
    for place, value in zip(flat.tolist(), values.detach(), strict=True):
        full[place] = value
    return full.view(shape)


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # (of scatter_ under vmap)
@given(st.integers(1, 6), st.integers(1, 6), st.sampled_from([(), (1, 1), (3, 3)]), st.data())
@examples(40)
def test_both_ways_are_the_loop_and_so_are_their_gradients(out, inputs, window, data):
    count = data.draw(st.integers(1, out * inputs))
    g = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    flat = torch.randperm(out * inputs, generator=g)[:count].sort()[0]
    values = torch.randn(count, *window, generator=g, requires_grad=True)
    shape = (out, inputs, *window)
    plain = dense_weight(values, flat, shape)
    with Watched() as watch:
        watched = dense_weight(values, flat, shape)
    mapped = torch.vmap(lambda v, f: dense_weight(v, f, shape))(values[None], flat[None])[0]
    assert "scatter_" in watch.seen
    outer = torch.randn(shape, generator=g)
    for full in (plain, watched, mapped):
        assert torch.equal(full, by_hand(values, flat, shape))
        (grad,) = torch.autograd.grad(full, values, outer)
        assert torch.equal(grad, outer.flatten(0, 1)[flat])


def test_many_gradients_at_a_time_and_a_stack_of_members():
    flat = torch.tensor([[0, 3, 5], [1, 2, 4]])
    values = torch.randn(2, 3, requires_grad=True)
    both = dense_weight(values, flat, (2, 3), (2,))
    for member, full in enumerate(both):
        assert torch.equal(full, by_hand(values[member], flat[member], (2, 3)))
    jacobian = torch.autograd.functional.jacobian(
        lambda v: dense_weight(v, flat[0], (2, 3)), values[0].detach(), vectorize=True
    )
    assert torch.equal(jacobian.flatten(0, 1), torch.eye(6)[:, flat[0]])
