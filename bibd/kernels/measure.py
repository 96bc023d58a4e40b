"""Times rival calls on a machine that may be busy with other things.

The rivals take turns, so that what else goes on meets all of them:

    round 1    native native dense | native native dense | ...      us      the shortest of all
    round 2    native dense        | ...                            median  of each round's shortest

Where a rival's rounds disagree the turns go on for a while. What still disagrees then, or was
measured while more was running than there are processors, is kept as doubtful.
"""

import os
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, NamedTuple

Candidates = Mapping[str, Callable[[], Any]]
Clock = Callable[[Callable[[], Any]], float]
BUDGET = 0.02  # seconds a path, after its first call
ROUNDS = 7
MOST_PASSES = 4  # of so many rounds, while they disagree
HOPELESS = 4  # times slower than the best in its first call: not measured again
DISAGREE = 1.5  # median over shortest from which on a time is doubtful
LONG = 3.0  # seconds for all turns, where one call takes as long as a budget


class Measured(NamedTuple):
    """The microseconds of each path, how they spread, and how busy the machine was."""

    us: dict[str, float]
    median_us: dict[str, float]
    load: float = 0.0  # programs that wanted to run, per processor
    when: float = 0.0  # seconds since 1970

    @property
    def best(self) -> str:
        """The fastest path."""
        return min(self.us, key=lambda path: self.us[path])

    @property
    def doubtful(self) -> bool:
        """Whether another path might be the fastest when nobody else is at work."""
        if len(self.us) < 2:
            return False
        return self.load > 1 or disagree(self.us, self.median_us)


def disagree(us: Mapping[str, float], medians: Mapping[str, float]) -> bool:
    """Return whether a path that could be the fastest was now fast and now slow."""
    best = min(us.values())
    return any(medians[path] > DISAGREE * t for path, t in us.items() if t < HOPELESS * best)


def clocked(call: Callable[[], Any]) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(
    candidates: Candidates,
    tell: Callable[[str, float], None] = lambda path, seconds: None,
    clock: Clock = clocked,
) -> Measured:
    """Time each path by turns; a path's time is that of its shortest call.

    Args:
        candidates: A call for each path.
        tell: Hears a path and the seconds of its first calls, as they come.
        clock: Gives the seconds of a call.

    Raises:
        ValueError, RuntimeError, MemoryError: from path "dense", the one without limits.
    """
    shortest: dict[str, float] = {}
    for path, call in candidates.items():
        try:
            shortest[path] = _first(call, clock)
        except (ValueError, RuntimeError, MemoryError):
            if path == "dense":
                raise
            continue
        tell(path, shortest[path])
    best = min(shortest.values())
    rest = {p: candidates[p] for p, t in shortest.items() if t < HOPELESS * best}
    rounds: dict[str, list[float]] = {path: [] for path in rest}
    for _ in range(MOST_PASSES if len(rest) > 1 else 0):
        turns(rest, rounds, _affordable(sum(shortest[path] for path in rest)), clock)
        if not all(rounds.values()) or not disagree(*_summary(shortest, rounds)):
            break
    us, medians = _summary(shortest, rounds)
    return Measured(us, medians, _load(), time.time())


def turns(
    rest: Candidates, rounds: dict[str, list[float]], times: int, clock: Clock = clocked
) -> None:
    """Let each path have its turn so many times, and add the shortest call of each turn."""
    for _ in range(times):
        for path, call in rest.items():
            until = time.perf_counter() + BUDGET / ROUNDS
            found = [clock(call)]
            while time.perf_counter() < until:
                found.append(clock(call))
            rounds[path].append(min(found))


def _summary(shortest: dict[str, float], rounds: dict[str, list[float]]):
    """Return microseconds: the shortest of each path, and the median of its rounds."""
    us, medians = {}, {}
    for path, first in shortest.items():
        own = rounds.get(path) or [first]
        us[path] = round(min(first, *own) * 1e6, 2)
        medians[path] = round(median(own) * 1e6, 2)
    return us, medians


def _affordable(seconds: float) -> int:
    """Return how many rounds to make of calls that together take so many seconds."""
    return ROUNDS if seconds * ROUNDS < LONG else int(LONG / seconds)


def _first(call: Callable[[], Any], clock: Clock) -> float:
    took = clock(call)  # builds tables, wakes threads
    if took > LONG / ROUNDS:
        return took
    # (One that was interrupted by another program would seem hopeless, so a short one has three.)
    took = clock(call)
    return took if took > BUDGET else min(took, clock(call), clock(call))


def _load() -> float:
    """Return how many programs per processor wanted to run in the last minute, 0 if unknown."""
    try:
        return round(os.getloadavg()[0] / (os.cpu_count() or 1), 2)
    except (AttributeError, OSError):
        return 0.0
