"""Seeds of a pipeline as one stack: the numbers that each has alone."""

import copy
from dataclasses import replace

import pytest
import torch

from harness.data import Data
from harness.job import Job
from parallel.plans.staged import Staged
from parallel.plans.staleness import METHODS, method
from parallel.staged.run import opened, opened_stack

BASE = Staged("sgd", first=100, epochs=3, batch_size=24)
SEEDS = [0, 3, 7]
PARTS = ("train_x", "test_x")


@pytest.fixture
def double(monkeypatch):
    """Everything in float64, where rounding leaves nine digits after dozens of updates."""
    monkeypatch.setattr(torch.nn.Linear, "__init__", _linear(torch.nn.Linear.__init__))
    monkeypatch.setattr(
        "parallel.staged.setting.load",
        lambda *words: _digits(*words).map(torch.Tensor.double, PARTS),
    )


def _digits(*words) -> Data:
    from harness.data import load

    return load(*words)


def _linear(made):
    def init(self, *words, **options):
        made(self, *words, **{"dtype": torch.float64, **options})

    return init


def weights(training):
    return {name: v.detach().clone() for name, v in training.consensus().items()}


def slices(stacked, i):
    """The state of one seed, in the shapes that it has alone."""
    return {k: v[i].squeeze(-1) if k.endswith("bias") else v[i] for k, v in stacked.items()}


@pytest.mark.parametrize("net", ["mlp", "residual_mlp"])
@pytest.mark.parametrize("name", METHODS)
def test_each_seed_of_a_stack_has_the_weights_that_it_has_alone(name, net, double):
    config = replace(method(BASE, name, 4, 0.01), net=net)
    together = opened_stack(config, SEEDS, Job())
    alone = [opened(config, seed, Job()) for seed in SEEDS]
    for _ in range(12):  # an epoch is 5 steps, the last of 4 samples
        for training in (together, *alone):
            training.step()
    found = weights(together)
    for i, training in enumerate(alone):
        torch.testing.assert_close(slices(found, i), weights(training), rtol=1e-9, atol=1e-12)


def test_each_seed_has_the_losses_and_the_accuracy_that_it_has_alone(double):
    config = method(BASE, "spectrain_v1", 4, 0.01)
    together = opened_stack(config, SEEDS, Job())
    alone = [opened(config, seed, Job()) for seed in SEEDS]
    for _ in range(together.shards.steps):
        for training in (together, *alone):
            training.step()
    for row, training in zip(together.rows(), alone, strict=True):
        other = training.row()
        assert row == {key: pytest.approx(other[key], rel=1e-9) for key in row}


def test_a_seed_that_is_lost_leaves_the_others_as_they_were(double):
    """Its weights become infinite after some steps; the others' go on as without it."""
    config = method(BASE, "pipedream", 4, 0.01)
    spoiled, whole = (opened_stack(config, SEEDS, Job()) for _ in range(2))
    for step in range(10):
        if step == 4:
            with torch.no_grad():
                next(iter(spoiled.model.parameters()))[1].fill_(torch.inf)
        spoiled.step()
        whole.step()
    rows = spoiled.rows()
    assert spoiled.lost.tolist() == [False, True, False]
    assert not spoiled.over
    assert [row["test_loss"] == row["test_loss"] for row in rows] == [True, False, True]
    for i in (0, 2):
        torch.testing.assert_close(slices(weights(spoiled), i), slices(weights(whole), i))


def test_a_stack_that_goes_on_from_its_state_ends_bitwise_where_it_would_have():
    config = method(BASE, "spectrain_v1", 4, 0.01)
    whole, first, second = (opened_stack(config, SEEDS, Job()) for _ in range(3))
    for _ in range(13):
        whole.step()
    for _ in range(7):  # in the middle of an epoch, with minibatches in flight
        first.step()
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for _ in range(6):
        second.step()
    assert all(torch.equal(a, weights(whole)[k]) for k, a in weights(second).items())
    assert second.rows() == whole.rows()


def test_a_state_of_other_seeds_is_refused():
    config = method(BASE, "pipedream", 2, 0.01)
    state = opened_stack(config, [0, 1], Job()).state_dict()
    with pytest.raises(ValueError, match="this state is of another run"):
        opened_stack(config, [0, 2], Job()).load_state_dict(state)
