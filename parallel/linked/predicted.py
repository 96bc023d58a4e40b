"""What a cable costs a strategy, by its plan: bytes of the busiest host, and rounds of messages.

    seconds on the cable = bytes / rate + rounds x delay

In a step the hosts send at once, so that the one that sends most is waited for; a message is under
way for the delay once. A mean over n hosts is a ring of 2 (n - 1) rounds, in each of which a host
sends a part of 1 / n. Pieces of rank 0 (Scatter) go out one after the other, and come back
(Gather) at once; how large they are is the strategy's to know, so they are taken from its bytes.
"""

from collections import Counter
from dataclasses import dataclass

from parallel.strategy import Strategy
from parallel.world.ops import AllReduce, Gather, Op, Scatter, copies, host, messages


@dataclass(frozen=True)
class Cost:
    """Bytes of the busiest host of each step, added up; and rounds of messages."""

    bytes: float
    rounds: int


def cost(strategy: Strategy, seed: int, steps: int, theory: float) -> Cost:
    """Return what so many steps cost, of which all hosts together send `theory` bytes."""
    n, shares, total, rounds = strategy.workers, 0.0, 0.0, 0
    for step in range(1, steps + 1):
        plan = strategy.plan(seed, step)
        for ops in (plan.before, plan.after):
            busiest, whole = _share(ops, n)
            shares, total, rounds = shares + busiest, total + whole, rounds + _rounds(ops, n)
    return Cost(theory * shares / total if total else 0.0, rounds)


def _share(ops: tuple[Op, ...], n: int) -> tuple[float, float]:
    """Return what the busiest host sends and what all do, in states (pieces: in all of them)."""
    means = sum(copies(op, n) for op in ops if isinstance(op, AllReduce))
    out = sum(isinstance(op, Scatter) for op in ops)
    gathered = sum(isinstance(op, Gather) for op in ops)
    own = Counter(host(i) for i, j in messages(ops) if host(i) != host(j))
    pieces = out + gathered / max(1, n - 1)
    busiest = means / n + pieces + max(own.values(), default=0)
    return busiest, means + out + gathered + own.total()


def _rounds(ops: tuple[Op, ...], n: int) -> int:
    means = [op for op in ops if isinstance(op, AllReduce)]
    rings = sum(op.codec.rounds(n) if op.codec else 2 * ((op.among or n) - 1) for op in means)
    others = any(host(i) != host(j) for i, j in messages(ops))
    pieces = sum(isinstance(op, Scatter | Gather) for op in ops)
    return rings + others + pieces
