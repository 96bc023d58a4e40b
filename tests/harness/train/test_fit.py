"""The training loop against the plainest loop there is."""

from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from harness.data import Data, load
from harness.job import Job
from harness.seeding import order
from harness.stack import stack
from harness.train.clock import Clock
from harness.train.fit import evaluate, fit, gradient_step
from mlp.experiments import PLANS
from mlp.model import build

ARMS = PLANS["smoke"].arms


def float64(d: Data) -> Data:
    return replace(d, train_x=d.train_x.double(), test_x=d.test_x.double())


def plain_loop(net, data, seed, epochs, batch_size, lr, momentum):
    """One model, one sample order, nothing shared with harness.train.fit."""
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum)
    losses = []
    for epoch in range(epochs):
        shuffled = order(seed, epoch, len(data.train_x))
        for start in range(0, len(shuffled), batch_size):
            index = shuffled[start : start + batch_size]
            loss = F.cross_entropy(net(data.train_x[index]), data.train_y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


@pytest.mark.parametrize("arm", ["MLP-3-2", "B-MLP-3-2", "R-MLP-3-2"])
def test_stacked_is_looped(arm):
    """Float64, 20 steps with a short last batch: equal to 1e-10, whoever the companions are."""
    config, seeds = ARMS[arm], [3, 0, 7]
    data = float64(load("digits"))
    data = replace(data, train_x=data.train_x[:310], train_y=data.train_y[:310])
    nets = [build(config, 64, 10, s).double() for s in seeds]
    together = stack(nets)
    optimizer = torch.optim.SGD(together.parameters(), lr=0.1, momentum=0.5, fused=True)
    options = {"epochs": 2, "batch_size": 32, "job": Job()}
    rows = list(fit(together, optimizer, data, seeds=seeds, **options))
    for i, (seed, net) in enumerate(zip(seeds, nets, strict=True)):
        losses = plain_loop(net, data, seed, 2, 32, 0.1, 0.5)
        assert len(losses) == 20
        assert rows[1][i]["train_loss"] == pytest.approx(sum(losses[10:]) / 10, abs=1e-10)
        logits = net(data.test_x)
        assert rows[1][i]["test_loss"] == pytest.approx(
            F.cross_entropy(logits, data.test_y).item(), abs=1e-10
        )
        right = (logits.argmax(1) == data.test_y).double().mean().item()
        assert rows[1][i]["test_accuracy"] == pytest.approx(right, abs=1e-12)
        mine = [p.flatten() for p in net.parameters()]
        theirs = [p[i].flatten() for p in together.parameters()]
        torch.testing.assert_close(
            torch.cat(theirs), torch.cat(mine), rtol=1e-10, atol=1e-10, check_dtype=True
        )


def test_evaluation_in_chunks_is_evaluation():
    data = float64(load("digits"))
    net = build(ARMS["MLP-3-1"], 64, 10, 0).double()
    x, y = torch.cat([data.train_x, data.test_x]), torch.cat([data.train_y, data.test_y])
    loss, accuracy = evaluate(stack([net, net]), x, y, 2)
    assert loss[1].item() == pytest.approx(F.cross_entropy(net(x), y).item(), abs=1e-12)
    assert accuracy[0].item() == (net(x).argmax(1) == y).double().mean().item()


def test_a_diverging_member_is_named_and_the_others_go_on():
    data = load("digits")
    nets = [build(ARMS["MLP-3-1"], 64, 10, s) for s in (0, 1)]
    alone = stack([build(ARMS["MLP-3-1"], 64, 10, 1)])
    with torch.no_grad():
        nets[0].stages[0][0].weight[0, 20] = float("nan")
    sgd = partial(torch.optim.SGD, lr=0.1)
    options = {"epochs": 2, "batch_size": 32}
    together = stack(nets)
    rows = list(fit(together, sgd(together.parameters()), data, seeds=[0, 1], job=Job(), **options))
    assert rows[0][0]["failed"] == "the loss became nan at step 1 of epoch 1"
    assert "failed" not in rows[1][1]
    lone = list(fit(alone, sgd(alone.parameters()), data, seeds=[1], job=Job(), **options))
    assert rows[1][1]["train_loss"] == pytest.approx(lone[1][0]["train_loss"], rel=1e-5)


def test_a_step_of_ones_own():
    data = load("iris")
    net = stack([torch.nn.Sequential(torch.nn.Linear(4, 3))])
    seen = []

    def step(x, y):
        seen.append((tuple(x.shape), tuple(y.shape)))
        return torch.zeros(1)

    options = {"seeds": [0], "epochs": 1, "batch_size": 50, "job": Job(), "step": step}
    list(fit(net, torch.optim.SGD(net.parameters(), 0.1), data, **options))
    assert seen == [((1, 50, 4), (1, 50)), ((1, 50, 4), (1, 50)), ((1, 20, 4), (1, 20))]


def test_members_never_mix():
    net = stack([torch.nn.Linear(4, 3) for _ in range(2)])
    before = net.weight.detach().clone()
    step = gradient_step(net, torch.optim.SGD(net.parameters(), 0.1))
    x, y = torch.randn(2, 8, 4), torch.zeros(2, 8, dtype=torch.int64)
    x[1] = 0
    step(x, y)
    assert not torch.equal(net.weight[0], before[0])
    assert torch.equal(net.weight[1], before[1])


def test_job_restores_what_was_attached():
    net = torch.nn.Linear(2, 2)
    job = Job()
    assert job.attach(net=net) == 0
    saved = job.state(3)
    other = torch.nn.Linear(2, 2)
    assert Job(saved=saved).attach(net=other) == 3
    assert torch.equal(other.weight, net.weight)


def test_clock_reads_positive_seconds_and_trains_nothing_but_its_own_model():
    data = load("iris")
    model = torch.nn.Linear(4, 3)
    read = Clock(model, partial(torch.optim.SGD, lr=0.1), data, 32).read()
    assert set(read) == {"train_time", "inference_time"}
    assert min(read.values()) > 0
