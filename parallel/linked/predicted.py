"""What a cable costs a strategy, by its plan: bytes of the busiest host, and rounds of messages.

    seconds on the cable = bytes / rate + rounds x delay

In a step the hosts send at once, so that the one that sends most is waited for; a message is under
way for the delay once. A mean over n workers is a ring of 2 (n - 1) rounds, in each of which a
worker sends a part of 1 / n to the next one. Pieces of rank 0 (Scatter) go out one after the other,
and come back (Gather) at once; how large they are is the strategy's to know, so they are taken from
its bytes. What workers of the same host send each other takes no cable.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cache

from parallel.strategy import Strategy
from parallel.world.ops import AllReduce, Gather, Op, Scatter, copies, host, messages


@dataclass(frozen=True)
class Cost:
    """Bytes of the busiest host of each step, added up; and rounds of messages."""

    bytes: float
    rounds: int


def cost(strategy: Strategy, seed: int, steps: int, theory: float, per_host: int = 1) -> Cost:
    """Return what so many steps cost, in which all workers together send `theory` bytes.

    Args:
        strategy: Whose plan it is.
        seed: Of the plan.
        steps: How many.
        theory: Bytes of all workers, to others on their host, too.
        per_host: How many workers are behind a cable: the first ones, the next ones, ...
    """
    n, shares, total, rounds = strategy.workers, 0.0, 0.0, 0
    for step in range(1, steps + 1):
        plan = strategy.plan(seed, step)
        for ops in (plan.before, plan.after):
            busiest, whole = _share(ops, n, per_host)
            shares, total = shares + busiest, total + whole
            rounds += _rounds(ops, n, per_host)
    return Cost(theory * shares / total if total else 0.0, rounds)


def _share(ops: tuple[Op, ...], n: int, per_host: int) -> tuple[float, float]:
    """Return what the busiest host sends and what all do, in states (pieces: in all of them)."""
    means = [op for op in ops if isinstance(op, AllReduce)]
    out = sum(isinstance(op, Scatter) for op in ops)
    gathered = sum(isinstance(op, Gather) for op in ops)
    own = [(host(i), host(j)) for i, j in messages(ops) if host(i) != host(j)]
    sent = Counter(i // per_host for i, j in own if i // per_host != j // per_host)
    rings = sum(copies(op, n) / n * crossing(op, n, per_host) for op in means)
    away = max(0, n - per_host)  # workers on other hosts than rank 0's
    pieces = (out * away + gathered * min(per_host, away)) / max(1, n - 1)
    busiest = rings + pieces + max(sent.values(), default=0)
    return busiest, sum(copies(op, n) for op in means) + out + gathered + len(own)


def _rounds(ops: tuple[Op, ...], n: int, per_host: int) -> int:
    means = [op for op in ops if isinstance(op, AllReduce)]
    far = [op for op in means if crossing(op, n, per_host)]
    rings = sum(op.codec.rounds(n) if op.codec else 2 * ((op.among or n) - 1) for op in far)
    pairs = ((host(i) // per_host, host(j) // per_host) for i, j in messages(ops))
    pieces = sum(isinstance(op, Scatter | Gather) for op in ops)
    return rings + any(i != j for i, j in pairs) + pieces * (n > per_host)


def crossing(op: AllReduce, n: int, per_host: int) -> float:
    """Return what the busiest host sends to others, if each of its workers sends 1 in all."""
    if op.codec and not op.codec.ring:  # (each worker sends the same to each other)
        return min(n, per_host) * max(0, n - per_host) / max(1, n - 1)
    return _next(n, op.among or n, per_host)


@cache
def _next(n: int, among: int, per_host: int) -> int:
    """Return how many workers of the busiest host have the next one of their ring on another."""
    ends = ((i, i // among * among + (i + 1) % among) for i in range(n))
    out = Counter(i // per_host for i, j in ends if i // per_host != j // per_host)
    return max(out.values(), default=0)
