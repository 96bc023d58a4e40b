"""A group of members in training: steps, weights, repeats, and what is undone."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bibd import DynamicLinear
from compress.moving.moving import Moving
from compress.pruning.schedule import Gradual
from compress.runs.pruned import Pruned
from ensemble import Training, made
from ensemble.fit.group import Group
from ensemble.fit.task import Task, sgd
from tests.ensemble.fit.tasks import CLASSES, INPUTS, dense, dropping, normed, parameters, task


def group(net, weights=None, index=None, repeats=None, epochs=3, **rest):
    return Group(
        net, [5], Task(*task(), epochs, **{"batch_size": 20, **rest}), weights, index, repeats
    )


def by_hand(net, w, divide):
    """One step of plain SGD on all samples, the losses weighted and divided as told."""
    x, y = task()
    loss = (F.cross_entropy(net(x), y, reduction="none") * w).sum() / divide
    grads = torch.autograd.grad(loss, list(net.parameters()))
    return torch.cat(
        [(p - 0.1 * g).flatten() for p, g in zip(net.parameters(), grads, strict=True)]
    )


def test_weights_are_factors_of_losses_of_mean_1_over_the_epoch_not_the_batch():
    torch.manual_seed(0)
    net, w = dense(), torch.rand(90, dtype=torch.float64)
    w *= 90 / w.sum()
    w[:45] *= 1.8
    expected = by_hand(net, w, divide=90)
    one = group(
        net, w[None], batch_size=90, shuffle=False, optimizer=lambda p: torch.optim.SGD(p, 0.1)
    )
    one.run()
    torch.testing.assert_close(parameters([net]), expected.detach(), rtol=1e-12, atol=1e-12)


def test_a_member_sees_only_its_index():
    index = torch.arange(10)[None]
    seen = []

    class Spy:
        def begin(self, epoch):
            seen.append([])

        def draw(self, index):
            seen[-1] += index.tolist()
            x, y = task()
            return x[index], y[index]

    one = group(dense(), index=index, batches=lambda seed: Spy())
    one.run()
    one.run()
    assert sorted(seen[0]) == sorted(seen[1]) == list(range(10))
    assert seen[0] != seen[1]


def test_a_batch_is_stepped_on_as_often_as_its_largest_sample_asks():
    counts = []

    def counted(parameters):
        optimizer = sgd(parameters)
        optimizer.register_step_post_hook(lambda *_: counts.append(1))
        return optimizer

    repeats = torch.ones(90, dtype=torch.long)
    repeats[25] = 2  # in the second of five batches
    group(dense(), repeats=repeats, shuffle=False, optimizer=counted).run()
    assert len(counts) == 6


def test_a_schedule_is_told_the_steps_and_stepped_after_each_batch():
    told = []

    def schedule(optimizer, steps):
        told.append(steps)
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 1 - k / steps)

    one = group(dense(), schedule=schedule)
    one.run()
    assert told == [15]  # 5 batches an epoch, 3 epochs
    assert one.optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 10 / 15)


class Interrupted:
    """Samples that are interrupted once, after so many batches."""

    def __init__(self, after):
        self.left = after

    def begin(self, epoch):
        pass

    def draw(self, index):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        x, y = task()
        return x[index], y[index]


@pytest.mark.parametrize("make", [dense, dropping, normed])
def test_an_interrupted_epoch_is_none(make):
    torch.manual_seed(0)
    nets = [make() for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    broken = group(nets[0], batches=lambda seed: Interrupted(8))
    broken.run()
    before = copy.deepcopy(broken.state_dict())
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    assert str(broken.state_dict()) == str(before)
    broken.run()
    whole = group(nets[1])
    whole.run()
    whole.run()
    assert torch.equal(parameters([nets[0]]), parameters([nets[1]]))


def moved(net, optimizer, steps, seed):
    return Moving(net, optimizer, "rigl", steps=steps, every=2, until=1.0, seed=seed)


def pruned(net, optimizer, steps, seed):
    return Pruned(net, optimizer, Gradual(0.2, 0, steps, every=2))


def sparse():
    return nn.Sequential(
        DynamicLinear(INPUTS, 8, "random", nonzeros=20, seed=1), nn.ReLU(), nn.Linear(8, CLASSES)
    ).double()


WAYS = {"moved": (sparse, moved), "pruned": (dense, pruned)}


@pytest.mark.parametrize("name", WAYS)
def test_a_member_whose_connections_change_goes_on_bitwise(name):
    """From a saved state, and after an epoch that was interrupted once they had changed."""
    make, way = WAYS[name]
    torch.manual_seed(0)
    nets = [make() for _ in range(3)]
    for net in nets[1:]:
        net.load_state_dict(nets[0].state_dict())
    whole, broken, again = (group(net, way=way) for net in [*nets[:2], make()])
    for _ in range(3):
        whole.run()
    broken.run()
    broken.sources = [Interrupted(5)]  # (the fifth of its batches)
    before = copy.deepcopy(broken.state_dict())
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    assert str(broken.state_dict()) == str(before)
    broken.sources = None
    broken.run()
    again.load_state_dict(copy.deepcopy(broken.state_dict()))
    for one in (broken, again):
        one.run()
        assert torch.equal(parameters([one.net]), parameters([whole.net]))
    assert not (name == "moved" and nets[0][0].pattern.digest() == make()[0].pattern.digest())


def test_a_last_sample_alone_joins_the_batch_before_where_there_is_batch_norm():
    sizes = {
        make: [len(b) for b in group(make(), batch_size=89).cut(torch.arange(90))]
        for make in (dense, normed)
    }
    assert sizes == {dense: [89, 1], normed: [90]}
    assert group(normed(), batch_size=89).run().isfinite().all()


@pytest.mark.parametrize("name", ["epochs", "batch_size"])
def test_less_than_one_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1, got 0"):
        Task(*task(), **{"epochs": 1, name: 0})


def test_batch_norm_and_a_batch_of_one_are_said():
    x, y = task()
    with pytest.raises(ValueError, match="a batch of one sample: take two or more; got batch_size"):
        Training(made(normed, 2), x, y, 1, batch_size=1).fit()
