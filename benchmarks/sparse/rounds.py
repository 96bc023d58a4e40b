"""Fair times: all sides in turn, round by round, and the median of the rounds.

A shared machine has good minutes and bad ones (its caches and its memory are shared too), so the
rounds of a case are spread over the whole run: passes over all cases, a few rounds in each.
"""

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

Sides = Mapping[str, Callable[[], Any]]


def race(sides: Sides, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Microseconds a call of each side, round by round.

    In each round each side has one call that does not count (the caches are the other sides'),
    then as many as fit in so many seconds, at least one.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, call in sides.items():
            call()
            times[name].append(_turn(call, seconds) * 1e6)
    return times


def together(passes: list[dict[str, list[float]]]) -> dict[str, float]:
    """The median of all rounds of all passes, for each side."""
    return {name: median(t for one in passes for t in one[name]) for name in passes[0]}


def _turn(call: Callable[[], Any], seconds: float) -> float:
    calls, start = 0, time.perf_counter()
    while True:
        call()
        calls += 1
        spent = time.perf_counter() - start
        if spent >= seconds:
            return spent / calls
