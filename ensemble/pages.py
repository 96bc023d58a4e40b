"""Tables and numbers of the ensemble study for the pages, from its records: see `make pages`."""

from collections.abc import Callable
from functools import cache, partial

from ensemble.experiments import PLANS
from ensemble.plots.growth import NAMES, PANELS, kinds, nets
from harness.experiment import Experiment
from harness.result import pages
from harness.result.pages import Rows
from harness.result.stats import interval

KEYS = {
    "test_accuracy": "mean of probabilities",
    "hard_accuracy": "majority",
    "vote_accuracy": "boosting's vote",
}


@cache
def record(plan: str) -> Experiment:
    """Return the committed record of a plan, which is read once."""
    return pages.record("ensemble", plan)


def boost(plan: str) -> Rows:
    """Return the table of a plan: each kind of ensemble, and its gain over one net trained on."""
    yield "net", "members", *KEYS.values(), "minus one net, as long, points"
    for net in nets(record(plan)):
        for kind in kinds(record(plan), net):
            cells = [cell(plan, f"{net}-{kind}", key) for key in KEYS]
            yield PANELS[net], NAMES[kind], *cells, gain(plan, f"{net}-{kind}", f"{net}-single")


def cell(plan: str, arm: str, key: str) -> str:
    """Format the mean of an arm and its interval; a dash where it has none."""
    found = [v for v in record(plan).final(arm, key).values() if v is not None]
    return pages.mean(found) if found else "-"


def gain(plan: str, arm: str, other: str) -> str:
    """Format one arm minus another, paired by seed."""
    a, b = (record(plan).final(name, "test_accuracy") for name in (arm, other))
    shared = sorted(set(a) & set(b))
    if arm == other or not shared:
        return "-"
    return pages.points(interval(a[seed] - b[seed] for seed in shared))


TABLES: dict[str, Callable[[], Rows]] = {
    "boost": partial(boost, "boost"),
    "plans": partial(pages.plans, "ensemble", PLANS),
}
VALUES: dict[str, Callable[[], str]] = {}
