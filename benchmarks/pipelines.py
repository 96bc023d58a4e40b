"""`python -m benchmarks.pipelines`: what the engine costs, and what two processes gain.

engine       CPU time of a step of 4 stages in one process, against the bare stages one after the
other with the same torch.optim: what tables, versions and prediction cost
processes    wall time of a step of 2 stages in 2 processes of one thread: a pipeline that never
waits against the naive split, beside one process of two threads and two data-parallel ones; and the
time that the clock makes of what single actions cost there (what they wait for others left out),
and of what they cost alone, in one process: two at a time share caches, and boundaries cross there
schedules    the clock's time of synchronous schedules, 4 stages and 8 micro-batches, at these costs
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import tyro
from torch import nn

from benchmarks.telling import told
from harness.data import Data
from harness.record.provenance import collect
from parallel.pipeline.actions import Action
from parallel.pipeline.clock import simulate
from parallel.pipeline.pipeline import Pipeline
from parallel.pipeline.schedules import schedule
from parallel.strategy import make
from parallel.training.pipelined import Pipelined
from parallel.training.training import Training
from parallel.world.comm import Comm
from parallel.world.run import run
from parallel.world.world import World

SGD = partial(torch.optim.SGD, lr=0.001, momentum=0.9)
POLICIES = (None, "vanilla", "pipedream", "spectrain_v1", "spectrain_v2")
WARM, STEPS, REPEATS = 8, 32, 5


@dataclass(frozen=True)
class Options:
    """Costs of the pipeline's engine and gains of two processes, beside their rivals in one run."""

    rounds: int = 12
    """Of each side, in turn."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the record there."""
    json: bool = False
    """Print one JSON document and nothing else."""


def perceptron(width: int) -> nn.Sequential:
    """Eight layers, two a stage of four."""
    widths = [*[width] * 8, 10]
    layers = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(widths)]
    return nn.Sequential(*layers[:-1], nn.Linear(width, 10))


def convolutions(width: int) -> nn.Sequential:
    """Eight convolutions with batch norm on 16 x 16 pixels."""
    layers = [
        nn.Sequential(nn.Conv2d(a, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        for a in (3, *[width] * 7)
    ]
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))
    return nn.Sequential(*layers[:-1], nn.Sequential(layers[-1], head))


# name: (net, its inputs, batch)
NETS: dict[str, tuple[Callable[[], nn.Sequential], tuple[int, ...], int]] = {
    "MLP 8 x 256, batch 128": (partial(perceptron, 256), (256,), 128),
    "MLP 8 x 1024, batch 32": (partial(perceptron, 1024), (1024,), 32),
    "8 convolutions of 16, batch 32": (partial(convolutions, 16), (3, 16, 16), 32),
}
PAIRS = {
    "MLP 8 x 1024, batch 128": (partial(perceptron, 1024), (1024,), 128),
    "8 convolutions of 32, batch 64": (partial(convolutions, 32), (3, 16, 16), 64),
}


def numbers(shape: tuple[int, ...], samples: int) -> Data:
    """Random inputs and labels."""
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(samples, *shape, generator=g), torch.randint(10, (samples,), generator=g)
    return Data("random", "random numbers", x, y, x[:100], y[:100])


def bare(net: nn.Sequential, data: Data, batch: int, stages: int) -> Callable[[], None]:
    """The stages one after the other, each with its optimizer: no table, no versions."""
    per = len(net) // stages
    row = [net[per * k : per * (k + 1)] for k in range(stages)]
    steppers = [SGD(stage.parameters()) for stage in row]
    batches = iter(torch.randperm(len(data.train_y)).split(batch) * 1000)

    def once() -> None:
        index = next(batches)
        x, y = data.train_x.index_select(0, index), data.train_y.index_select(0, index)
        inputs, outputs = [], []
        for k, stage in enumerate(row):
            x = x.detach().requires_grad_(k > 0)
            inputs.append(x)
            x = stage(x)
            outputs.append(x)
        outputs[-1], grad = F.cross_entropy(x, y), None
        for k in reversed(range(stages)):
            weights = list(row[k].parameters())
            found = torch.autograd.grad(outputs[k], [inputs[k]] * (k > 0) + weights, grad)
            grad = found[0] if k else None
            for p, g in zip(weights, found[k > 0 :], strict=True):
                p.grad = g
            steppers[k].step()

    return once


def engine(options: Options) -> list[dict[str, Any]]:
    """One object per net; all sides in turn, round by round."""
    lines = []
    for name, (make_net, shape, batch) in NETS.items():
        data = numbers(shape, 64 * batch)
        sides = {"bare": bare(make_net(), data, batch, 4)}
        for weights in POLICIES:
            how = Pipeline(4, weights=weights, layer_split=[2, 4, 6])
            given: dict[str, Any] = dict(batch_size=batch, seed=0, steps=10**4)
            one = Pipelined(make_net(), data, F.cross_entropy, SGD, how, Comm(4), **given)
            sides[weights or "1f1b, waiting"] = one.step
        times: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(options.rounds + 1):
            for side, step in sides.items():
                step()
                times[side].append(_cpu(step, 8))
        times = {side: all_[1:] for side, all_ in times.items()}
        line: dict[str, Any] = {"name": name, "bare_ms": 1e3 * median(times["bare"])}
        for side, mine in times.items():
            if side != "bare":
                ratios = [a / b for a, b in zip(mine, times["bare"], strict=True)]
                line[side] = median(ratios) - 1
        lines.append(line)
    return lines


def _cpu(step: Callable[[], None], times: int) -> float:
    """CPU seconds of a call."""
    begin = time.process_time()
    for _ in range(times):
        step()
    return (time.process_time() - begin) / times


def marks(comm: Comm, parts: tuple, batch: int, threads: int) -> Iterator[dict[str, Any]]:
    """Wall and CPU seconds a step, once all are under way; medians of repeats."""
    torch.set_num_threads(threads)
    steps = WARM + REPEATS * STEPS
    if isinstance(parts[-1], Pipeline):
        one: Any = Pipelined(*parts, comm=comm, batch_size=batch, seed=0, steps=steps)
    else:
        one = Training(*parts, comm=comm, batch_size=batch, seed=0)
    while one.done < WARM:
        one.step()
    costs = Costs(one) if isinstance(one, Pipelined) else None
    for _ in range(REPEATS):
        comm.everyone(0.0)  # all are here
        if costs:
            costs.begin()
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(STEPS):
            one.step()
        comm.everyone(0.0)
        cpus = comm.everyone(time.process_time() - cpu)
        row = {"wall": (time.perf_counter() - wall) / STEPS, "cpu": [c / STEPS for c in cpus]}
        if costs:
            row["costs"] = [comm.everyone(costs.mean(comm.rank, op)) for op in "FBU"]
        yield row


class Costs:
    """Seconds that single actions of a pipeline take, as the engine does them.

    Args:
        one: The pipeline; from now on its actions are watched.
    """

    def __init__(self, one: Pipelined):
        self.wait, one.comm.wait = one.comm.wait, self._wait  # pyright: ignore
        one.executor.watch = self._watch
        self.begin()

    def begin(self) -> None:
        """Forget what was seen."""
        self.seen: dict[tuple[int, str], list[float]] = {}
        self.last = time.perf_counter()

    def mean(self, stage: int, op: str) -> float:
        """Of a stage's actions of one kind."""
        return mean(self.seen[stage, op])

    def _wait(self, ticket: Any) -> Any:
        """Waiting for others is no cost of an action."""
        begin = time.perf_counter()
        found = self.wait(ticket)
        self.last += time.perf_counter() - begin
        return found

    def _watch(self, action: Action, stage: Any) -> None:
        now = time.perf_counter()
        self.seen.setdefault((action.stage, action.op), []).append(now - self.last)
        self.last = time.perf_counter()


def processes(options: Options) -> list[dict[str, Any]]:
    """One object per net; all sides in turn, pass by pass."""
    lines = []
    for name, (make_net, shape, batch) in PAIRS.items():
        data = numbers(shape, 32 * batch)
        first = make_net(), data, F.cross_entropy, SGD
        sides = {
            "pipedream": (World.procs(2, threads=1), Pipeline(2, weights="pipedream"), 1),
            "naive": (World.procs(2, threads=1), Pipeline(2, "naive"), 1),
            "two threads": (World.sim(1), make("no_comm"), 2),
            "data parallel": (World.procs(2, threads=1), make("all_reduce"), 1),
        }
        found: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
        for _ in range(max(1, options.rounds // 4)):
            for side, (world, how, threads) in sides.items():
                found[side] += run(world, marks, (*first, how), batch, threads)
        torch.set_num_threads(1)
        walls = {side: median(row["wall"] for row in rows) for side, rows in found.items()}
        cpus = {
            side: [median(c) for c in zip(*(r["cpu"] for r in rows), strict=True)]
            for side, rows in found.items()
        }
        line: dict[str, Any] = {"name": name}
        line |= {f"{side}_ms": 1e3 * wall for side, wall in walls.items()}
        line["speedup"] = walls["naive"] / walls["pipedream"]
        line["speedup_by_cpu"] = sum(cpus["naive"]) / max(cpus["pipedream"])
        line["clock_ms"] = 1e3 * median(_period(_there(row)) for row in found["pipedream"])
        line["clock_alone_ms"] = 1e3 * _period(costs_of(make_net(), data, batch, 2))
        lines.append(line)
    return lines


def _there(row: dict[str, Any]) -> dict[Any, float]:
    """Costs by stage and op, where a rank has one stage."""
    pairs = zip("FBU", row["costs"], strict=True)
    return {(k, op): cost for op, each in pairs for k, cost in enumerate(each)}


def _period(costs: dict[Any, float]) -> float:
    """Seconds of a minibatch, by the clock, in two stages that never wait."""
    clock = simulate(schedule("async_1f1b", 2, 100), costs, source="measured")
    return float(clock.makespan) / 100


def costs_of(net: nn.Sequential, data: Data, batch: int, stages: int) -> dict[Any, float]:
    """Seconds of each action of each stage, in this process alone, one thread: means."""
    torch.set_num_threads(1)
    how = Pipeline(stages, weights="pipedream")
    one = Pipelined(
        net,
        data,
        F.cross_entropy,
        SGD,
        how,
        Comm(stages),
        batch_size=batch,
        seed=0,
        steps=WARM + STEPS,
    )
    costs = Costs(one)
    for _ in range(WARM):
        one.step()
    costs.begin()
    for _ in range(STEPS):
        one.step()
    return {(k, op): costs.mean(k, op) for k, op in costs.seen}


def schedules() -> list[dict[str, Any]]:
    """One object per schedule: the clock's time of a minibatch, and the share spent waiting."""
    net, shape, batch = PAIRS["MLP 8 x 1024, batch 128"]
    costs = costs_of(net(), numbers(shape, 32 * batch), batch // 8, 4)
    halves = {(k, half): costs[k, "B"] / 2 for k in range(4) for half in "IW"}
    lines = []
    for name, words in (
        ("naive", {}),
        ("gpipe", {}),
        ("1f1b", {}),
        ("zb_h1", {}),
        ("zbv", {}),
        ("interleaved", dict(chunks=2)),
    ):
        clock = simulate(schedule(name, 4, 1, 8, **words), costs | halves, source="measured")
        lines.append(
            {
                "name": name,
                "ranks": len(schedule(name, 4, 1, 8, **words).ranks),
                "ms": 1e3 * float(clock.makespan),
                "waiting": float(clock.bubble),
            }
        )
    return lines


def main() -> int:
    """Run the benchmark."""
    options = tyro.cli(Options, prog="python -m benchmarks.pipelines")
    torch.set_num_threads(1)
    document: dict[str, Any] = {
        "engine": engine(options),
        "processes": processes(options),
        "schedules": schedules(),
    }
    document |= {"rounds": options.rounds, "provenance": collect()}
    return told(options, document, ("engine", "processes", "schedules"))


if __name__ == "__main__":
    raise SystemExit(main())
