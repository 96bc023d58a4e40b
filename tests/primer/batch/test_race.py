"""Seeds side by side against seeds alone."""

import torch
import torch.nn.functional as F

from harness.data import load
from harness.nets.perceptron import mlp
from harness.seeding import generator
from primer.batch import race

WIDTHS, SEEDS = (64, 8, 10), (0, 3)


def alone(data, seed, batch, rate, most):
    """One seed by torch's own tools: its net after each step."""
    net, draws = mlp(WIDTHS, seed), generator(seed, "sample")
    for _ in range(most):
        index = torch.randint(len(data.train_x), (batch,), generator=draws)
        net.zero_grad()
        F.cross_entropy(net(data.train_x[index]), data.train_y[index]).backward()
        with torch.no_grad():
            for p in net.parameters():
                p -= rate * p.grad
        yield net


def right(net, x, y):
    return float((net(x).argmax(1) == y).sum()) / len(y)


def test_members_go_where_each_goes_alone():
    data = load("digits")
    moments = [step for step, _ in race.walk(data, WIDTHS, 16, 0.5, SEEDS, 30)]
    assert moments == [*range(1, 22), 23, 25, 27, 29, 30]
    *_, (_, net) = race.walk(data, WIDTHS, 16, 0.5, SEEDS, 30)
    for i, seed in enumerate(SEEDS):
        *_, there = alone(data, seed, 16, 0.5, 30)
        for p, q in zip(race.member(net, i, WIDTHS).parameters(), there.parameters(), strict=True):
            # thirty steps of numbers below 2, each rounded by some float32 sums of 64 products
            assert (p - q).abs().max() < 30 * 64 * 2 * 2.0**-24


def test_a_race_ends_when_all_are_there_and_says_when_each_was():
    data = load("digits")
    walk = race.walk(data, WIDTHS, 32, 0.5, SEEDS, 200)
    found = race.race(data, walk, 2, right=0.7)
    assert found.all
    for steps, seed in zip(found.steps, SEEDS, strict=True):
        for step, net in enumerate(alone(data, seed, 32, 0.5, steps), 1):
            tested = right(net, data.test_x, data.test_y)
            assert step == steps or tested < 0.7 or step > 20
        assert tested >= 0.7


def test_gaps_are_looked_at_where_training_losses_are_low():
    data = load("digits")
    found = race.race(data, race.walk(data, WIDTHS, 32, 0.5, SEEDS, 200), 2, right=0.7, low=2.2)
    for gap, seed in zip(found.gaps, SEEDS, strict=True):
        steps = 0
        for steps, net in enumerate(alone(data, seed, 32, 0.5, 200), 1):  # noqa: B007
            if F.cross_entropy(net(data.train_x), data.train_y) <= 2.2:
                break
        assert steps < 21  # (all steps are tested until then)
        known = right(net, data.train_x, data.train_y)
        # (a sample between two classes may be on either side by rounding: one at most)
        assert abs(gap - (known - right(net, data.test_x, data.test_y))) < 1.5 / len(data.test_x)


def test_who_never_arrives_has_no_step():
    data = load("digits")
    found = race.race(data, race.walk(data, WIDTHS, 1, 0.0, SEEDS, 3), 2)
    assert (found.steps, found.all) == ([None, None], False)
