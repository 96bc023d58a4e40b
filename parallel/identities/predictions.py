"""What weight prediction and its relatives are, shown without a pipeline where that can be."""

from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from harness.seeding import seeded
from parallel.identities import pipeline_oracle as oracle
from parallel.identities.pipelines import (
    SEED,
    distance,
    minibatches,
    net,
    pipeline,
    trained,
    weights,
)
from parallel.pipeline.ahead import DIRECTIONS
from parallel.pipeline.pipemare import PipeMare
from parallel.pipeline.policies import policy
from parallel.pipeline.spike import compensate
from parallel.pipeline.swap import Swap
from parallel.pipeline.versions import Versions
from parallel.pipeline.weights import LWP, PipeDream, SpecTrain2, Vanilla

LR, GAMMA = 0.05, 0.8
Maker = Callable[..., torch.optim.Optimizer]


def one_weight(maker: Maker, delay: int = 0, ahead: str = "") -> Versions:
    """A stage of one vector, with as many stages after it."""
    w = nn.Parameter(torch.linspace(-1, 1, 5, dtype=torch.float64))
    return Versions(0, delay + 1, {"w": w}, maker([w]), 1, ahead)


def step(versions: Versions, g: torch.Tensor, spike: bool = False) -> None:
    """One update by a gradient."""
    versions.params["w"].grad = g.clone()
    versions.before(True)
    versions.stepper.step()
    compensate(versions, spike, 1.0)
    versions.after()


def gradients(count: int) -> list[torch.Tensor]:
    """Noise."""
    with seeded(SEED, "noise"):
        return list(torch.randn(count, 5, dtype=torch.float64))


def stationary() -> float:
    """At a velocity that stays, the prediction is what comes."""
    found = one_weight(partial(torch.optim.SGD, lr=LR, momentum=GAMMA), 3, "velocity")
    (g,) = gradients(1)
    step(found, g)
    found.stepper.state[found.params["w"]]["momentum_buffer"].copy_(g / (1 - GAMMA))
    wanted = [found.ahead(s)["w"].clone() for s in range(5)]
    worst = 0.0
    for one in wanted:
        worst = max(worst, distance([one], [found.newest["w"]]))
        step(found, g)
    return worst


def last_gradient() -> float:
    """Without momentum the prediction goes along the last gradient."""
    found = one_weight(partial(torch.optim.SGD, lr=LR), 3, "velocity")
    (g,) = gradients(1)
    step(found, g)
    return distance([found.ahead(3)["w"]], [found.newest["w"] - 3 * LR * g])


def displaced(maker: Maker, along: str) -> float:
    """The last displacement against a direction of the optimizer's state."""
    found, worst = one_weight(maker, 3, along), 0.0
    for g in gradients(9):
        step(found, g)
        worst = max(
            worst, distance(found.ahead(3).values(), DIRECTIONS["displacement"](found, 3).values())
        )
    return worst


def not_adams_mean() -> float:
    """Adam does not go along its mean gradient, as SGD goes along its momentum."""
    found = one_weight(partial(torch.optim.Adam, lr=LR), 3, "adam")
    for g in gradients(9):
        step(found, g)
    mean = found.stepper.state[found.params["w"]]["exp_avg"]
    moved = found.newest["w"] - found.version(found.number - 1)["w"]
    return distance([moved], [-LR * mean])


def impulse(delay: int) -> float:
    """A late gradient moves compensated weights, from then on, as in time it moves SGD's."""
    sgd = partial(torch.optim.SGD, lr=LR, momentum=GAMMA)
    late, early = one_weight(sgd, delay), one_weight(sgd)
    (g,), worst = gradients(1), 0.0
    for t in range(12):
        step(late, g * (t == delay), spike=True)
        step(early, g * (t == 0))
        if t >= delay:
            worst = max(worst, distance([late.newest["w"]], [early.newest["w"]]))
    return worst


def nesterov() -> float:
    """Compensation for a delay of one is Nesterov's momentum."""
    mine = one_weight(partial(torch.optim.SGD, lr=LR, momentum=GAMMA, weight_decay=0.01), 1)
    theirs = one_weight(
        partial(torch.optim.SGD, lr=LR, momentum=GAMMA, weight_decay=0.01, nesterov=True)
    )
    for g in gradients(9):
        step(mine, g, spike=True)
        step(theirs, g)
    return distance([mine.newest["w"]], [theirs.newest["w"]])


def recipe(stages: int = 3) -> float:
    """Stashing with torch's Nesterov at rate eta (1 - gamma) is the published recursion (AsyncPP).

    d = gamma (w - w before),  w <- w + d - eta (1 - gamma) g,  g at the old look-ahead point w + d.
    """
    sgd = partial(torch.optim.SGD, lr=LR * (1 - GAMMA), momentum=GAMMA, nesterov=True)
    found = trained(pipeline(PipeDream(), stages), sgd)
    model = net(stages)
    w = [[p.detach().clone() for p in model[4 * k : 4 * k + 4].parameters()] for k in range(stages)]
    before = [[p.clone() for p in stage] for stage in w]
    ahead = [[stage] for stage in w]  # look-ahead points, by update
    for t, (x, y) in enumerate(minibatches(found)):
        seen = [ahead[k][max(0, t - (stages - 1 - k))] for k in range(stages)]
        acts = []
        for k in range(stages):
            acts.append(oracle.forward(seen[k], x, k == stages - 1))
            x = acts[-1][-1]
        da = oracle.loss_gradient(x, y)
        for k in reversed(range(stages)):
            da, grads = oracle.backward(seen[k], acts[k], da, k == stages - 1)
            new = [
                p + GAMMA * (p - q) - LR * (1 - GAMMA) * g
                for p, q, g in zip(w[k], before[k], grads, strict=True)
            ]
            before[k], w[k] = w[k], new
            ahead[k].append([p + GAMMA * (p - q) for p, q in zip(new, before[k], strict=True)])
    return distance([p for stage in ahead for p in stage[-1]], weights(found))


def same(first: Any, second: Any, stages: int = 4) -> float:
    """Two policies on one task."""
    return distance(*(weights(trained(pipeline(one, stages))) for one in (first, second)))


def bare_pipemare() -> float:
    """Without T1 and T2 it is vanilla."""
    return same(PipeMare(warmup=0, drift=0.0), Vanilla())


def lwp_is_v2() -> float:
    """For SGD with momentum the displacement is the velocity."""
    return same(LWP(), SpecTrain2())


def closest() -> float:
    """The two nearest of methods that are not the same, by a rate that is worth the name."""
    names = "vanilla", "pipedream", "spectrain_v1", "spectrain_v2", "recomputed"
    sgd = partial(torch.optim.SGD, lr=0.3, momentum=GAMMA)
    found = [weights(trained(pipeline(policy(name), 4), sgd)) for name in names]
    return min(distance(a, b) for a, b in combinations(found, 2))


class Attention(nn.Module):
    """A block with heads, without dropout."""

    def __init__(self):
        super().__init__()
        self.block = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, places, 8)."""
        return self.block(x)


class Recurrent(nn.Module):
    """An LSTM's outputs."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(8, 6, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, places, 8)."""
        return self.lstm(x)[0]


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3)), (5, 8)),
    "convolution and batch norm": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 2)),
        (5, 3, 6, 6),
    ),
    "attention": (Attention, (5, 4, 8)),
    "LSTM": (Recurrent, (5, 4, 8)),
}


def swapped(kind: str) -> float:
    """A backward pass by notes, against one whose weights were written over in their own memory."""
    make, shape = LAYERS[kind]
    with seeded(SEED, "init"):
        module, x = make().double(), torch.randn(shape, dtype=torch.float64)
    found = []
    for write in (False, True):
        leaves = {n: p.detach().clone().requires_grad_() for n, p in module.named_parameters()}
        other = {n: w.detach() * 1.1 + 0.01 for n, w in leaves.items()}
        inputs = x.clone().requires_grad_()
        if write:
            y = functional_call(module, leaves, (inputs,))
            for name, leaf in leaves.items():
                leaf.data.copy_(other[name])
        else:
            with Swap(leaves, lambda other=other: other).hooks():
                y = functional_call(module, leaves, (inputs,))
        scale = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)
        found.append(torch.autograd.grad(y, [inputs, *leaves.values()], scale))
    return distance(*found)
