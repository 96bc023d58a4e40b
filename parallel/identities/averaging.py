"""Computes the identities. Each returns how far off it is; parallel.verify knows the limits.

All in float64 on a small task: 22 samples of 4 numbers, a net 4-6-6-3, 3 workers (or more, to fill
machines), batches of 7 that do not divide, so that every mean has to be weighted.
"""

import copy
import itertools
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from harness.data import Data
from parallel.identities import oracle, rules
from parallel.strategy import Strategy, make
from parallel.strategy.averaging import LocalSGD
from parallel.strategy.base import random
from parallel.strategy.diloco import DiLoCo
from parallel.strategy.gossip import ElasticGossip, GossipPull, GossipPush
from parallel.strategy.ist import IST
from parallel.subnets.cutting import partition
from parallel.training.loop import rows
from parallel.training.training import Training
from parallel.world.comm import Comm
from parallel.world.ops import Exchange, Push, check, traffic
from parallel.world.run import run
from parallel.world.world import World

Maker = Callable[[], Strategy]
WORKERS, BATCH, SEED, STEPS = 3, 7, 5, 18
MOMENTUM = dict(lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.01)


def task() -> Data:
    """Return the data of the small task: 22 samples in three classes."""
    g = torch.Generator().manual_seed(1)
    x = torch.randn(22, 4, generator=g, dtype=torch.float64)
    y = (x[:, 0] + x[:, 1] * x[:, 2] > 0).long() + (x[:, 3] > 0.4).long()
    return Data("task", "none", x, y, x, y)


def net(rank: int = 0) -> nn.Sequential:
    """Return the net of the small task, 4-6-6-3, in float64."""
    with torch.random.fork_rng():
        torch.manual_seed(100 + rank)
        layers = nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3)
        return nn.Sequential(*layers).double()


def team(strategy: Strategy) -> int:
    """Return how many workers a strategy is verified with."""
    each = getattr(strategy, "per_machine", 1)
    return -(-WORKERS // each) * each


def training(
    strategy: Strategy,
    workers: int = 0,
    optimizer: Any = None,
    batch=BATCH,
    model: Any = net,
    data: Data | None = None,
):
    """Return a training of the small task that has not made a step yet."""
    workers = workers or team(strategy)
    optimizer = optimizer or partial(torch.optim.SGD, **MOMENTUM)
    parts = model, data or task(), F.cross_entropy, optimizer, strategy
    return Training(*parts, Comm(workers), batch_size=batch, seed=SEED)


def trained(strategy: Strategy, workers: int = 0, optimizer: Any = None, steps=STEPS):
    """Return a training of the small task after so many steps."""
    found = training(strategy, workers, optimizer)
    for _ in range(steps):
        found.step()
    return found


def apart(a: Any, b: Any) -> float:
    """Return the largest difference between two dicts of tensors."""
    assert a.keys() == b.keys(), (a.keys(), b.keys())
    return furthest(float((a[k] - b[k]).abs().max()) for k in a)


def furthest(values: Iterable[float]) -> float:
    """Return the largest value; infinite where one is NaN (which `max` may pass over)."""
    return max(math.inf if math.isnan(v) else v for v in values)


def plans(maker: Maker) -> float:
    """Count the steps whose plan is another if a second strategy, made alike, is asked."""
    first, second = maker(), maker()
    workers = team(first)
    for one in (first, second):
        one.init(workers)
    wrong = 0
    for step in range(1, 200):
        check(first.plan(SEED, step), workers)
        wrong += first.plan(SEED, step) != second.plan(SEED, step)
    return wrong


def one_worker(maker: Maker) -> float:
    """Compare a training with one worker to an ordinary loop."""
    found = trained(maker(), workers=1)
    model, data = net(), task()
    optimizer = torch.optim.SGD(model.parameters(), **MOMENTUM)  # pyright: ignore
    for step in range(1, STEPS + 1):
        (index,) = found.shards.at(step)
        optimizer.zero_grad()
        F.cross_entropy(model(data.train_x[index]), data.train_y[index]).backward()
        optimizer.step()
    return apart(found.executor.consensus(), model.state_dict())


def by_oracle(maker: Maker) -> float:
    """Compare every tensor of every worker to the plain-Python oracle."""
    strategy = maker()
    found, data, workers = trained(strategy), task(), team(strategy)
    xs, ys = data.train_x.tolist(), data.train_y.tolist()
    batches = [[i.tolist() for i in found.shards.at(k)] for k in range(1, STEPS + 1)]
    sgd = partial(oracle.SGD, **MOMENTUM)
    start = [rules.lists(net(0 if strategy.same_start else r)) for r in range(workers)]
    if isinstance(strategy, IST):
        widths = [6, 6]

        def parts(step: int):
            draw = random(SEED, step)
            return [[p.tolist() for p in own] for own in partition(widths, workers, draw)]

        words = sgd, strategy.period, parts, strategy.rescale
        return _apart([oracle.subnets(start[0], xs, ys, batches, *words)], [_flat(found)])
    talk = rules.talk(strategy, oracle.flat(start[0]), net(), SEED)
    expected = oracle.run(start, xs, ys, batches, sgd, talk)
    rows = _rows(found)
    mine = [torch.cat([v[r].flatten() for v in rows.values()]).tolist() for r in range(workers)]
    worst = _apart(expected, mine)
    if isinstance(talk, oracle.Centre):
        worst = max(worst, _apart([talk.centre], [_flat(found)]))
    return worst


def _rows(found: Training) -> dict[str, torch.Tensor]:
    """Return the weights of each worker, also where none has them whole."""
    if getattr(found.executor.strategy, "stage", 0) < 3:
        return found.members.get("params")
    whole = found.executor.consensus()
    return {k: torch.stack([v] * found.comm.workers) for k, v in whole.items()}


def _flat(found: Training) -> list[float]:
    return torch.cat([v.flatten() for v in found.executor.consensus().values()]).tolist()


def _apart(a: oracle.Vectors, b: oracle.Vectors) -> float:
    pairs = itertools.chain.from_iterable(zip(x, y, strict=True) for x, y in zip(a, b, strict=True))
    return furthest(abs(x - y) for x, y in pairs)


def by_processes(maker: Maker) -> float:
    """Compare the consensus of real processes to that of the simulation."""
    parts = net, task(), F.cross_entropy, partial(torch.optim.SGD, **MOMENTUM), maker()
    options = dict(batch_size=BATCH, seed=SEED)
    here = trained(maker())
    world = World.procs(here.comm.workers, timeout=30)
    *_, row = run(world, states, parts, options, STEPS)
    worst = apart(here.executor.consensus(), row)
    *_, last = run(world, rows, parts, options, STEPS, STEPS)
    sent = abs(last["bytes_payload"] - here.comm.sent)
    return max(worst, round(float(sent), 6))  # (a rank's share of a ring is no whole number)


def states(comm: Comm, parts: tuple, options: dict[str, Any], steps: int):
    """Train in a process of by_processes, and yield what is to be compared."""
    found = Training(*parts, comm=comm, **options)
    for _ in range(steps):
        found.step()
    yield found.executor.consensus()


def resumed(maker: Maker, at: int = STEPS // 2 + 1) -> float:
    """Compare a run that goes on from a checkpoint to one that was not interrupted."""
    whole, first, second = trained(maker()), trained(maker(), steps=at), training(maker())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for _ in range(STEPS - at):
        second.step()
    a, b = (_rows(s) for s in (whole, second))
    worst = max(apart(a, b), apart(whole.executor.consensus(), second.executor.consensus()))
    return max(worst, abs(whole.comm.sent - second.comm.sent))


def counted(maker: Maker) -> float:
    """Compare the bytes that were counted to those that the plans announce."""
    found = trained(maker())
    return abs(found.comm.sent - found.executor.planned)


def by_formula(maker: Maker) -> float:
    """Compare the bytes that the plans announce to the formula of the strategy."""
    found = trained(maker())
    return round(abs(found.comm.workers * found.theory() - found.executor.planned), 6)


def on_average(maker: Maker, steps: int = 2000) -> float:
    """Return by how many per cent beyond 5 a plan that may be random misses its formula."""
    strategy = maker()
    strategy.seed, workers = SEED, team(strategy)
    strategy.init(workers)
    plans = [strategy.plan(SEED, step) for step in range(1, steps + 1)]
    sent = sum(traffic(p.before, workers, 1.0) + traffic(p.after, workers, 1.0) for p in plans)
    found = workers * strategy.theory(1.0, steps)
    return max(0.0, 100 * abs(found - sent) / max(found, sent, 1e-9) - 5)


def conserved(maker: Maker) -> float:
    """Compare the sum of all workers (and the centre) before and after, at rate 0.

    The workers start apart from each other.
    """
    strategy = maker()
    strategy.same_start = strategy.weighted = False
    found = training(strategy, optimizer=partial(torch.optim.SGD, lr=0.0), batch=WORKERS * 2)
    before = _sum(found)
    for _ in range(STEPS):
        found.step()
    return apart(before, _sum(found))


def _sum(found: Training) -> dict[str, torch.Tensor]:
    states: Any = found.executor.states
    masses = torch.tensor(states.mass.each if states.mass else [1.0] * WORKERS).double()
    total = {k: torch.tensordot(masses, v, 1) for k, v in states.rows().items()}
    with_centre = {k: v + (states.centre or {}).get(k, 0) for k, v in total.items()}
    return with_centre | {"masses": masses.sum()}


def no_outer(momentum: float = 0.0) -> float:
    """Compare outer steps of rate 1 with none."""
    outer = DiLoCo(period=3, outer_rate=1.0, outer_momentum=momentum)
    both = (trained(s).executor.consensus() for s in (outer, LocalSGD(period=3)))
    return apart(*both)


def outer_by_torch() -> float:
    """Compare outer steps with torch's own optimizer, to which each mean is a gradient."""
    period, found = 3, training(LocalSGD(period=3))
    centre = net()
    outer = torch.optim.SGD(centre.parameters(), 0.7, momentum=0.9, nesterov=True)
    for step in range(1, STEPS + 1):
        found.step()
        if step % period:
            continue
        mean = found.executor.consensus()
        for name, p in centre.named_parameters():
            p.grad = p.detach() - mean[name]
        outer.step()
        found.executor.load(centre.state_dict())
    return apart(trained(DiLoCo(period=period)).executor.consensus(), centre.state_dict())


def h_one() -> float:
    """Compare local SGD of period 1 to averaged gradients, with one optimizer.

    All workers count alike in both means, so that all of it is linear.
    """
    a = trained(make("all_reduce", weighted=False))
    b = trained(make("local_sgd", period=1, weighted=False))
    return apart(a.executor.consensus(), b.executor.consensus())


def h_one_adam() -> float:
    """Compare the same two strategies with Adam, where they must differ."""
    adam = partial(torch.optim.Adam, lr=0.05)
    a = trained(make("all_reduce", weighted=False), optimizer=adam)
    b = trained(make("local_sgd", period=1, weighted=False), optimizer=adam)
    return apart(a.executor.consensus(), b.executor.consensus())


def never_switched() -> float:
    """Compare post-local SGD whose switch never comes to averaged gradients."""
    a, b = trained(make("all_reduce")), trained(make("post_local_sgd", switch=STEPS + 1))
    return apart(a.executor.consensus(), b.executor.consensus())


def vectors(kind: type) -> float:
    """Compare a gossip step on scalars 0, 1, 4, 9 to numbers worked out by hand.

    The picks are 0 -> 1, 1 -> 0, 2 -> 1, 3 -> nobody.
    """
    couples = Exchange(0, 1), Exchange(1, 2)
    cases: dict[type, list[tuple[dict, tuple, list[float]]]] = {
        GossipPull: [({}, (Push(1, 0), Push(0, 1), Push(1, 2)), [0.5, 0.5, 2.5, 9])],
        GossipPush: [({}, (Push(0, 1), Push(1, 0), Push(2, 1)), [0.5, 5 / 3, 4, 9])],
        ElasticGossip: [
            ({"alpha": 0.25, "weights": "thesis"}, couples, [0.25, 1.5, 3.25, 9]),
            ({"alpha": 0.5, "weights": "thesis"}, couples, [0.5, 2, 2.5, 9]),
        ],
    }
    worst = 0.0
    known = next(base for base in cases if issubclass(kind, base))
    for options, ops, expected in cases[known]:
        strategy = kind(**options)
        strategy.init(4)
        table = strategy.mixing(ops)
        for i in range(4):
            table.setdefault(i, {i: 1.0})
        start = {"w": torch.tensor([0.0, 1, 4, 9], dtype=torch.float64).view(4, 1)}
        got = Comm(4).combine(ops, start, table)["w"].flatten()
        worst = max(worst, float((got - torch.tensor(expected, dtype=torch.float64)).abs().max()))
    return worst


def selfish(maker: Maker) -> float:
    """Count the picks of oneself, or of a worker that does not exist."""
    strategy: Any = maker()
    strategy.init(5)
    picks = [strategy.picks(SEED, step) for step in range(1, 500)]
    return sum(i == k or not 0 <= k < 5 for picked in picks for i, k in picked.items())
