"""Tables and numbers of what staleness costs, for `pages.py`; all from the record of one plan."""

import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from statistics import stdev
from typing import Any

from harness.result import pages
from harness.result.pages import Rows, fixed
from harness.result.stats import Interval
from parallel.plans.staleness import DEPTHS, PREDICTED, RATES
from parallel.plots import rates
from parallel.plots.rates import Cell, Cells
from parallel.plots.staleness import NAMES

BEST = DEPTHS[1:]  # at 2 stages all are alike


@cache
def found() -> Cells:
    """Return accuracies by seed of the committed record, which is read once."""
    return rates.cells(pages.record("parallel", "staleness"))


def held() -> Rows:
    """Return the table of largest rates that hold, and of best accuracies, by method."""
    largest = [f"N = {n}" for n in DEPTHS]
    yield "method", *largest, *(f"best accuracy (at rate), N = {n}" for n in BEST)
    for name in rates.methods(found()):
        cells = [rates.holds(found(), "mlp", name, n) for n in DEPTHS]
        shown = ["none" if rate is None else f"{rate:g}" for rate in cells]
        yield NAMES[name], *shown, *(_best(name, n) for n in BEST)


def _best(name: str, stages: int) -> str:
    cell = rates.best(found(), "mlp", name, stages)
    assert cell is not None, f"the record has no {name} of {stages} stages"
    return f"{pages.mean(found()[cell].values(), 1, 100)} ({cell.rate:g})"


def predicted() -> Rows:
    """Return the table of prediction minus weight stashing at the same rate."""
    yield "minus PipeDream", *(f"rate {rate:g}" for rate in RATES)
    for n in DEPTHS:
        for name in PREDICTED:
            cells = [pages.points(minus(name, "pipedream", n, rate), 1) for rate in RATES]
            yield f"{NAMES[name]}, N = {n}", *cells


def minus(first: str, second: str, stages: int, rate: float) -> Interval:
    """Return the first method minus the second at one rate, paired by seed."""
    gain = rates.gain(found(), *(Cell("mlp", name, stages, rate) for name in (first, second)))
    assert gain is not None, f"no seed has both {first} and {second} of {stages} stages at {rate}"
    return gain


def scatter(first: str, second: str, stages: int, rate: float) -> str:
    """Format the standard deviation of the difference of two single runs, in points."""
    a, b = (found()[Cell("mlp", name, stages, rate)] for name in (first, second))
    return fixed(100 * stdev(a[seed] - b[seed] for seed in a), 1)


def _said(
    say: Callable[..., str], first: str, second: str, stages: int, rate: float
) -> Callable[[], str]:
    return lambda: say(minus(first, second, stages, rate), 1)


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


def two_processes() -> Rows:
    """Return the table of what two processes of one thread gain, in wall time."""
    yield (
        *("net, 2 stages", "naive split, ms", "pipedream", "naive / pipedream", "by the clock"),
        *("one process, two threads", "two data-parallel processes"),
    )
    for line in costs()["processes"]:
        words = (
            "naive_ms",
            "pipedream_ms",
            "speedup",
            "clock_ms",
            "two threads_ms",
            "data parallel_ms",
        )
        digits = {"speedup": 2}
        yield line["name"], *(fixed(line[word], digits.get(word, 1)) for word in words)


TABLES: dict[str, Callable[[], Rows]] = {
    "held": held,
    "predicted": predicted,
    "engine": engine,
    "two_processes": two_processes,
}
V1, V2, STASH = "spectrain_v1", "spectrain_v2", "pipedream"
VALUES: dict[str, Callable[[], str]] = {
    "v1_2": _said(pages.prose, V1, STASH, 2, 0.02),
    "v1_4_small": _said(pages.prose, V1, STASH, 4, 0.005),
    "v1_4": _said(pages.prose, V1, STASH, 4, 0.02),
    "v2_4": _said(pages.prose, V2, STASH, 4, 0.02),
    "v1_8_small": _said(pages.prose, V1, STASH, 8, 0.002),
    "v2_8_small": _said(pages.prose, V2, STASH, 8, 0.002),
    "v1_8": _said(pages.prose, V1, STASH, 8, 0.005),
    "v2_8": _said(pages.prose, V2, STASH, 8, 0.005),
    "v1_4_sgd": _said(pages.prose, V1, "sgd", 4, 0.02),
    "v2_4_sgd": _said(pages.prose, V2, "sgd", 4, 0.02),
    "v1_8_sgd": _said(pages.loss, V1, "sgd", 8, 0.002),
    "two_bw_8_sgd": _said(pages.prose, "two_bw", "sgd", 8, 0.005),
    "two_bw_8": _said(pages.prose, "two_bw", V1, 8, 0.005),
    "two_bw_16_sgd": _said(pages.loss, "two_bw", "sgd", 16, 0.002),
    "vanilla_8": _said(pages.prose, "vanilla", STASH, 8, 0.005),
    "rounding": _said(pages.prose, V2, "lwp", 8, 0.02),
    "scatter_4": partial(scatter, V2, STASH, 4, 0.01),
}
