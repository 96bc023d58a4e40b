"""What a way costs: messages and numbers, in a row (somebody waits for them) and of all workers.

n workers, N numbers, p the largest power of two up to n, s = ceil(N / slices), the slice:

    way        messages in a row       numbers in a row                messages of all
    naive      2 (n - 1)               2 (n - 1) N                     2 (n - 1)
    tree       2 ceil(log2 n)          2 ceil(log2 n) N                2 (n - 1)
    ring       2 (n - 1)               2 (n - 1) s                     2 n (n - 1)
    halving    2 log2 p (+ 2)          2 (p - 1) s (+ 2 p s)           2 p log2 p + 2 (n - p)

(What is in brackets counts where n is no power of two.) Of all workers the numbers are 2 (n - 1) N
by each way, where slices divide N.

    seconds = alpha * messages + beta * bytes

in a row, if each worker has a link of its own, that sends and receives one message at a time; of
all, if they share what carries them.
"""

from collections import Counter
from typing import Any

from primer.allreduce.ways import Plan, lower


def width(way: str, n: int, size: int) -> int:
    """Return the numbers of a slice."""
    slices = {"ring": n, "halving": lower(n)}.get(way, 1)
    return -(-size // slices)


def messages(way: str, n: int) -> int:
    """Return how many messages are sent one after the other."""
    high, low = (n - 1).bit_length(), n.bit_length() - 1
    if way == "halving":
        return 2 * low + 2 * (n > lower(n))
    return 2 * (high if way == "tree" else n - 1)


def numbers(way: str, n: int, size: int) -> int:
    """Return how many numbers are sent one after the other."""
    s, p = width(way, n, size), lower(n)
    if way == "halving":
        return 2 * (p - 1) * s + 2 * p * s * (n > p)
    return messages(way, n) * s


def sent(way: str, n: int, size: int) -> list[int]:
    """Return how many numbers each worker sends."""
    s, p = width(way, n, size), lower(n)
    if way == "naive":
        return [(n - 1) * s] + [s] * (n - 1)
    if way == "tree":
        return [s * ((i > 0) + _below(n, i)) for i in range(n)]
    if way == "ring":
        return [2 * (n - 1) * s] * n
    return [2 * (p - 1) * s + p * s * (i < n - p) for i in range(p)] + [p * s] * (n - p)


def posted(way: str, n: int) -> int:
    """Return how many messages all workers send."""
    p = lower(n)
    if way == "halving":
        return 2 * p * (p.bit_length() - 1) + 2 * (n - p)
    return 2 * (n - 1) * (n if way == "ring" else 1)


def _below(n: int, i: int) -> int:
    """Return how many send to worker i in a tree: those 1, 2, 4, ... above it."""
    steps = (1 << k for k in range((n - 1).bit_length()))
    return sum(i % (2 * d) == 0 and i + d < n for d in steps)


def seconds(way: str, n: int, size: int, alpha: Any, beta: Any, item: int = 4) -> Any:
    """Return the time by the formula; alpha a message, beta a byte."""
    return alpha * messages(way, n) + beta * item * numbers(way, n, size)


def counted(plan: Plan, size: int) -> tuple[int, int, int, list[int]]:
    """Return messages and numbers in a row, messages of all, numbers of each: of a plan's moves."""
    s, made, total = -(-size // plan.slices), 0, 0
    each: Counter[int] = Counter()
    for moves in plan.rounds:
        many, long = Counter(), Counter()
        for m in moves:
            for end in (m.source, -1 - m.target):  # (sending and receiving go on side by side)
                many[end] += 1
                long[end] += (m.last - m.first) * s
            each[m.source] += (m.last - m.first) * s
        made, total = made + max(many.values()), total + max(long.values())
    return made, total, sum(map(len, plan.rounds)), [each[i] for i in range(plan.workers)]


def clock(plan: Plan, size: int, alpha: Any, beta: Any, item: int = 4) -> Any:
    """Return when the last worker has ended, if each begins a round once its last one is over.

    A message takes its sender's way out and its receiver's way in for alpha + beta * its bytes.
    """
    ready: list[Any] = [0] * plan.workers
    for moves in plan.rounds:
        ends, out, into = list(ready), list(ready), list(ready)
        for m in moves:
            moved = (m.last - m.first) * -(-size // plan.slices) * item
            end = max(out[m.source], into[m.target]) + alpha + beta * moved
            out[m.source] = into[m.target] = end
            ends[m.source], ends[m.target] = max(ends[m.source], end), max(ends[m.target], end)
        ready = ends
    return max(ready)
