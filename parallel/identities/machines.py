"""Computes the identities of machines alone: all-reduce within, local SGD between."""

from collections.abc import Sequence
from typing import Any

from parallel.identities.averaging import Maker, apart, furthest, team, trained
from parallel.strategy import Strategy, make
from parallel.strategy.hierarchical import Hierarchical
from parallel.world.ops import AllReduce, Op


def same(one: Strategy, other: Strategy, workers: int = 4) -> float:
    """Compare what two strategies train."""
    return apart(*(trained(s, workers).executor.consensus() for s in (one, other)))


def one_machine() -> float:
    """Compare a machine that holds all workers to averaged gradients."""
    return same(Hierarchical(period=3, per_machine=4), make("all_reduce"))


def one_each() -> float:
    """Compare machines of one worker to local SGD."""
    return same(Hierarchical(period=3, per_machine=1), make("local_sgd", period=3))


def every_step() -> float:
    """Compare machines that meet after every step to averaged gradients: all of it is linear."""
    words = dict(period=1, weighted=False)
    return same(Hierarchical(**words), make("all_reduce", weighted=False))  # pyright: ignore


def alike(maker: Maker) -> float:
    """Return how far a worker is from the first of its machine, some steps after a mean of all."""
    found = trained(maker(), steps=17)
    strategy: Any = found.executor.strategy
    each, rows = strategy.per_machine, found.members.get("params")
    firsts = [r - r % each for r in range(found.comm.workers)]
    return furthest(float((v - v[firsts]).abs().max()) for v in rows.values())


def crossed(maker: Maker, steps: int = 40) -> float:
    """Compare the bytes between machines to those that rings hand on, link by link."""
    strategy = maker()
    strategy.init(n := team(strategy))
    plans = [strategy.plan(0, step) for step in range(1, steps + 1)]
    sent = sum(_over(p.before, strategy, n) + _over(p.after, strategy, n) for p in plans)
    return round(abs(strategy.between(1.0, steps) - sent), 9)  # pyright: ignore


def _over(ops: Sequence[Op], strategy: Strategy, workers: int) -> float:
    """Return what crosses: 2 (k - 1) parts of 1 / k go over each link of a ring of k."""
    each, found = strategy.per_machine, 0.0  # pyright: ignore
    for op in ops:
        assert isinstance(op, AllReduce)
        k = op.among or workers
        for i in range(workers):
            to = i + 1 if (i + 1) % k else i + 1 - k
            found += 2 * (k - 1) / k * (i // each != to // each)
    return found
