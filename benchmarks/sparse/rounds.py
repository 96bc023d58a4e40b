"""Fair times: all sides in turn, round by round, and the median of the rounds."""

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

Sides = Mapping[str, Callable[[], Any]]


def race(sides: Sides, rounds: int, seconds: float) -> dict[str, float]:
    """Microseconds a call of each side.

    In each round each side has one call that does not count (the caches are the other sides'),
    then as many as fit in so many seconds, at least one.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, call in sides.items():
            call()
            times[name].append(_turn(call, seconds))
    return {name: median(found) * 1e6 for name, found in times.items()}


def _turn(call: Callable[[], Any], seconds: float) -> float:
    calls, start = 0, time.perf_counter()
    while True:
        call()
        calls += 1
        spent = time.perf_counter() - start
        if spent >= seconds:
            return spent / calls
