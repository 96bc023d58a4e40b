"""`python -m benchmarks.compression`: what sparse training costs, and what moving connections adds.

steps      one layer, batch 128: forward, both gradients, an SGD step; in turn, round by round:
           ours         bibd.SparseLinear with random connections, one thread
           dense        nn.Linear, which masked training has to compute
           sparselab    SparseLab's layer of as many connections, where it is installed
changes    a net of the study: what the changes of RigL and SET, every 100 steps, add to a training
           without them, as a share of the whole; tables are made anew in the step after a change
decoding   seconds to decode 11 million weights from a file, pruned to a twentieth

Ratios are medians over the rounds of CPU time in one thread; wall time stands beside it.
"""

import importlib.util
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import tyro
from torch import nn

from benchmarks.ensembles import Times, in_turn, ratio
from benchmarks.telling import expect, told
from bibd import DynamicLinear, SparseLinear
from compress import Moving
from compress.moving.moving import Method
from harness.record.provenance import collect
from harness.sweep.launch import keep_pages

LAYERS = ((784, 300), (1024, 1024), (1024, 1056))
PERCENTS = (10.0, 5.0, 2.0)
BATCH, EVERY = 128, 100
WEIGHTS = 11_000_000


@dataclass(frozen=True)
class Options:
    """What sparse training costs, and what moving connections adds, in one run."""

    rounds: int = 9
    """Of each side, in turn."""
    parts: tuple[str, ...] = ("steps", "changes", "decoding")
    """Which parts."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the record there."""
    json: bool = False
    """Print one JSON document and nothing else."""


def step(layer: nn.Module, inputs: int) -> Callable[[], None]:
    """Return one training step of a layer, with a gradient for its input as inside a net."""
    x = torch.randn(BATCH, inputs, requires_grad=True)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.001, momentum=0.9)

    def once() -> None:
        optimizer.zero_grad()
        x.grad = None
        layer(x).square().sum().backward()
        optimizer.step()

    return once


def sides(inputs: int, outputs: int, percent: float) -> dict[str, Callable[[], None]]:
    """Return the step of each side, with about as many connections."""
    torch.manual_seed(0)
    count = round(percent / 100 * inputs * outputs)
    found = {
        "ours": SparseLinear(inputs, outputs, "random", seed=0, nonzeros=count),
        "dense": nn.Linear(inputs, outputs),
    }
    if importlib.util.find_spec("sparselab"):
        import sparselab  # pyright: ignore[reportMissingImports]

        found["sparselab"] = sparselab.SparseLinear(inputs, outputs, sparsity=1 - percent / 100)
    return {side: step(layer, inputs) for side, layer in found.items()}


def layers(rounds: int) -> list[dict[str, Any]]:
    """Return a line for each layer and density."""
    return [line(*size, percent, rounds) for size in LAYERS for percent in PERCENTS]


def line(inputs: int, outputs: int, percent: float, rounds: int) -> dict[str, Any]:
    """Return milliseconds of each side, and how much longer the others take than ours."""
    times: Times = in_turn(sides(inputs, outputs, percent), rounds)
    found: dict[str, Any] = {"name": f"{inputs} x {outputs}, {percent:g} %"}
    for side, took in times.items():
        found[f"{side}_ms"] = 1e3 * median(cpu for cpu, _ in took)
        found[f"{side}_wall_ms"] = 1e3 * median(wall for _, wall in took)
        if side != "ours":
            found[f"over_{side}"] = ratio(times, side, "ours")
    return found


def changes(rounds: int) -> list[dict[str, Any]]:
    """Return the share of the CPU time of training that changes of connections add."""
    return [share(method, percent, rounds) for method in ("set", "rigl") for percent in PERCENTS]


def share(method: Method, percent: float, rounds: int) -> dict[str, Any]:
    """Train LeNet-300-100 for some changes; returns what they add."""
    torch.manual_seed(0)
    widths = ((784, 300), (300, 100))
    hidden = [
        DynamicLinear(v, b, "random_fan_in", seed=0, nonzeros=max(b, round(percent / 100 * v * b)))
        for v, b in widths
    ]
    net = nn.Sequential(hidden[0], nn.ReLU(), hidden[1], nn.ReLU(), nn.Linear(100, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, fused=True)
    moving = Moving(net, optimizer, method, steps=10**9, every=EVERY)
    x, y = torch.randn(BATCH, 784), torch.randint(10, (BATCH,))
    took: dict[str, list[float]] = {"step": [], "change": [], "after": []}
    kind = "step"
    for t in range(EVERY * (rounds + 1) + 2):
        begin = time.process_time()
        optimizer.zero_grad()
        with moving:
            F.cross_entropy(net(x), y).backward()
        kind = "change" if moving.step() else "after" if kind == "change" else "step"
        if t > EVERY + 1:  # (the first change builds and chooses)
            took[kind].append(time.process_time() - begin)
    one, change, after = (median(took[kind]) for kind in took)
    added = change + after - 2 * one
    return {
        "name": f"{method}, {percent:g} %",
        "step_ms": 1e3 * one,
        "change_ms": 1e3 * change,
        "after_ms": 1e3 * after,
        "share": added / (EVERY * one + added),
    }


def decoding(rounds: int) -> list[dict[str, Any]]:
    """Return the seconds in which a file of many weights is read back."""
    from compress.file.pack import pack, unpack

    torch.manual_seed(0)
    net = nn.Linear(1000, WEIGHTS // 1000, bias=False)
    with torch.no_grad():
        net.weight.mul_(torch.rand_like(net.weight) < 0.05)
    times = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.iddlz"
        size = pack(net, path, 4).bytes
        for _ in range(min(rounds, 3)):
            begin = time.perf_counter()
            unpack(path, net)
            times.append(time.perf_counter() - begin)
    return [{"name": f"{WEIGHTS:,} weights, 5 % left", "seconds": min(times), "bytes": size}]


PARTS = {"steps": layers, "changes": changes, "decoding": decoding}


def main() -> int:
    """Measure, print, and write the record if asked to."""
    options = tyro.cli(Options, prog="python -m benchmarks.compression")
    expect("part", options.parts, PARTS)
    torch.set_num_threads(1)
    keep_pages()
    warnings.simplefilter("ignore")  # (a few per cent of random connections leave inputs unread)
    found = {part: PARTS[part](options.rounds) for part in options.parts}
    document: dict[str, Any] = {**found, "rounds": options.rounds, "provenance": collect()}
    return told(options, document, found)


if __name__ == "__main__":
    raise SystemExit(main())
