"""`python -m benchmarks.tickets`: from which level on sparse layers train tickets faster.

Five seeds of LeNet-300-100 side by side, batch 60, Adam, at the levels of a fifth and a tenth each:

masked     one batched dense product for all seeds, and masks over the optimizer
sparse     a stack of layers that hold only what the masks leave

Both take the same steps, in turn. Ratios are medians over the rounds of CPU time in one thread.
"""

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import tyro
from torch import nn

from benchmarks.telling import told
from compress.plans.levels import Tickets
from compress.runs.tickets import optimizer_of
from compress.tickets.branches import following
from compress.tickets.course import Course
from compress.tickets.level import Level, dense
from harness.data import Data
from harness.record.provenance import collect

WIDTHS, SEEDS, BATCH = (784, 300, 100, 10), (0, 1, 2, 3, 4), 60
LEVELS = (1, 2, 3, 5, 7, 9, 12, 15)
STEPS = 10  # of a side in a round


@dataclass(frozen=True)
class Options:
    """From which level on sparse layers train tickets faster, in one run."""

    rounds: int = 7
    """Of each side, in turn."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the record there."""
    json: bool = False
    """Print one JSON document and nothing else."""


def net(widths: Sequence[int], seed: int) -> nn.Sequential:
    """Return linear layers with ReLU between them."""
    torch.manual_seed(seed)
    layers = [m for a, b in pairwise(widths) for m in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def levels(widths: Sequence[int], last: int) -> list[Level]:
    """Return levels 0 to `last`, pruned by the weights of the start: only counts matter here."""
    found = [dense([net(widths, seed) for seed in SEEDS], SEEDS)]
    for _ in range(last):
        found[-1].weights = found[-1].start
        found.append(following(found[-1], 0, rate=0.2, output=0.1))
    return found


def line(level: Level, widths: Sequence[int], data: Data, rounds: int) -> dict[str, Any]:
    """Return milliseconds of a step of all seeds, masked and sparse."""
    named: Any = dict(iterations=10**6, batch_size=BATCH, every=STEPS)
    named["optimizer"] = partial(optimizer_of, Tickets())
    courses = {
        name: Course(net(widths, 0), level, data, sparse=name == "sparse", **named)
        for name in ("masked", "sparse")
    }
    rows = {name: iter(course) for name, course in courses.items()}
    took: dict[str, list[float]] = {name: [] for name in courses}
    for k in range(rounds + 1):
        for name, course in rows.items():
            begin = time.process_time()
            next(course)
            if k:  # (the first round makes tables, and chooses)
                took[name].append((time.process_time() - begin) / STEPS)
    ratios = [a / b for a, b in zip(took["masked"], took["sparse"], strict=True)]
    found: dict[str, Any] = {"level": level.number, "remaining": level.remaining}
    found |= {f"{name}_ms": 1e3 * median(times) for name, times in took.items()}
    return found | {"masked_over_sparse": median(ratios)}


def numbers(width: int, classes: int) -> Data:
    """Return random pictures; a look at the validation set takes next to no time."""
    g = torch.Generator().manual_seed(0)
    x, y = torch.rand(3000, width, generator=g), torch.randint(classes, (3000,), generator=g)
    few = x[:50], y[:50]
    return Data.from_tensors(x, y, test=few, validation=few, name="random numbers")


def main() -> int:
    """Measure, print, and write the record if asked to."""
    options = tyro.cli(Options, prog="python -m benchmarks.tickets")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # (late levels leave inputs unread)
    data, found = numbers(WIDTHS[0], WIDTHS[-1]), levels(WIDTHS, LEVELS[-1])
    lines = [line(found[k], WIDTHS, data, options.rounds) for k in LEVELS]
    document: dict[str, Any] = {"lines": lines, "rounds": options.rounds, "provenance": collect()}
    return told(options, document, ["lines"])


if __name__ == "__main__":
    raise SystemExit(main())
