"""`python -m benchmarks.parallel_worlds`: what simulating, slicing and wrapping cost and save.

simulation   a step of 64 workers as one tensor program, against a loop over 64 modules and
against 64 gloo processes that take turns on these cores (in turn, round by round)
subnets      bytes and multiply-adds of independent subnets against local SGD, both in four
processes; time per step of both in the simulation
payload      bytes counted in the communication layer, and by the operating system on the
loopback, against the formula; four processes
wrapper      DataParallel with one worker against a loop written by hand
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import tyro

from benchmarks.sparse.rounds import race
from benchmarks.telling import told
from harness import cost
from harness.data import Data
from harness.nets.perceptron import mlp
from harness.record.provenance import collect
from parallel.strategy import make
from parallel.training.loop import rows
from parallel.training.training import Training
from parallel.world.comm import Comm
from parallel.world.run import run
from parallel.world.world import World
from parallel.wrap.data_parallel import DataParallel

CROWD, EACH, PERIOD = 64, 32, 8
EPOCH = 100  # steps
NETS = {"Iris MLP 4-10-3": (4, 10, 3), "digits MLP 64-64-64-10": (64, 64, 64, 10)}
WIDE = (784, 1024, 1024, 10)
DEEP = (784, 1024, 1024, 1024, 10)
SENDERS = {
    "all_reduce": {},
    "local_sgd": dict(period=8),
    "easgd": dict(period=4),
    "gossip_pull": dict(period=4),
    "elastic_gossip": dict(period=4, matching=True),
    "ist": dict(period=8),
}
sgd = partial(torch.optim.SGD, lr=0.05)


@dataclass(frozen=True)
class Options:
    """Costs of worlds, subnets and wrappers, each beside its rival in one run."""

    rounds: int = 7
    """Of each side, in turn."""
    processes: int = CROWD
    """How many in the comparison with the simulation; 0 leaves it out."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the record there."""
    json: bool = False
    """Print one JSON document and nothing else."""


def numbers(widths: tuple[int, ...], samples: int) -> Data:
    """Random inputs and labels of a net's sizes."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(samples, widths[0], generator=g)
    y = torch.randint(widths[-1], (samples,), generator=g)
    return Data("random", "random numbers", x, y, x[:100], y[:100])


def simulation(options: Options) -> list[dict[str, Any]]:
    """One object per net; processes and the others in turn."""
    lines = []
    for name, widths in NETS.items():
        data = numbers(widths, CROWD * EACH * EPOCH)
        parts = mlp(widths), data, F.cross_entropy, sgd, make("local_sgd", period=PERIOD)
        session = Training(*parts, comm=Comm(CROWD), batch_size=CROWD * EACH, seed=0)
        sides = {"sim": session.step, "loop": by_loop(widths, data)}
        found: dict[str, list[float]] = {"sim": [], "loop": [], "processes": []}
        for _ in range(options.rounds):
            for side, times in race(sides, 1, 0.4).items():
                found[side] += times
            if options.processes and len(found["processes"]) < 3:
                found["processes"].append(in_processes(parts, options.processes))
        times = {k: median(v) for k, v in found.items() if v}
        line: dict[str, Any] = {"name": name, "workers": CROWD, "batch": EACH}
        line |= {f"{k}_us": v for k, v in times.items()}
        line |= {f"{k}_over_sim": times[k] / times["sim"] for k in times if k != "sim"}
        lines.append(line)
    return lines


def by_loop(widths: tuple[int, ...], data: Data) -> Callable[[], None]:
    """What one writes without a simulator: modules and optimizers one by one."""
    nets = [mlp(widths) for _ in range(CROWD)]
    optimizers = [sgd(net.parameters()) for net in nets]
    order, step = torch.randperm(len(data.train_y)).view(EPOCH, CROWD, EACH), [0]

    def once() -> None:
        index = order[step[0] % EPOCH]
        step[0] += 1
        for net, optimizer, own in zip(nets, optimizers, index, strict=True):
            optimizer.zero_grad()
            F.cross_entropy(net(data.train_x[own]), data.train_y[own]).backward()
            optimizer.step()
        if step[0] % PERIOD == 0:
            with torch.no_grad():
                for group in zip(*(net.parameters() for net in nets), strict=True):
                    mean = torch.stack(group).mean(0)
                    for p in group:
                        p.copy_(mean)

    return once


def in_processes(parts: tuple, processes: int) -> float:
    """Microseconds a step of all of them, once they are under way."""
    world = World.procs(processes, timeout=120, threads=1)
    options = dict(batch_size=processes * EACH, seed=0)
    (first, last) = run(world, marks, parts, options, 16, 40)
    return (last - first) / 40 * 1e6


def marks(comm: Comm, parts: tuple, options: dict[str, Any], warm: int, steps: int):
    """Clock readings before and after `steps` steps, all processes together."""
    session = Training(*parts, comm=comm, **options)
    for end in (warm, warm + steps):
        while session.done < end:
            session.step()
        comm.everyone(0.0)  # all are here
        yield time.perf_counter()


def subnets(options: Options) -> list[dict[str, Any]]:
    """One object: local SGD and independent subnets on the same net, four workers."""
    data = numbers(WIDE, 4000)
    found: dict[str, Any] = {"name": "784-1024-1024-10, 4 workers, H = 8", "steps": 24}
    sides = {}
    for name in ("local_sgd", "ist"):
        parts = mlp(WIDE), data, F.cross_entropy, sgd, make(name, period=8)
        *_, row = run(
            World.procs(4, timeout=120), rows, parts, dict(batch_size=128, seed=0), 24, 24
        )
        session = Training(*parts, comm=Comm(4), batch_size=128, seed=0)
        sides[name] = session.step
        found[f"{name}_bytes"] = row["bytes_payload"]
        found[f"{name}_macs"] = cost.total(session.members.template, (784,)).macs
    times = {k: median(v) for k, v in race(sides, options.rounds, 0.5).items()}
    found |= {f"{k}_us": v for k, v in times.items()}
    for what in ("bytes", "macs", "us"):
        found[f"{what}_share"] = found[f"ist_{what}"] / found[f"local_sgd_{what}"]
    return [found]


def payload() -> list[dict[str, Any]]:
    """One object per strategy."""
    lines, widths = [], (784, 256, 10)
    data = numbers(widths, 4000)
    for name, words in SENDERS.items():
        strategy = make(name, **words)
        parts = mlp(widths), data, F.cross_entropy, sgd, strategy
        world, words_of_run = World.procs(4, timeout=120), dict(batch_size=128, seed=0)
        # The difference of a long run and a short one: what start and test send is in both.
        long, short = (
            next(iter(run(world, rows, parts, words_of_run, steps, steps))) for steps in (240, 80)
        )
        row = {k: long[f"bytes_{k}"] - short[f"bytes_{k}"] for k in ("theory", "payload")}
        own = None if long["bytes_os"] is None else long["bytes_os"] - short["bytes_os"]
        lines.append(
            {
                "name": f"{name}({', '.join(f'{k}={v}' for k, v in words.items())})",
                **row,
                "interface": own,
                "payload_over_theory": row["payload"] / row["theory"],
                "interface_over_payload": own and own / row["payload"],
            }
        )
    return lines


def wrapper(options: Options) -> list[dict[str, Any]]:
    """One object per style."""
    data = numbers(DEEP, 1280)
    styles = ("torch", "localSGD", "elastic_gossip", "ist")
    sides = {"by hand": training(mlp(DEEP), data)}
    for style in styles:
        sides[style] = training(DataParallel(style=style, model=mlp(DEEP), workers=1), data)
    times = {k: median(v) for k, v in race(sides, 4 * options.rounds, 0.25).items()}
    hand = times["by hand"]
    return [
        {"name": style, "us": times[style], "by_hand_us": hand, "overhead": times[style] / hand - 1}
        for style in styles
    ]


def training(net: torch.nn.Module, data: Data) -> Callable[[], None]:
    """An ordinary loop, a step a call."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    batches = cycle(data)

    def once() -> None:
        x, y = next(batches)
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()

    return once


def cycle(data: Data) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of 128 without an end."""
    while True:
        yield from zip(data.train_x.split(128), data.train_y.split(128), strict=True)


def main() -> int:
    """Run the benchmark."""
    options = tyro.cli(Options, prog="python -m benchmarks.parallel_worlds")
    document: dict[str, Any] = {
        "wrapper": wrapper(options),
        "simulation": simulation(options),
        "subnets": subnets(options),
        "payload": payload(),
    }
    document |= {"rounds": options.rounds, "provenance": collect()}
    return told(options, document, ("simulation", "subnets", "payload", "wrapper"))


if __name__ == "__main__":
    raise SystemExit(main())
