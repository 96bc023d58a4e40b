"""Tables and numbers of the plans of staleness, for `pages.py`; without a record none is told.

A column or a line is of a `Group`: one net of one plan at one number of stages.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from statistics import stdev
from typing import NamedTuple

from harness.result import pages
from harness.result.pages import Rows, fixed
from harness.result.stats import Interval, interval, paired
from parallel.plans.staleness import DEPTHS, METHODS, PREDICTED, RATES
from parallel.plots import rates
from parallel.plots.rates import Cell, Cells
from parallel.plots.staleness import NAMES

PLANS = {"staleness": "", "staleness_residual": "", "staleness_fashion": "Fashion, "}
PLAIN = "staleness", "mlp"
RESIDUAL = "staleness_residual", "residual_mlp"
V1, V2, STASH = "spectrain_v1", "spectrain_v2", "pipedream"


class Group(NamedTuple):
    """One net of one plan at one number of stages."""

    plan: str
    net: str
    stages: int

    @property
    def text(self) -> str:
        """As a head says it."""
        return f"{PLANS[self.plan]}{rates.NETS[self.net]}, N = {self.stages}"


@cache
def found(plan: str = "staleness") -> Cells:
    """Return accuracies by seed of a plan's committed record, which is read once; {}: none."""
    whole = pages.recorded("parallel", plan)
    return rates.cells(whole) if whole else {}


def groups() -> list[Group]:
    """Return what has a record, in the order of the plans."""
    return [Group(plan, *pair) for plan in PLANS for pair in rates.groups(found(plan))]


def methods() -> list[str]:
    """Return the methods that were run anywhere, in the order of the plan."""
    return [name for name in METHODS if any(name in rates.methods(found(p)) for p in PLANS)]


def held() -> Rows:
    """Return the table of the largest rates that hold, by method."""
    yield "largest rate that holds", *(group.text for group in groups())
    for name in methods():
        yield NAMES[name], *(_held(group, name) for group in groups())


def _held(at: Group, name: str) -> str:
    if rates.best(found(at.plan), at.net, name, at.stages) is None:
        return "not run"
    rate = rates.holds(found(at.plan), at.net, name, at.stages)
    return "none" if rate is None else f"{rate:g}"


def best() -> Rows:
    """Return the table of best accuracies in per cent; at 2 stages all are alike."""
    there = [group for group in groups() if group.stages > 2]
    yield "best accuracy (at rate)", *(group.text for group in there)
    for name in methods():
        yield NAMES[name], *(_best(group, name) for group in there)


def _best(at: Group, name: str) -> str:
    cell = rates.best(found(at.plan), at.net, name, at.stages)
    if cell is None:
        return "not run"
    return f"{accuracy(found(at.plan)[cell].values())} ({cell.rate:g})"


def accuracy(values: Iterable[float]) -> str:
    """Format a mean in per cent with half its interval, or with how many seeds there are."""
    i = interval(values)
    half = f" ± {fixed(100 * i.half, 1)}" if i.half is not None else f" ({i.count})"
    return fixed(100 * i.mean, 1) + half


def told() -> Rows:
    """Return the table of differences in words, each method at the best rate of its own."""
    yield (
        "each at its best rate",
        "v1 minus PipeDream",
        "v2 minus PipeDream",
        *(f"{name} minus no pipeline" for name in ("PipeDream", "v1", "2BW")),
    )
    pairs = (V1, STASH), (V2, STASH), (STASH, "sgd"), (V1, "sgd"), ("two_bw", "sgd")
    for group in groups():
        yield group.text, *(pages.told(at_best(group, *pair)) for pair in pairs)


def at_best(at: Group, first: str, second: str) -> Interval | None:
    """Return the first minus the second, each at its own best rate, paired by seed."""
    cells = [rates.best(found(at.plan), at.net, name, at.stages) for name in (first, second)]
    if None in cells:
        return None
    a, b = (found(at.plan)[cell] for cell in cells if cell)
    difference = paired(first, second, a, b)
    return difference.interval if difference else None


def predicted() -> Rows:
    """Return the table of prediction minus stashing at the same rate, plain nets on digits."""
    yield "minus PipeDream", *(f"rate {rate:g}" for rate in RATES)
    for n in DEPTHS:
        for name in PREDICTED:
            cells = [pages.points(minus(name, STASH, n, rate), 1) for rate in RATES]
            yield f"{NAMES[name]}, N = {n}", *cells


def minus(
    first: str, second: str, stages: int, rate: float, of: tuple[str, str] = PLAIN
) -> Interval:
    """Return the first method minus the second at one rate, paired by seed."""
    plan, net = of
    gain = rates.gain(found(plan), *(Cell(net, name, stages, rate) for name in (first, second)))
    assert gain is not None, f"no seed has both {first} and {second} of {stages} stages at {rate}"
    return gain


def scatter(first: str, second: str, stages: int, rate: float) -> str:
    """Format the standard deviation of the difference of two single runs, in points."""
    a, b = (found()[Cell("mlp", name, stages, rate)] for name in (first, second))
    return fixed(100 * stdev(a[seed] - b[seed] for seed in a), 1)


def fashion() -> str:
    """Say of plan staleness_fashion what its record says, or that there is none."""
    there = [group for group in groups() if group.plan == "staleness_fashion"]
    return "; ".join("".join(_fashion(group)) for group in there) or "it has not been run yet"


def _fashion(at: Group) -> Iterator[str]:
    yield f"{rates.NETS[at.net]} nets of {at.stages} stages hold "
    held = {name: _held(at, name) for name in (STASH, V1, V2, "two_bw")}
    yield ", ".join(
        f"with {NAMES[k]} {'nowhere' if v == 'none' else f'at {v}'}" for k, v in held.items()
    )


def _said(say: Callable[..., str], *words, of: tuple[str, str] = PLAIN) -> Callable[[], str]:
    return lambda: say(minus(*words, of=of), 1)


TABLES: dict[str, Callable[[], Rows]] = {
    "held": held,
    "best": best,
    "told": told,
    "predicted": predicted,
}
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
    "residual_v1_4": _said(pages.prose, V1, STASH, 4, 0.02, of=RESIDUAL),
    "residual_v1_8": _said(pages.prose, V1, STASH, 8, 0.01, of=RESIDUAL),
    "residual_v1_8_sgd": _said(pages.prose, V1, "sgd", 8, 0.01, of=RESIDUAL),
    "residual_v1_16": _said(pages.prose, V1, STASH, 16, 0.002, of=RESIDUAL),
    "residual_v1_16_fast": _said(pages.loss, V1, STASH, 16, 0.01, of=RESIDUAL),
    "residual_v1_16_sgd": _said(pages.loss, V1, "sgd", 16, 0.002, of=RESIDUAL),
    "residual_two_bw_16_sgd": _said(pages.prose, "two_bw", "sgd", 16, 0.005, of=RESIDUAL),
    "fashion": fashion,
}
