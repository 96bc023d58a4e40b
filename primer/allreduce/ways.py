"""Ways to add up what n workers have, as data: rounds of moves, each from one worker to another.

    naive      all to worker 0                          tree     to a neighbour 1, 2, 4, ... away
    ring       slices go round, growing sums            halving  half of what is left to a partner

A vector is cut into slices. A move takes some of them to another worker, who adds them to its own.
Then the same moves are taken backwards, and what comes is put in its place: now all have the sum.
(A ring may as well go on in its direction; that changes neither rounds nor bytes.)
"""

from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Move:
    """Slices `first` up to `last` of worker `source`, added to those of `target` or put there."""

    source: int
    target: int
    first: int
    last: int
    adds: bool = True

    def back(self) -> "Move":
        """Return the move in the other direction, which puts."""
        return replace(self, source=self.target, target=self.source, adds=False)


Round = tuple[Move, ...]


@dataclass(frozen=True)
class Plan:
    """Moves of workers; those of a round are made at once."""

    workers: int
    slices: int
    rounds: tuple[Round, ...]


def naive(n: int) -> Plan:
    """All send all to worker 0."""
    return _there_and_back(n, 1, [[Move(i, 0, 0, 1) for i in range(1, n)]])


def tree(n: int) -> Plan:
    """Every second one sends all to a neighbour, then every fourth, and so on."""
    starts = [(d, range(0, n - d, 2 * d)) for d in _powers(n)]
    return _there_and_back(n, 1, [[Move(i + d, i, 0, 1) for i in row] for d, row in starts])


def ring(n: int) -> Plan:
    """Each sends its neighbour the n-th part that it has just added to; at first its own."""
    rounds = []
    for k in range(n - 1):
        given = [(r, (r - k) % n) for r in range(n)]
        rounds.append([Move(r, (r + 1) % n, part, part + 1) for r, part in given])
    return _there_and_back(n, n, rounds)


def halving(n: int) -> Plan:
    """Each sends the half of its block that its partner goes on with; powers of two only.

    Of other numbers, those above the next lower power send all to one below it, and wait.
    """
    p = lower(n)
    rounds = [[Move(p + i, i, 0, p) for i in range(n - p)]] if n > p else []
    for d in reversed(_powers(p)):
        firsts = [(r, r ^ d, (r ^ d) // d * d) for r in range(p)]
        rounds.append([Move(r, partner, first, first + d) for r, partner, first in firsts])
    return _there_and_back(n, p, rounds)


WAYS: dict[str, Callable[[int], Plan]] = {
    "naive": naive,
    "tree": tree,
    "ring": ring,
    "halving": halving,
}


def lower(n: int) -> int:
    """Return the largest power of two that is not above n."""
    return 1 << (n.bit_length() - 1)


def _powers(n: int) -> list[int]:
    """Return 1, 2, 4, ... below n."""
    return [1 << k for k in range((n - 1).bit_length())]


def _there_and_back(n: int, slices: int, rounds: list[list[Move]]) -> Plan:
    there = [tuple(moves) for moves in rounds if moves]
    back = [tuple(move.back() for move in moves) for moves in reversed(there)]
    return Plan(n, slices, (*there, *back))
