"""What the plans of staleness answer, computed from their record; no picture.

cells     accuracy by seed of each net, method, number of stages and rate
best      of a method at a number of stages: the rate of the highest mean
holds     the largest rate whose mean is within a point of SGD's best, of the same net
gain      one method minus another at the same rate, paired by seed
"""

from collections.abc import Iterator
from typing import NamedTuple

from harness.experiment import Experiment
from harness.result.stats import Interval, interval, paired
from parallel.plans.staleness import METHODS

POINT = 0.01  # of accuracy
NETS = {"mlp": "plain", "residual_mlp": "residual"}


class Cell(NamedTuple):
    """One arm, by what it is."""

    net: str
    method: str
    stages: int
    rate: float


Cells = dict[Cell, dict[int, float]]  # accuracy by seed


def cells(whole: Experiment) -> Cells:
    """Final accuracies of all finished runs."""
    found: Cells = {}
    for run in whole.done():
        c = run.config
        name = c["weights"] + "+spike" * c["spike"]
        at = Cell(c["net"], name, c["stages"], c["lr"])
        found.setdefault(at, {})[run.seed] = run.rows[-1]["test_accuracy"]
    return found


def groups(found: Cells) -> list[tuple[str, int]]:
    """Each net with each number of stages."""
    return sorted({(c.net, c.stages) for c in found})


def methods(found: Cells) -> list[str]:
    """Those that were run, in the order of the plan."""
    return [name for name in METHODS if any(c.method == name for c in found)]


def rates(found: Cells) -> list[float]:
    """Those that were run."""
    return sorted({c.rate for c in found})


def mean(found: Cells, cell: Cell) -> Interval | None:
    """Mean and interval of an arm."""
    return interval(found[cell].values()) if cell in found else None


def best(found: Cells, net: str, method: str, stages: int) -> Cell | None:
    """The rate of the highest mean; the smaller of two alike."""
    arms = [c for c in found if c[:3] == (net, method, stages)]
    return max(arms, key=lambda c: (interval(found[c].values()).mean, -c.rate), default=None)


def holds(found: Cells, net: str, method: str, stages: int) -> float | None:
    """The largest rate at which a method is within a point of SGD's best; None: at no rate."""
    top = best(found, net, "sgd", stages)
    if top is None:
        return None
    least = interval(found[top].values()).mean - POINT
    arms = [c for c in found if c[:3] == (net, method, stages)]
    return max((c.rate for c in arms if interval(found[c].values()).mean >= least), default=None)


def gain(found: Cells, first: Cell, second: Cell) -> Interval | None:
    """The first minus the second, paired by seed."""
    if first not in found or second not in found:
        return None
    difference = paired(first.method, second.method, found[first], found[second])
    return difference.interval if difference else None


def answers(whole: Experiment) -> Iterator[str]:
    """Lines of text: largest rates by depth, and prediction against stashing."""
    found = cells(whole)
    for net in dict.fromkeys(net for net, _ in groups(found)):
        depths = [n for other, n in groups(found) if other == net]
        yield f"{NETS[net]}: largest rate within a point of SGD's best, and best accuracy (at rate)"
        yield f"{'':<20}" + "".join(f"{f'N = {n}':>24}" for n in depths)
        for name in methods(found):
            yield f"{name:<20}" + "".join(f"{_held(found, net, name, n):>24}" for n in depths)
        yield f"{NETS[net]}: minus pipedream at the same rate, points"
        for n in depths:
            for name in ("spectrain_v1", "spectrain_v2"):
                if gains := ", ".join(_gains(found, net, name, n)):
                    yield f"N = {n:<2} {name}: {gains}"


def _held(found: Cells, net: str, name: str, stages: int) -> str:
    rate, top = holds(found, net, name, stages), best(found, net, name, stages)
    if top is None:
        return "-"
    accuracy = interval(found[top].values())
    half = "" if accuracy.half is None else f" ±{100 * accuracy.half:.1f}"
    return f"{rate or 'none'}  {100 * accuracy.mean:.1f}{half} ({top.rate:g})"


def _gains(found: Cells, net: str, name: str, stages: int) -> Iterator[str]:
    for rate in rates(found):
        i = gain(found, Cell(net, name, stages, rate), Cell(net, "pipedream", stages, rate))
        if i is not None:
            mark = "*" if i.excludes_zero else ""
            yield f"{rate:g}: {i.amount(100, 1)}{mark}"
