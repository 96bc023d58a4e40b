"""Tables and numbers of the MLP study for the pages, from its records: see `make pages`."""

from collections.abc import Callable, Iterator
from functools import cache, partial

from harness.experiment import Experiment
from harness.result import pages
from harness.result.pages import Rows
from harness.result.stats import Interval, interval
from mlp.experiments import PLANS
from mlp.plans import tiles as tile_plan
from mlp.plans.twelve import PUBLISHED
from mlp.plots import contrasts

SETTINGS = {
    ("mnist", "short"): "MNIST, 10 epochs",
    ("fashion", "short"): "Fashion, 10 epochs",
    ("mnist", "flat"): "MNIST, flat",
    ("fashion", "flat"): "Fashion, flat",
}


@cache
def record(plan: str) -> Experiment:
    """Return the committed record of a plan, which is read once."""
    return pages.record("mlp", plan)


def accuracy(plan: str, arm: str) -> str:
    """Format the mean accuracy of an arm and its interval."""
    return pages.mean(record(plan).last(arm, "test_accuracy").values())


def paper() -> Rows:
    """Return the table of the twelve models on both sets, beside what was published."""
    yield "model", "connections", "MNIST", "published, one run", "Fashion-MNIST"
    for arm in record("paper").arms():
        facts = next(run.facts for run in record("paper").done() if run.arm == arm)
        ours, other = accuracy("paper", arm), accuracy("fashion", arm)
        yield arm, f"{facts['connections']:,}", ours, f"{PUBLISHED[arm]:.4f}", other


def notebook() -> Rows:
    """Return the table of the three models of the original notebook."""
    yield "model", "accuracy on MNIST", "published, one run"
    for arm in record("notebook").arms():
        yield arm, accuracy("notebook", arm), f"{PUBLISHED[arm]:.4f}"


def balance() -> Rows:
    """Return the table of plan balance: each comparison in four settings, and the mean."""
    yield "difference, points", *SETTINGS.values(), "mean of the four"
    for first, second in contrasts.COMPARISONS:
        found = contrasts.effects(record("balance"), first, second)
        cells = [pages.points(found[key].interval) for key in SETTINGS]
        yield f"{first} - {second}", *cells, pages.points(pooled(first, second))


def pooled(first: str, second: str) -> Interval:
    """Return the first arm minus the second, over the four settings together."""
    found = contrasts.overall(record("balance"), first, second)
    assert found is not None, f"no seed has both {first} and {second} in every setting"
    return found


def density() -> Rows:
    """Return the table of BIBD at q = 32, where both layers are most balanced, minus the others."""
    yield "difference at q = 32, points", "MNIST", "Fashion-MNIST"
    for name in ("biregular", "fan-in", "random", "iddl", "grouped", "narrow"):
        cells = [pages.points(at_32(data, name)) for data in ("mnist", "fashion")]
        yield f"bibd - {name}", *cells


def tiles() -> Rows:
    """Return the table of plan tiles: accuracy, and what a side of tiles loses to the design."""
    yield "side of a tile", "tiles an output", "accuracy", "minus side 1, points", "minus random"
    whole = pages.recorded("mlp", "tiles")
    if whole is None or any(len(whole.last(arm, "test_accuracy")) < 2 for arm in tile_plan.ARMS):
        yield "not run yet", "", "", "", ""
        return
    for side, each in tile_plan.TILES.items():
        arm = f"tile-{side}"
        yield str(side), str(each), *_beside(whole, arm, ("tile-1", "random"))
    yield "random", "", *_beside(whole, "random", ("tile-1", "random"))


def _beside(whole: Experiment, arm: str, others: tuple[str, ...]) -> Iterator[str]:
    yield pages.mean(whole.last(arm, "test_accuracy").values())
    for other in others:
        found = pages.difference(whole, arm, other) if other != arm else None
        yield "" if found is None else pages.points(found)


def at_32(data: str, name: str) -> Interval:
    """Return BIBD minus another pattern at q = 32."""
    return contrasts.at_densities(record("density"))[32, data, name].interval


def setting(first: str, second: str, data: str, length: str) -> str:
    """Format the first arm minus the second in one setting of plan balance."""
    found = contrasts.effects(record("balance"), first, second)[data, length]
    return pages.prose(found.interval)


def lost() -> str:
    """Format the least and the most that a sparse model loses to its dense one, in points."""
    found = [
        100 * (mean_of(plan, f"MLP-3-{size}") - mean_of(plan, f"{family}-MLP-3-{size}"))
        for plan in ("paper", "fashion")
        for family in "BR"
        for size in (1, 2, 3, 4)
    ]
    return f"{pages.fixed(min(found), 0)} to {pages.fixed(max(found), 0)}"


def mean_of(plan: str, arm: str) -> float:
    """Return the mean accuracy of an arm."""
    return interval(record(plan).last(arm, "test_accuracy").values()).mean


def span() -> str:
    """Format the accuracies of the worst and the best seed of B-MLP-3-1."""
    values = record("paper").last("B-MLP-3-1", "test_accuracy").values()
    return f"{min(values):.4f} to {max(values):.4f}"


def ahead(first: str, second: str, *lengths: str) -> str:
    """Format the least and the most that one arm is ahead in these settings, in points."""
    found = contrasts.effects(record("balance"), first, second)
    means = [100 * d.interval.mean for (_, length), d in found.items() if length in lengths]
    return f"{pages.fixed(min(means), 1)} to {pages.fixed(max(means), 1)}"


def predicted(leave_out: tuple[str, ...]) -> str:
    """Format the least and the most that a number of the designs explains of accuracies."""
    found = [line["r2"] for line in contrasts.predictions(record("balance"), leave_out)]
    return f"{pages.fixed(min(found), 2)} to {pages.fixed(max(found), 2)}"


def first_ten() -> str:
    """Format what the ten planned seeds said of the comparison that later changed its verdict."""
    whole = record("density")
    a, b = (whole.last(f"{n}-32-fashion", "test_accuracy") for n in ("bibd", "biregular"))
    return pages.prose(interval(a[seed] - b[seed] for seed in range(10)))


TABLES: dict[str, Callable[[], Rows]] = {
    "paper": paper,
    "notebook": notebook,
    "balance": balance,
    "density": density,
    "tiles": tiles,
    "plans": partial(pages.plans, "mlp", PLANS),
}
VALUES: dict[str, Callable[[], str]] = {
    "bibd_biregular": lambda: pages.prose(pooled("bibd", "biregular")),
    "bibd_random": lambda: pages.prose(pooled("bibd", "random")),
    "bibd_iddl": lambda: pages.prose(pooled("bibd", "iddl")),
    "bibd_grouped": lambda: pages.prose(pooled("bibd", "grouped")),
    "fashion_flat": lambda: setting("bibd", "biregular", "fashion", "flat"),
    "fashion_flat_modular": lambda: setting("iddl", "biregular", "fashion", "flat"),
    "modular_along_short": lambda: setting("iddl-canonical", "iddl", "mnist", "short"),
    "modular_along_flat": lambda: setting("iddl-canonical", "iddl", "mnist", "flat"),
    "narrow": lambda: ahead("bibd", "narrow", "short", "flat"),
    "narrow_better_rate": lambda: ahead("bibd", "narrow-slow", "short", "flat"),
    "narrow_slow_short": lambda: ahead("narrow-slow", "bibd-slow", "short"),
    "narrow_slow_flat": lambda: ahead("bibd-slow", "narrow-slow", "flat"),
    "first_ten": first_ten,
    "r2": lambda: predicted(()),
    "r2_without_groups": lambda: predicted(("grouped",)),
    "lost": lost,
    "span": span,
}
