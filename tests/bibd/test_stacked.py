"""Stacks of layers know their patterns and refuse what does not fit."""

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

from bibd import SparseLinear


def test_an_average_of_stacks_does_not_either():
    stack = made(1, 2)
    average = AveragedModel(stack, avg_fn=get_ema_avg_fn(0.9), use_buffers=True)
    for _ in range(10):
        average.update_parameters(stack)
    x = torch.randn(2, 5, 16)
    torch.testing.assert_close(average(x), stack(x))
    stack.flat.zero_()
    torch.testing.assert_close(average(x), stack(x))


def made(*seeds, size=(16, 20)):
    return SparseLinear.stack([SparseLinear(*size, "random", seed=s) for s in seeds])


def test_a_stack_knows_its_patterns():
    a, b, same = made(1, 2), made(3, 4), made(1, 2)
    with pytest.raises(RuntimeError, match="these values belong to pattern"):
        b.load_state_dict(a.state_dict())
    same.load_state_dict(a.state_dict())
    x = torch.randn(2, 5, 16)
    assert torch.equal(same(x), a(x))
    meta = made(1, 2).to("meta").to_empty(device="cpu")
    meta.load_state_dict(a.state_dict())
    assert torch.equal(meta(x), a(x))


def test_a_stack_refuses_what_does_not_fit():
    large = made(1, 2, size=(1024, 1056))
    for shape in [(2, 3, 1200), (3, 3, 1024), (2, 1024)]:
        with pytest.raises(ValueError, match=r"takes torch.float32 input of shape \(2"):
            large(torch.randn(shape))
    first = SparseLinear(16, 20, "random", seed=1)
    for other, words in (
        (SparseLinear(16, 20, bias=False), "same number of connections|same bias"),
        (SparseLinear(16, 20, "random", False, seed=2), "same bias"),
        (SparseLinear(16, 21, "random"), "same shape"),
        (SparseLinear(16, 20, "random", dtype=torch.float64), "same dtype"),
    ):
        with pytest.raises(ValueError, match=words):
            SparseLinear.stack([first, other])


def wide(backend, seeds=(1, 2, 3), bias=True):
    kinds = dict(bias=bias, backend=backend, dtype=torch.float64)
    return [SparseLinear(49, 56, "random", seed=s, **kinds) for s in seeds]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("backend", ["native", "bag", "dense", "auto"])
def test_members_that_read_one_input_answer_as_each_alone(backend, bias):
    layers = wide(backend, bias=bias)
    stack, x = SparseLinear.stack(layers), torch.randn(7, 49, dtype=torch.float64)
    once, own = (x.clone().requires_grad_() for _ in range(2))
    found = stack(once.expand(3, 7, 49))
    made = torch.stack([layer(own) for layer in layers])
    torch.testing.assert_close(found, made)
    pull = torch.randn_like(made)
    found.backward(pull)
    made.backward(pull)
    torch.testing.assert_close(once.grad, own.grad)
    grads = torch.stack([layer.weight.grad for layer in layers])
    torch.testing.assert_close(stack.weight.grad, grads)
    with torch.no_grad():
        torch.testing.assert_close(stack(x.expand(3, 7, 49)), made)


def test_one_input_is_read_by_one_wide_native_layer(monkeypatch):
    stack = SparseLinear.stack(wide("native"))
    monkeypatch.setattr(type(stack), "_route", None)  # (which any other way would ask)
    assert stack(torch.randn(7, 49).double().expand(3, 7, 49)).shape == (3, 7, 56)


def test_one_input_of_another_width_is_refused():
    with pytest.raises(ValueError, match=r"shape \(3, batch, 49\)"):
        SparseLinear.stack(wide("native"))(torch.randn(7, 48).double().expand(3, 7, 48))
