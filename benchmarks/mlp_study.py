"""`python -m benchmarks.mlp_study`: what a model of the MLP study costs to train, three ways.

    loader   the plain loop: DataLoader over MNIST with ToTensor, one model (as the original study)
    tensors  the plain loop over a DataLoader of ready tensors, one model
    ours     harness.train.fit's step: resident data; one seed alone, and ten seeds stacked

One model-run is 10 epochs of 1875 steps of 32 samples. Each way is timed for some steps in turn,
round by round; the median over rounds is scaled to a model-run. Random images take the place of
MNIST where its files are not there (the `loader` way is then left out).
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import torch
import torch.nn.functional as F
import tyro
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.telling import written
from harness.data import DataError, data_root, load
from harness.record.provenance import collect
from harness.result import screen
from harness.seeding import order
from harness.stack import stack
from harness.train.fit import gradient_step, take
from mlp.experiments import PLANS
from mlp.model import build

STEPS, EPOCHS, BATCH, SEEDS = 1875, 10, 32, 10
ARMS = ("MLP-3-1", "MLP-3-4", "B-MLP-3-1", "B-MLP-3-4", "R-MLP-3-4")


@dataclass(frozen=True)
class Options:
    """Time one model-run of the MLP study: plain loops against the stacked one."""

    rounds: int = 5
    """Turns of each way; the median counts."""
    steps: int = 150
    """Steps per turn."""
    threads: int = 0
    """Threads of torch; 0 leaves its default."""
    json: bool = False
    """Print one JSON document instead of a table."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the document there."""


def images() -> tuple[torch.Tensor, torch.Tensor, bool]:
    """MNIST's training set, or random images of its size."""
    try:
        data = load("mnist").flatten()
        return data.train_x, data.train_y, True
    except DataError:
        g = torch.Generator().manual_seed(0)
        x = torch.rand(STEPS * BATCH, 784, generator=g)
        return x, torch.randint(0, 10, (len(x),), generator=g), False


def plain_step(arm: str, batches: Iterator) -> Callable[[], None]:
    """One step of the loop that everybody writes."""
    config = PLANS["paper"].arms[arm]
    net = build(config, 784, 10, seed=0)
    optimizer = torch.optim.SGD(net.parameters(), lr=config.lr, momentum=config.momentum)

    def step():
        x, y = next(batches)
        optimizer.zero_grad()
        F.cross_entropy(net(x.flatten(1)), y).backward()
        optimizer.step()

    return step


def our_step(arm: str, x: torch.Tensor, y: torch.Tensor, members: int) -> Callable[[], None]:
    """One step of harness.train.fit for a stack of so many seeds."""
    config = PLANS["paper"].arms[arm]
    net = stack([build(config, 784, 10, seed) for seed in range(members)])
    options = {"lr": config.lr, "momentum": config.momentum, "fused": True}
    step = gradient_step(net, torch.optim.SGD(net.parameters(), **options))
    orders = torch.stack([order(seed, 0, len(x)) for seed in range(members)])
    parts = forever(lambda: iter(orders.split(BATCH, dim=1)))

    def one():
        index = next(parts)
        step(take(x, index), take(y, index))

    return one


def forever(make: Callable[[], Iterator]) -> Iterator:
    """Start again at the end, as the next epoch does."""
    while True:
        yield from make()


def ways(arm: str, x: torch.Tensor, y: torch.Tensor, real: bool) -> dict[str, Callable[[], None]]:
    """The steps to time, by name."""
    ready = DataLoader(TensorDataset(x, y), batch_size=BATCH, shuffle=True)
    found = {"tensors": plain_step(arm, forever(lambda: iter(ready)))}
    if real:
        from torchvision import datasets, transforms

        files = datasets.MNIST(data_root(), train=True, transform=transforms.ToTensor())
        loader = DataLoader(files, batch_size=BATCH, shuffle=True)
        found["loader"] = plain_step(arm, forever(lambda: iter(loader)))
    return found | {
        "ours, 1 seed": our_step(arm, x, y, 1),
        "ours, 10 seeds": our_step(arm, x, y, SEEDS),
    }


def measure(options: Options) -> list[dict]:
    """One object per model."""
    x, y, real = images()
    lines = []
    for arm in ARMS:
        steps = ways(arm, x, y, real)
        times: dict[str, list[float]] = {name: [] for name in steps}
        for step in steps.values():
            _timed(step, 20)
        for _ in range(options.rounds):
            for name, step in steps.items():
                times[name].append(_timed(step, options.steps))
        run = {name: median(t) * STEPS * EPOCHS for name, t in times.items()}
        ours, ten = run["ours, 1 seed"], run["ours, 10 seeds"]
        line = {"name": arm, **{f"{k}, s": v for k, v in run.items()}}
        line["ours stacked, s per model-run"] = ten / SEEDS
        line["price of ten seeds, in ones"] = ten / ours
        for rival in ("loader", "tensors"):
            if rival in run:
                line[f"times faster than {rival}"] = run[rival] / (ten / SEEDS)
        lines.append(line)
    return lines


def _timed(step: Callable[[], None], count: int) -> float:
    begin = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - begin) / count


def main() -> int:
    """Run the benchmark."""
    options = tyro.cli(Options, prog="python -m benchmarks.mlp_study")
    if options.threads:
        torch.set_num_threads(options.threads)
    lines = measure(options)
    document = {"table": lines, "rounds": options.rounds, "steps": options.steps}
    document["provenance"] = collect()
    if written(options, document):
        return 0
    heads = list(lines[0])
    rows = [[v if isinstance(v, str) else f"{v:.2f}" for v in line.values()] for line in lines]
    screen.show(
        f"seconds per model-run (10 epochs), {torch.get_num_threads()} threads", heads, rows
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
