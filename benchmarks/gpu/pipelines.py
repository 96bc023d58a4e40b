"""Pipelines on a card: every policy and schedule against the CPU, and what a step of a net takes.

Small nets in float64 are trained twice on the CPU, the second time from weights that are off by
2^-43 of themselves; a run on the card may be as far off as these two are (benchmarks.gpu.wrappers
says why). What is bitwise in one place has to be bitwise on the card, too. Then each net of the
plans `spectrain_*` makes a few updates at full width: milliseconds, and the most memory in use.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.gpu.wrappers import Made, against_cpu, flat, samples
from harness.data import Data
from harness.engine.machine import release
from harness.nets.perceptron import mlp
from harness.nets.vgg import vgg16
from harness.seeding import seeded
from parallel.pipeline.pipeline import Pipeline
from parallel.pipeline.policies import POLICIES
from parallel.plans.spectrain import IMAGES, TEXTS
from parallel.plans.staged import Staged
from parallel.staged import setting
from parallel.staged.nets import build
from parallel.training.pipelined import Pipelined
from parallel.world.comm import Comm

STEPS, WARM, FULL = 10, 3, 64
STAGES = 3
WAITING = ("naive", "gpipe", "1f1b", "zb_h1")
METHODS = ("sgd", "vanilla", "pipedream", "spectrain_v1", "spectrain_v2")
PICTURES = ("vgg16", "resnet50", "densenet121", "googlenet")
SGD = partial(torch.optim.SGD, momentum=0.8, weight_decay=0.01)
RATE, SLOW = 0.05, 0.005  # of layers, of VGG16


def checks(device: str, small: bool) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    """Numbers first, then times."""
    found = [(f"policy {p}", partial(against_cpu, late, p, device)) for p in POLICIES]
    found += [(f"schedule {s}", partial(against_cpu, waiting, s, device)) for s in WAITING]
    for policy in ("pipedream", "vanilla", "spectrain_v1"):
        call = partial(against_cpu, pictures, policy, device)
        found.append((f"VGG16 under {policy}", call))
    found += [
        (f"any order, {p}", partial(any_order, p, device)) for p in ("vanilla", "spectrain_v1")
    ]
    found += [(f"saved in flight, {p}", partial(resumed, p, device)) for p in ("vanilla", "lwp")]
    nets = (*PICTURES, *setting.TEXTS)
    for net in nets[:: 4 if small else 1]:
        for method in METHODS:
            found.append((f"{net} {method}", partial(timed, net, method, device, small)))
    return found


def begun(net: nn.Module, data: Data, how: Pipeline, lr: float = RATE) -> Pipelined:
    """A training, all stages on one device."""
    given: dict[str, Any] = dict(batch_size=17, seed=3, steps=STEPS, resumable=True)
    return Pipelined(net, data, F.cross_entropy, partial(SGD, lr=lr), how, Comm(how.ranks), **given)


def done(net: nn.Module, data: Data, how: Pipeline, lr: float = RATE) -> Made:
    """The weights after all steps."""
    training = begun(net, data, how, lr)
    for _ in range(STEPS):
        training.step()
    return {"weights": flat(training.consensus())}


@torch.no_grad()
def moved(net: nn.Module, off: float, device: str) -> nn.Module:
    """In float64 on a device, its weights off by so much of themselves."""
    for p in net.double().parameters():
        p.mul_(1 + off)
    return net.to(device)


def plain(off: float, device: str) -> nn.Module:
    """Three linear layers with batch norms between them."""
    with seeded(0, "init"):
        first, act, second, again, last = mlp((20, 64, 64, 4))
        net = nn.Sequential(first, act, nn.BatchNorm1d(64), second, again, nn.BatchNorm1d(64), last)
    return moved(net, off, device)


def how(policy: str, order: int | None = None) -> Pipeline:
    """A pipeline that never waits; two_bw asks for micro-batches."""
    micro = STAGES - 1 if policy == "two_bw" else 1
    return Pipeline(STAGES, weights=policy, micro=micro, layer_split=[3, 6], order=order)


def late(policy: str, device: str, off: float = 0.0) -> Made:
    """Under a policy."""
    return done(plain(off, device), samples(device), how(policy))


def waiting(schedule: str, device: str, off: float = 0.0) -> Made:
    """Under a schedule."""
    pipeline = Pipeline(STAGES, schedule, micro=4, layer_split=[3, 6])
    return done(plain(off, device), samples(device), pipeline)


def images(device: str) -> Data:
    """Some noise with the shape of CIFAR-10."""
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(80, 3, 32, 32, generator=g).double(), torch.randint(10, (80,), generator=g)
    return Data("random", "random", x, y, x[:8], y[:8]).to(device)


def pictures(policy: str, device: str, off: float = 0.0) -> Made:
    """A narrow VGG16 in four stages: convolutions, pooling, in-place ReLU, keyed dropout."""
    net = moved(vgg16(width=2), off, device)
    return done(net, images(device), Pipeline(4, weights=policy, layer_split=[2, 5, 10]), SLOW)


def any_order(policy: str, device: str) -> dict[str, Any]:
    """Turns drawn at random change no bit."""
    runs = [done(plain(0.0, device), samples(device), how(policy, k)) for k in (None, 1, 2)]
    assert all(torch.equal(runs[0]["weights"], run["weights"]) for run in runs[1:])
    return {}


def resumed(policy: str, device: str) -> dict[str, Any]:
    """A training that is saved with minibatches in flight goes on as if it had not been."""
    one, two = (begun(plain(0.0, device), samples(device), how(policy)) for _ in range(2))
    for _ in range(STEPS // 2):
        one.step()
    two.load_state_dict(one.state_dict())
    for _ in range(STEPS - STEPS // 2):
        one.step()
        two.step()
    assert torch.equal(flat(one.consensus()), flat(two.consensus()))
    return {}


def config(net: str, method: str, narrow: bool) -> Staged:
    """As in the plan, at full width."""
    base = TEXTS if net in setting.TEXTS else replace(IMAGES, width=8 if narrow else FULL)
    stages = 1 if method == "sgd" else 4
    return replace(base, net=net, weights=method, stages=stages)


def inputs(arm: Staged, device: str) -> Data:
    """Noise with the shape of the plan's data."""
    g, count = torch.Generator().manual_seed(0), 4 * arm.batch_size
    y = torch.randint(2, (count,), generator=g)
    x = torch.randn(count, 3, 32, 32, generator=g)
    if arm.net in setting.TEXTS:
        x = torch.randint(1, arm.words, (count, arm.length), generator=g)
    return Data("random", "random", x, y, x[:8], y[:8]).to(device)


def timed(net: str, method: str, device: str, narrow: bool) -> dict[str, Any]:
    """Milliseconds of an update in the steady state, all stages on one device."""
    if device == "cuda":
        release(device)  # (what the check before held)
        torch.cuda.reset_peak_memory_stats()
    arm = config(net, method, narrow)
    steps = WARM + (2 if narrow else STEPS)
    model, data = build(arm, inputs(arm, "cpu"), 0).to(device), inputs(arm, device)
    way = setting.pipeline(arm, model, steps)
    given: dict[str, Any] = dict(batch_size=arm.batch_size, seed=0, steps=steps)
    sgd = setting.optimizer(arm)
    training = Pipelined(model, data, F.cross_entropy, sgd, way, Comm(way.ranks), **given)
    spent = []
    for _ in range(steps):
        begin = time.perf_counter()
        training.step()
        if device == "cuda":
            torch.cuda.synchronize()
        spent.append(1e3 * (time.perf_counter() - begin))
    found = {"ms": round(median(spent[WARM:]), 2), "first ms": round(spent[0], 1)}
    if device == "cuda":
        found["GiB"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    assert all(bool(p.isfinite().all()) for p in model.parameters())
    return found
