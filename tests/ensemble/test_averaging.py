"""Several nets out of one training."""

import copy
import math

import pytest
import torch

from ensemble import averaged, made, snapshots
from ensemble.averaging import _alone
from tests.ensemble.fit.tasks import dense, normed, parameters, task

REST = {"batch_size": 20, "seed": 2}


def net(make=dense):
    (found,) = made(make, 1)
    return found


def test_snapshots_are_the_net_after_each_cycle_of_a_falling_rate():
    rates = []

    def recorded(parameters):
        optimizer = torch.optim.SGD(parameters, 0.4)
        optimizer.register_step_pre_hook(lambda o, *_: rates.append(o.param_groups[0]["lr"]))
        return optimizer

    one = net()
    found = snapshots(one, *task(), cycles=3, epochs=2, optimizer=recorded, **REST)
    assert len(found) == 3
    assert torch.equal(parameters(found[-1:]), parameters([one]))
    assert not torch.equal(parameters(found[:1]), parameters(found[1:2]))
    cycle = [0.2 * (1 + math.cos(math.pi * k / 10)) for k in range(10)]  # 5 batches, 2 epochs
    assert rates == pytest.approx(cycle * 3)


CONSTANT = {"optimizer": lambda p: torch.optim.SGD(p, 0.1)}


def walked(make, epochs):
    """The parameters of a training without averages, after each step."""
    one = net(make)
    steps = []

    def watched(parameters):
        optimizer = torch.optim.SGD(parameters, 0.1)
        optimizer.register_step_post_hook(lambda *_: steps.append(copy.deepcopy(one)))
        return optimizer

    group = _alone(one, *task(), epochs, optimizer=watched, **REST)
    for _ in range(epochs):
        group.run()
    return steps


def weights(one):
    return torch.cat([p.detach().flatten() for p in one.parameters()])


def test_swa_is_the_mean_over_the_ends_of_the_epochs():
    found = averaged(net(), *task(), 4, after=1, **REST, **CONSTANT)
    ends = [weights(one) for one in walked(dense, 4)[9::5]]
    expected = torch.stack(ends).mean(0)
    torch.testing.assert_close(weights(found), expected, rtol=1e-12, atol=1e-14)


def test_ema_fades_with_each_step():
    found = averaged(net(), *task(), 3, after=1, decay=0.9, **REST, **CONSTANT)
    first, *rest = [weights(one) for one in walked(dense, 3)[5:]]
    for now in rest:
        first = 0.9 * first + 0.1 * now
    torch.testing.assert_close(weights(found), first, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("decay", [None, 0.9])
def test_statistics_of_batch_norm_are_those_of_the_average(decay):
    found = averaged(net(normed), *task(), 3, decay=decay, **REST, **CONSTANT)
    x, _ = task()
    hidden = torch.cat([found[0](part) for part in x.split(20)])
    sizes = [20, 20, 20, 20, 10]
    means = torch.stack([part.mean(0) for part in hidden.split(sizes)]).mean(0)
    torch.testing.assert_close(found[1].running_mean, means.detach(), rtol=1e-12, atol=1e-12)


def test_other_buffers_are_those_of_the_net():
    class Counting(torch.nn.Linear):
        def __init__(self):
            super().__init__(16, 3)
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x):
            if self.training:
                self.seen += len(x)
            return super().forward(x)

    one = Counting().double()
    assert averaged(one, *task(), 2, **REST).seen == one.seen == 180


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: snapshots(net(), *task(), 0, 1), "cycles must be a whole number .* got 0"),
        (lambda: snapshots(net(), *task(), 2, 1.5), "epochs must be a whole number .* got 1.5"),
        (lambda: snapshots(net(), *task(), 2, 1, schedule=0), "unknown option 'schedule'"),
        (lambda: averaged(net(), *task(), 3, after=1.5), "after must be a whole number .* got 1.5"),
        (lambda: averaged(net(), *task(), 3, decy=0.9), "'decy': did you mean 'decay'"),
        (lambda: averaged(net(), *task(), 2, after=2), "below the 2 epochs, got 2"),
        (lambda: averaged(net(), *task(), 2, decay=1.0), r"between 0 and 1, got 1\.0"),
    ],
)
def test_arguments_that_are_none_are_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_a_net_that_becomes_nan_stops_it():
    one = net()
    with torch.no_grad():
        one[0].weight.fill_(torch.nan)
    with pytest.raises(ValueError, match="member 0: its loss became nan"):
        averaged(one, *task(), 2)


class Scaled:
    """Makes of whole numbers what the net reads."""

    def __init__(self, seed):
        self.x, self.y = task()

    def begin(self, epoch):
        pass

    def draw(self, index):
        return 10 * self.x[index] + 5, self.y[index]


def test_statistics_are_estimated_on_what_the_net_has_read():
    x, _ = task()
    mean = averaged(net(normed), *task(), 2, after=1, batches=Scaled, batch_size=30)
    norm = next(m for m in mean.modules() if isinstance(m, torch.nn.BatchNorm1d))
    seen = []
    norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    mean.eval()(10 * x + 5)
    torch.testing.assert_close(norm.running_mean, seen[0].mean(0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "call", [lambda net, x, y: snapshots(net, x, y, 2, 1), lambda net, x, y: averaged(net, x, y, 1)]
)
def test_what_cannot_be_learned_is_said_before(call):
    x, y = task()
    with pytest.raises(ValueError, match="y has class 5, and the members answer about"):
        call(net(), x, y + 3)
    with pytest.raises(ValueError, match=r"net is a torch\.nn\.Module, got"):
        call(dense, x, y)
