"""Autocast: refused where a late backward pass would see its casts, and never with an old cast."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.func import functional_call

from harness.data import Data
from parallel import ModelParallel
from parallel.pipeline.pipeline import Pipeline
from parallel.training.pipelined import Pipelined
from parallel.world.comm import Comm

STAGES, STEPS, RATE, BETA = 3, 7, 0.05, 0.9
OTHERS = ["vanilla", "spectrain_v1", "pipeoptim", "pipemare"]
ALIKE = ["pipedream", "vertical_sync", "two_bw", "spectrain_v2", "lwp"]
WORDS = r"stage \d saves a copy of .*weight.*autocast"
sgd = partial(torch.optim.SGD, lr=RATE, momentum=BETA, foreach=False)


class Cast(nn.Linear):
    """A layer that switches autocast on by itself."""

    def forward(self, x):
        with cast():
            return super().forward(x).float()


def cast(on=True):
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=on)


def net(kind=nn.Linear):
    torch.manual_seed(0)
    return nn.Sequential(kind(6, 8), nn.Tanh(), kind(8, 8), nn.Tanh(), kind(8, 3))


def task():
    torch.manual_seed(1)
    x, y = torch.randn(8 * STEPS, 6), torch.randint(0, 3, (8 * STEPS,))
    return Data.from_tensors(x, y, test=(x, y))


def training(weights, kind=nn.Linear, micro=1):
    how = Pipeline(STAGES, weights=weights, micro=micro, layer_split=[2, 4])
    loss, given = nn.functional.cross_entropy, dict(batch_size=8, seed=0, steps=STEPS)
    return Pipelined(net(kind), task(), loss, sgd, how, Comm(STAGES), **given)


def minibatches():
    one = training(None)
    rows = (one.shards.at(t + 1)[0] for t in range(STEPS))
    return [(one.data.train_x[i], one.data.train_y[i]) for i in rows]


def wrapped(weights, kind=nn.Linear, on=(True,) * STEPS):
    """An ordinary loop, as torch says to cast: around the forward pass and the loss."""
    found = ModelParallel(style=weights, model=net(kind), layer_split=[2, 4])
    optimizer = sgd(found.parameters())
    for (x, y), casts in zip(minibatches(), on, strict=True):
        optimizer.zero_grad()
        with cast(casts):
            loss = nn.functional.cross_entropy(found(x), y)
        loss.backward()
        optimizer.step()
    return list(found.state_dict().values())


def piped(weights, kind=nn.Linear, on=True, micro=1):
    """A whole training under autocast, whose cache is never emptied by its end."""
    found = training(weights, kind, micro)
    with cast(on):
        for _ in range(STEPS):
            found.step()
    return list(found.consensus().values())


def by_hand(weights, micro=1):
    """The same without a pipeline: the loss at the weights that each stage's passes see."""
    model = net()
    now = {name: p.detach().clone() for name, p in model.named_parameters()}
    history, speed = [], {name: torch.zeros_like(w) for name, w in now.items()}
    speeds = [speed]  # before each minibatch
    for t, (x, y) in enumerate(minibatches()):
        history.append(dict(now))
        seen = {n: _seen(weights, t, n, history, speeds).requires_grad_() for n in now}
        total = dict.fromkeys(now, 0)
        for a, b in zip(x.chunk(micro), y.chunk(micro), strict=True):
            with cast(), torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
                loss = nn.functional.cross_entropy(functional_call(model, seen, (a,)), b)
            own = torch.autograd.grad(loss, list(seen.values()), torch.full_like(loss, 1 / micro))
            total = {n: total[n] + g for n, g in zip(seen, own, strict=True)}
        speed = {n: (BETA * speed[n]).add(g) for n, g in total.items()}
        speeds.append(speed)
        now = {n: torch.add(w, speed[n], alpha=-RATE) for n, w in now.items()}
    return list(now.values())


def _seen(weights, t, name, history, speeds):
    late = STAGES - 1 - int(name.split(".")[0]) // 2
    newest = history[-1][name].clone()
    match weights:
        case None:
            return newest
        case "pipedream":
            return history[max(0, t - late)][name].clone()
        case "vertical_sync":
            return history[max(0, t - STAGES + 1)][name].clone()
        case "two_bw":
            return history[max(0, t - 1)][name].clone()
    then = max(0, t - late)
    start, before = history[then][name], history[max(0, then - 1)][name]
    if weights == "spectrain_v2":
        return torch.add(start, speeds[then][name], alpha=-late * RATE)
    return start + late * (start - before)


@pytest.mark.parametrize("weights", OTHERS)
def test_it_is_refused_in_a_layer_where_the_backward_pass_sees_other_weights(weights):
    for train in (piped, wrapped):
        with pytest.raises(ValueError, match=WORDS):
            train(weights, Cast)


@pytest.mark.parametrize("weights", OTHERS)
def test_it_is_refused_around_the_whole_call_there(weights):
    for train in (piped, wrapped):
        with pytest.raises(ValueError, match=WORDS):
            train(weights)
    piped(weights, on=False)
    wrapped(weights, on=[False] * STEPS)


def test_it_is_refused_where_it_is_switched_on_later():
    with pytest.raises(ValueError, match=WORDS):
        wrapped("vanilla", on=[False] * 3 + [True] * (STEPS - 3))
    found = training("vanilla")
    found.step()
    with cast(), pytest.raises(ValueError, match=WORDS):
        found.step()


def test_a_first_layer_that_hands_no_gradient_back_saves_no_cast():
    class First(nn.Sequential):
        def __init__(self):
            torch.manual_seed(0)
            super().__init__(Cast(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))

    how = Pipeline(STAGES, weights="vanilla", layer_split=[2, 4])
    given = dict(batch_size=8, seed=0, steps=STEPS)
    loss = nn.functional.cross_entropy
    Pipelined(First(), task(), loss, sgd, how, Comm(STAGES), **given).step()


@pytest.mark.parametrize("weights", [None, *ALIKE])
def test_no_pass_is_given_the_cast_of_an_older_version(weights):
    micro = STAGES - 1 if weights in ("two_bw", None) else 1
    wanted = by_hand(weights, micro)
    for found, want in zip(piped(weights, micro=micro), wanted, strict=True):
        assert torch.equal(found, want)


@pytest.mark.parametrize("weights", ["pipedream", "spectrain_v2", "lwp", "recomputed"])
def test_an_ordinary_loop_is_the_pipeline_under_autocast_too(weights):
    for found, want in zip(wrapped(weights), piped(weights), strict=True):
        assert torch.equal(found, want)
