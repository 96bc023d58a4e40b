"""Tables and numbers of pipelines for `pages.py`: what they cost, and those of their studies."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from harness.result.pages import Rows, fixed
from parallel import pages_nets, pages_staleness

COSTS = Path(__file__).resolve().parent.parent / "benchmarks" / "pipelines.json"


@cache
def costs() -> dict[str, Any]:
    """Return the record of `python -m benchmarks.pipelines`."""
    return json.loads(COSTS.read_text())


def engine() -> Rows:
    """Return the table of what the engine costs beyond the bare stages, in CPU time."""
    lines = costs()["engine"]
    sides = [side for side in lines[0] if side not in ("name", "bare_ms")]
    yield "net, 4 stages in one process", "bare stages, ms", *sides
    for line in lines:
        more = (f"{100 * line[side]:+.0f} %" for side in sides)
        yield line["name"], fixed(line["bare_ms"], 1), *more


SIDES = {
    "naive_ms": "naive split, ms",
    "pipedream_ms": "pipedream",
    "speedup": "naive / pipedream",
    "clock_ms": "by the clock",
    "clock_alone_ms": "by the clock, alone",
    "two threads_ms": "one process, two threads",
    "data parallel_ms": "two data-parallel processes",
}


def two_processes() -> Rows:
    """Return the table of what two processes of one thread gain, in wall time."""
    lines = costs()["processes"]
    sides = {key: text for key, text in SIDES.items() if key in lines[0]}
    yield "net, 2 stages", *sides.values()
    for line in lines:
        yield line["name"], *(fixed(line[key], 2 if key == "speedup" else 1) for key in sides)


def clock() -> str:
    """Say where the clock's costs were taken: in the two processes, or in one (older records)."""
    if "clock_alone_ms" in costs()["processes"][0]:
        return (
            "as measured in the two processes themselves, less what they wait for each other; "
            '"alone" is with what actions cost in one process, where they share no cache and send '
            "nothing"
        )
    return (
        "as measured in one process: it knows neither the wire nor two processes that share a "
        "memory (a new record measures in the two processes themselves)"
    )


TABLES: dict[str, Callable[[], Rows]] = {
    **pages_staleness.TABLES,
    **pages_nets.TABLES,
    "engine": engine,
    "two_processes": two_processes,
}
VALUES: dict[str, Callable[[], str]] = {
    **pages_staleness.VALUES,
    **pages_nets.VALUES,
    "clock": clock,
}
