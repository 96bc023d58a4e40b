"""Members as one stack: what a stack has learned goes back, and what cannot be one is said."""

import pytest
import torch
from torch import nn

from bibd import SparseLinear
from ensemble import Training, made
from ensemble.fit.stacking import Stacked, stacked
from tests.ensemble.fit.tasks import dense, dropping, normed, parameters, task


def sparse(seed):
    return nn.Sequential(SparseLinear(16, 24, "random", seed=seed), nn.ReLU(), nn.Linear(24, 3))


def frozen():
    net = dense()
    net[0].weight.requires_grad_(False)
    return net


MAKE = {
    "dense": lambda i: dense(),
    "sparse, other designs": sparse,
    "conv": lambda i: nn.Sequential(nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 2, 3), nn.Flatten()),
    "vmapped": lambda i: nn.LayerNorm(16),
}


@pytest.mark.parametrize("kind", MAKE)
def test_what_a_stack_has_learned_goes_back_to_the_members(kind):
    nets = [MAKE[kind](i).double() for i in range(3)]
    found = stacked(nets)
    assert isinstance(found, Stacked), found
    with torch.no_grad():
        for p in found.net.parameters():
            p.add_(torch.randn_like(p))
    found.write()
    x = torch.randn(3, 5, 16, dtype=torch.float64)
    alone = torch.stack([net(part) for net, part in zip(nets, x, strict=True)])
    torch.testing.assert_close(found.net(x), alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("nets", "said"),
    [
        (lambda: [nn.Linear(4, 2), nn.Sequential(nn.Linear(4, 2))], "of different classes"),
        (lambda: [nn.Linear(4, 2), nn.Linear(4, 3)], "differ in out_features"),
        (lambda: [normed(), normed()], "batch norm"),
        (lambda: [dropping(), dropping()], "dropout"),
        (lambda: [frozen(), frozen()], "not trained"),
        (lambda: [nn.Sequential(nn.Linear(4, 4), a()) for a in (nn.ReLU, nn.Tanh)], "other layers"),
        (lambda: [nn.Sequential(nn.LeakyReLU(s)) for s in (0.1, 0.2)], "differ in negative_slope"),
    ],
)
def test_what_a_stack_would_train_otherwise_is_looped_and_said(nets, said):
    reason = stacked(nets())
    assert isinstance(reason, str)
    assert said in reason


def test_a_module_that_stacks_something_else_than_its_parameters_is_looped():
    class Shared(nn.Linear):
        @classmethod
        def stack(cls, modules):
            return nn.Linear(4, 2)

    reason = stacked([Shared(4, 2), Shared(4, 2)])
    assert isinstance(reason, str)
    assert "something else than its members' numbers" in reason


def training(count, **rest):
    return Training(made(dense, count), *task(), epochs=2, batch_size=20, **rest)


def by_shape(parameters):
    given = list(parameters)
    matrices = [p for p in given if p.ndim > 1]
    rest = [p for p in given if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, 0.1)


def clipping(parameters):
    given = list(parameters)
    optimizer = torch.optim.SGD(given, 0.1)
    optimizer.register_step_pre_hook(lambda *_: nn.utils.clip_grad_norm_(given, 0.1) and None)
    return optimizer


def factored(parameters):
    return torch.optim.Adafactor(parameters)


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        (by_shape, "the optimizer tells parameters apart by their shape or place"),
        (clipping, "SGD, or a hook of it, is not known to step number by number"),
        (factored, "Adafactor, or a hook of it, is not known to step number by number"),
    ],
)
def test_an_optimizer_that_would_step_a_stack_otherwise_has_members_looped(optimizer, said):
    going = training(3, optimizer=optimizer)
    assert going.looped == said
    apart = training(3, optimizer=optimizer, together=False)
    assert torch.equal(parameters(going.fit()), parameters(apart.fit()))


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW, torch.optim.RMSprop])
def test_an_optimizer_of_single_numbers_steps_a_stack(kind):
    assert training(2, optimizer=lambda p: kind(p, 0.01)).looped == ""
