"""What an optimizer looks at in a step is found by trying it."""

import pytest
import torch
from torch import nn

from harness.train.stepping import by_element, by_parameter, by_slice


def parameters():
    return [nn.Parameter(torch.ones(2, 3)), nn.Parameter(torch.ones(3))]


class WholeNorm(torch.optim.SGD):
    """Divides each gradient by its norm: it looks at whole parameters."""

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.grad /= p.grad.norm()
        super().step(closure)


class JointNorm(torch.optim.SGD):
    """Divides all gradients by their common norm."""

    def step(self, closure=None):
        held = [p for group in self.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(held, 1e-6)
        super().step(closure)


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop])
def test_most_optimizers_look_at_single_numbers(kind):
    optimizer = kind(parameters(), lr=0.1)
    assert by_element(optimizer)
    assert by_slice(optimizer)
    assert by_parameter(optimizer)


def test_norms_of_one_parameter_and_of_all_are_told_apart():
    one, joint = (kind(parameters(), lr=0.1) for kind in (WholeNorm, JointNorm))
    assert not by_element(one)
    assert by_parameter(one)
    assert not by_element(joint)
    assert not by_parameter(joint)


def test_what_a_hook_does_before_a_step_is_not_trusted():
    optimizer = torch.optim.SGD(parameters(), lr=0.1)
    handle = optimizer.register_step_pre_hook(lambda *_: None)
    assert not by_element(optimizer)
    assert not by_parameter(optimizer)
    handle.remove()
    assert by_element(optimizer)
    optimizer.register_step_post_hook(lambda *_: None)
    assert not by_element(optimizer)
    assert by_parameter(optimizer)


class Matrices(torch.optim.Optimizer):
    """Steps groups with a flag by whole matrices, and others by numbers, as Muon beside Adam."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                by = p.grad.norm() if group.get("whole") else 1.0
                p.sub_(group["lr"] * p.grad / by)


@pytest.mark.parametrize("order", [1, -1])
def test_every_group_is_tried(order):
    matrix, row = parameters()
    groups = [{"params": [row]}, {"params": [matrix], "whole": True}][::order]
    mixed = Matrices(groups)
    assert not by_element(mixed)
    assert not by_slice(mixed)
    assert by_parameter(mixed)
    assert by_slice(Matrices([{"params": [row]}, {"params": [matrix], "whole": False}]))


@pytest.mark.parametrize("lr", [0.0, 1e-30, torch.tensor(0.0)])
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
def test_a_schedule_that_is_at_zero_changes_nothing(kind, lr):
    """As LambdaLR's warm-up begins, and a cosine ends."""
    optimizer = kind(parameters(), lr=0.1)
    optimizer.param_groups[0]["lr"] = lr
    assert by_slice(optimizer)
    assert by_parameter(optimizer)
    assert optimizer.param_groups[0]["lr"] == lr
