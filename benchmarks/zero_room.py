"""`python -m benchmarks.zero_room`: the largest net that trains where each rank has little memory.

Each rank is a process. When all code is loaded, the ranks have met and a tiny net has trained, it
sets the limit of its address space (RLIMIT_AS) to what it has then and `room` more: the baseline,
Python and torch with their libraries, is not counted. Then it makes a net of `LAYERS` square
matrices and trains two steps, batch 8 a rank, Adam, float32. A bisection over the width finds the
largest net whose steps succeed on all ranks, for all-reduce and the stages of ZeRO.

Address space is all that is mapped, touched or not: weights, gradients, optimizer state, and also
messages, activations and temporaries. One thread, one malloc arena, and large blocks that go back
at once (MALLOC_MMAP_THRESHOLD_), so that what is freed counts no more. Linux only.
"""

import os
import resource
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import tyro
from torch import nn

from benchmarks.telling import told
from harness.data import Data
from harness.record.provenance import collect
from parallel.strategy import make
from parallel.strategy.zero import Held, held
from parallel.training.training import Training
from parallel.world.comm import Comm
from parallel.world.procs import WorkerError
from parallel.world.run import run
from parallel.world.world import World

STRATEGIES = ("all_reduce", "zero1", "zero2", "zero3")  # by stage
RANKS = (1, 2, 4)
LAYERS, EACH, STEPS = 16, 8, 2
GRAIN = 8  # widths that are tried are multiples of it
ADAM = Held(4, 4, 8)  # bytes of a float32 weight, of its gradient, of its state
MALLOC = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
FULL = ("allocate memory", "MemoryError", "bad_alloc", "SIGABRT")
STATM = Path("/proc/self/statm")


@dataclass(frozen=True)
class Options:
    """The largest net that trains where each rank has little memory."""

    room: int = 128
    """MiB of address space of a rank, beyond its baseline."""
    ranks: tuple[int, ...] = RANKS
    """How many ranks."""
    strategies: tuple[str, ...] = STRATEGIES
    """Which of all_reduce, zero1, zero2, zero3."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the record there."""
    json: bool = False
    """Print one JSON document and nothing else."""


def made(width: int, rank: int = 0) -> nn.Sequential:
    """Return the net: square matrices, so that none of them stands for the others."""
    layers = (nn.Sequential(nn.Linear(width, width), nn.ReLU()) for _ in range(LAYERS))
    return nn.Sequential(*layers)


def size(width: int) -> int:
    """Return its weights."""
    return LAYERS * (width * width + width)


def trained(comm: Comm, name: str, width: int) -> None:
    """Train a few steps on noise."""
    g = torch.Generator().manual_seed(0)
    samples = EACH * comm.workers
    x, y = torch.randn(samples, width, generator=g), torch.zeros(samples, dtype=torch.long)
    words = partial(made, width), Data("noise", "made", x, y, x, y), F.cross_entropy
    adam = partial(torch.optim.Adam, lr=1e-4)
    options: dict[str, Any] = dict(batch_size=samples, seed=0)
    training = Training(*words, adam, make(name), comm, **options)
    for _ in range(STEPS):
        training.step()


def under(comm: Comm, name: str, width: int, room: int) -> Iterator[int]:
    """Train in this process with so much room; yield the baseline in bytes."""
    trained(comm, name, 2 * GRAIN)
    base = int(STATM.read_text().split()[0]) * resource.getpagesize()
    comm.agree(0, 0, now=True)
    resource.setrlimit(resource.RLIMIT_AS, (base + room, resource.RLIM_INFINITY))
    trained(comm, name, width)
    yield base


def fits(name: str, ranks: int, room: int, width: int) -> int:
    """Return the baseline of rank 0 if the net trains; 0 where memory did not suffice."""
    try:
        *_, base = run(World.procs(ranks, threads=1, timeout=60), under, name, width, room)
    except WorkerError as error:
        if any(word in str(error) for word in FULL):
            return 0
        raise
    return base


def widest(low: int, high: int, good: Callable[[int], Any]) -> int:
    """Return the largest number up to high that is good, by halving; low if none above is."""
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if good(middle) else (low, middle - 1)
    return low


def line(name: str, ranks: int, room: int) -> dict[str, Any]:
    """Return the largest net of a strategy, beside the formula's."""
    stage = STRATEGIES.index(name)
    within = lambda w: held(stage, size(GRAIN * w), ranks, ADAM).total <= room  # noqa: E731
    most = widest(1, room // GRAIN, within)
    bases: list[int] = []

    def good(w: int) -> bool:
        bases.append(fits(name, ranks, room, GRAIN * w))
        return bool(bases[-1])

    width = GRAIN * widest(most // 2, most + 1, good)
    found, formula = size(width), size(GRAIN * most)
    base = max(bases)
    print(f"{name}, {ranks} ranks: {found:,} weights, formula {formula:,}", file=sys.stderr)
    return {
        "strategy": name,
        "ranks": ranks,
        "width": width,
        "weights": found,
        "formula": formula,
        "share": found / formula,
        "baseline": base,
    }


def main() -> int:
    """Measure, print, and write the record if asked to."""
    options = tyro.cli(Options, prog="python -m benchmarks.zero_room")
    if not STATM.exists():
        print("error: the address space of a process is told by Linux only", file=sys.stderr)
        return 2
    os.environ.update(MALLOC)  # (read by the processes, when they start)
    room = options.room << 20
    lines = [line(name, n, room) for name in options.strategies for n in options.ranks]
    document: dict[str, Any] = {"lines": lines, "room": room, "provenance": collect()}
    return told(options, document, ["lines"])


if __name__ == "__main__":
    raise SystemExit(main())
