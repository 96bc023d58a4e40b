"""Milliseconds of a training step of the nine published nets, eager and replayed as a CUDA graph.

A step is the trainer's (resnet.trainer.stepper): gather and augment from resident pixels, forward,
loss, backward, fused SGD at the original study's rate. Times are medians of 20 steps by CUDA
events, after warm-up. (benchmarks.gpu.beside adds several seeds at a time.)
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from torch import nn

from harness.data import Data
from harness.data.pictures import Batches
from harness.train import graph
from resnet import trainer
from resnet.plans.config import Config
from resnet.plans.published import ORIGINAL, models

STEPS, WARM, IMAGES = 20, 5, 2048
PRECISIONS = ("float32", "tf32", "bf16 autocast")
WAYS = {"eager": "off", "graph": "on"}
Checks = list[tuple[str, Callable[[], dict[str, Any]]]]


@dataclass
class Step:
    """One step of training: `take` makes it of the samples at `place`, `loss` is what it gave."""

    device: str
    config: Config

    def __post_init__(self):
        g = torch.Generator().manual_seed(0)
        self.batches = Batches(pictures(self.device), "flip", 0, torch.channels_last)
        self.batches.begin(0)
        net = built(self.config.depth, self.config.pattern, self.config.width, self.device)
        optimizer = trainer.make_optimizer(self.config, net)
        graph.Rate(optimizer, self.device).set(self.config.lr)
        self.call = trainer.stepper(self.config, net, optimizer, self.batches)
        self.order = torch.randperm(IMAGES, generator=g).to(self.device)
        self.point(0)

    def point(self, k: int) -> None:
        """The samples of step k go where a step reads them."""
        first = k * self.config.batch_size % (IMAGES - self.config.batch_size + 1)
        self.place = self.order[first : first + self.config.batch_size]

    def take(self) -> None:
        """The step itself; nothing in it waits for the device."""
        self.loss = self.call(self.place)


@cache
def pictures(device: str) -> Data:
    """Random ones of the size of CIFAR-10's."""
    g = torch.Generator().manual_seed(0)
    x, y = torch.rand(IMAGES, 3, 32, 32, generator=g), torch.arange(IMAGES) % 10
    return Data("cifar10", "random", x, y, x[:1], y[:1]).to(device)


@cache
def built(depth: int, pattern: str, width: int, device: str) -> nn.Module:
    """A net, which all its lines train in turn."""
    config = Config(depth=depth, pattern=pattern, width=width, init="dense")
    net = trainer.build(config, pictures("cpu"), 0).to(device)
    return net.to(memory_format=torch.channels_last)  # pyright: ignore


def checks(device: str, small: bool) -> Checks:
    """Nets x types x ways, then seeds side by side."""
    from benchmarks.gpu.beside import beside

    size: dict[str, Any] = dict(width=8, batch_size=16) if small else {}
    found: Checks = []
    for name, config in list(models(ORIGINAL).items())[:: 9 if small else 1]:
        for precision in PRECISIONS:
            for way in WAYS:
                call = partial(timed, device, config, precision, way, size)
                found.append((f"{name}, {precision}, {way}", call))
    return found + beside(device, small, size)


@contextmanager
def arithmetic(precision: str) -> Iterator[None]:
    """TF32 or not, while inside."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    fast = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = fast
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def made(device: str, config: Config, precision: str, way: str, **changes: Any) -> Step:
    """A step of this net, ready to be timed: compiled, recorded, warm."""
    how = WAYS[way] if device == "cuda" else "off"
    config = replace(config, autocast=precision.startswith("bf16"), graph=how, **changes)
    step = Step(device, config)
    for k in range(WARM):
        step.point(k)
        step.take()
    return step


def timed(device: str, config: Config, precision: str, way: str, size: dict) -> dict[str, Any]:
    """One line of the table."""
    with arithmetic(precision):
        graph.taken()
        step = made(device, config, precision, way, **size)
        times = each(step, device)
    return {"ms": spread(times), "loss": float(step.loss[-1]), **graph.taken()}


def each(step: Step, device: str) -> list[float]:
    """Milliseconds of each of the steps, by events on a card, else by the clock."""
    if device == "cpu":
        times = [time.perf_counter()]
        for k in range(STEPS):
            step.point(WARM + k)
            step.take()
            times.append(time.perf_counter())
        return [1e3 * (b - a) for a, b in pairwise(times)]
    events = [torch.cuda.Event(enable_timing=True) for _ in range(STEPS + 1)]
    torch.cuda.synchronize()
    events[0].record()
    for k, event in enumerate(events[1:]):
        step.point(WARM + k)
        step.take()
        event.record()
    torch.cuda.synchronize()
    return [a.elapsed_time(b) for a, b in pairwise(events)]


def spread(times: list[float]) -> dict[str, float]:
    """The median, and the fastest and slowest."""
    named = {"median": median(times), "least": min(times), "most": max(times)}
    return {k: round(v, 3) for k, v in named.items()}
