"""Milliseconds of a training step, and the step as a CUDA graph beside the eager loop.

A step is what the trainer of resnet/ does on a card: gather and augment from resident pixels,
forward, loss, backward, fused SGD at the original study's rate. Times are medians of 20 steps by
CUDA events, after warm-up.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F

from harness.data import Data
from harness.data.pictures import Batches
from resnet.model import resnet

STEPS, WARM, IMAGES = 20, 5, 2048
PATTERNS = ("dense", "iddl", "random")
LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
PRECISIONS = ("float32", "tf32", "bf16 autocast")


@dataclass
class Step:
    """One step of training: `place` holds the samples of the step, `loss` what it gave."""

    device: str
    pattern: str = "dense"
    layout: torch.memory_format = torch.channels_last
    half: bool = False
    depth: int = 18
    width: int = 64
    batch: int = 128

    def __post_init__(self):
        g = torch.Generator().manual_seed(0)
        x, y = torch.rand(IMAGES, 3, 32, 32, generator=g), torch.arange(IMAGES) % 10
        data = Data("cifar10", "random", x, y, x[:1], y[:1]).to(self.device)
        self.batches = Batches(data, "flip", 0, self.layout)
        self.batches.begin(0)
        net = resnet(self.depth, self.pattern, width=self.width, init="dense")
        self.net = net.to(self.device).to(memory_format=self.layout)  # pyright: ignore
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.01, momentum=0.5, fused=True)
        self.order = torch.randperm(IMAGES, generator=g).to(self.device)
        self.place = torch.zeros(self.batch, dtype=torch.int64, device=self.device)
        self.loss = torch.zeros((), device=self.device)

    def point(self, k: int) -> None:
        """The samples of step k go where a step reads them."""
        first = k * self.batch % (IMAGES - self.batch + 1)
        self.place.copy_(self.order[first : first + self.batch])

    def take(self) -> None:
        """The step itself; nothing in it waits for the device."""
        x, y = self.batches.draw(self.place)
        with torch.autocast(self.place.device.type, torch.bfloat16, enabled=self.half):
            loss = F.cross_entropy(self.net(x).float(), y)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.loss.copy_(loss.detach())


def checks(device: str, small: bool) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    """The table of eager steps, and the graphs."""
    size = dict(depth=10, width=8, batch=16) if small else {}
    found = []
    for pattern in PATTERNS[: 1 if small else 3]:
        for precision in PRECISIONS:
            for layout in LAYOUTS:
                name = f"eager {pattern}, {precision}, {layout}"
                call = partial(timed, device, pattern, precision, layout, size)
                found.append((name, call))
    for precision in PRECISIONS:
        found.append((f"graph dense, {precision}", partial(graphs, device, precision, size)))
    return found


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


def timed(device: str, pattern: str, precision: str, layout: str, size: dict) -> dict[str, Any]:
    """The eager step."""
    with arithmetic(precision):
        half = precision.startswith("bf16")
        step = Step(device, pattern, LAYOUTS[layout], half, **size)
        for k in range(WARM):
            step.point(k)
            step.take()
        times = each(step, step.take, device)
    return {"ms": spread(times), "loss": float(step.loss)}


def each(step: Step, take: Callable[[], Any], device: str) -> list[float]:
    """Milliseconds of each of the steps, by events on a card, else by the clock."""
    if device == "cpu":
        times = [time.perf_counter()]
        for k in range(STEPS):
            step.point(WARM + k)
            take()
            times.append(time.perf_counter())
        return [1e3 * (b - a) for a, b in pairwise(times)]
    events = [torch.cuda.Event(enable_timing=True) for _ in range(STEPS + 1)]
    torch.cuda.synchronize()
    events[0].record()
    for k, event in enumerate(events[1:]):
        step.point(WARM + k)
        take()
        event.record()
    torch.cuda.synchronize()
    return [a.elapsed_time(b) for a, b in pairwise(events)]


def spread(times: list[float]) -> dict[str, float]:
    """The median, and the fastest and slowest."""
    named = {"median": median(times), "least": min(times), "most": max(times)}
    return {k: round(v, 3) for k, v in named.items()}


def graphs(device: str, precision: str, size: dict) -> dict[str, Any]:
    """Losses of replayed steps beside three eager runs from the same start.

    Without a card the graph's place is taken by one more eager run.

    Raises:
        AssertionError: the replayed run is further from the nearest eager run than eager runs are
            from each other.
    """
    with arithmetic(precision):
        made = partial(Step, device, half=precision.startswith("bf16"), **size)
        eager = [losses(made(), None) for _ in range(3)]
        step = made()
        replay = capture(step) if device == "cuda" else step.take
        graph = losses(step, replay)
        found = {"ms": spread(each(step, replay, device))}
    gaps = [apart(a, b) for a, b in ((0, 1), (0, 2), (1, 2)) for a, b in [(eager[a], eager[b])]]
    off = min(apart(graph, run) for run in eager)
    found |= {"bitwise": off == 0, "off": off, "eager runs apart": gaps}  # pyright: ignore
    found |= {"graph": graph, "eager": eager[0]}  # pyright: ignore
    assert off <= max(gaps), f"graph off by {off:.3g}, eager runs apart by {gaps}"
    return found


def capture(step: Step) -> Callable[[], None]:
    """The step as a graph, after a warm-up on a side stream whose steps count as the first ones.

    What the warm-up does is what a run without a graph does in its first steps; capturing
    itself takes no step.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for k in range(WARM):
            step.point(k)
            step.take()
    torch.cuda.current_stream().wait_stream(side)
    step.optimizer.zero_grad(set_to_none=True)  # gradients are to live in the graph's memory
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step.take()
    return graph.replay


def losses(step: Step, replay: Callable[[], None] | None) -> list[float]:
    """Of the steps after the warm-up; a step that is to be replayed has been warmed up already."""
    if replay is None or replay == step.take:
        for k in range(WARM):
            step.point(k)
            step.take()
    found = []
    for k in range(STEPS):
        step.point(WARM + k)
        (replay or step.take)()
        found.append(float(step.loss))
    return found


def apart(one: list[float], other: list[float]) -> float:
    """The largest difference between two rows of losses."""
    return max(abs(a - b) for a, b in zip(one, other, strict=True))
