"""Tables and numbers of the ensemble study for the pages, from its records: see `make pages`.

A plan without a record has a table that says so; each joins as soon as its record is committed.
"""

from collections.abc import Callable
from functools import cache, partial
from statistics import fmean

from ensemble.experiments import PLANS
from ensemble.plots import bars, budget, cascade, factors, worth
from ensemble.plots.growth import NAMES, PANELS, kinds, nets
from harness.experiment import Experiment, Run
from harness.result import pages
from harness.result.pages import Rows, fixed
from harness.result.stats import interval

KEYS = {
    "test_accuracy": "mean of probabilities",
    "hard_accuracy": "majority",
    "vote_accuracy": "boosting's vote",
}
WORTH = "worth, independent members"
NOT_RUN = "not run yet"
SIZES = {"B-3-1": "small", "B-3-4": "wide", "3-1": "dense"}  # nets of plan boost


@cache
def record(plan: str) -> Experiment | None:
    """Return the committed record of a plan, which is read once; None where it has not been run."""
    return pages.recorded("ensemble", plan)


def boost(plan: str) -> Rows:
    """Return the table of a plan: each kind of ensemble, and its gain over one net trained on."""
    yield "net", "members", *KEYS.values(), "mean minus one net, as long, points", WORTH
    whole = record(plan)
    if not whole:
        yield NOT_RUN, *[""] * 6
        return
    for net in nets(whole):
        for kind in kinds(whole, net):
            cells = [cell(whole, f"{net}-{kind}", key) for key in KEYS]
            cells.append(gain(whole, f"{net}-{kind}", f"{net}-single"))
            yield PANELS[net], NAMES[kind], *cells, worth.told(whole, net, kind)


def cell(whole: Experiment, arm: str, key: str) -> str:
    """Format the mean of an arm and its interval; a dash where it has none."""
    found = [v for v in whole.last(arm, key).values() if v is not None]
    return pages.mean(found) if found else "-"


def gain(whole: Experiment, arm: str, other: str) -> str:
    """Format one arm minus another, paired by seed."""
    a, b = (whole.last(name, "test_accuracy") for name in (arm, other))
    shared = sorted(set(a) & set(b))
    if arm == other or not shared:
        return "-"
    less = interval(a[seed] - b[seed] for seed in shared)
    return fixed(100 * less.mean, 2, "+") if less.half is None else pages.points(less)


def over_one(kind: str) -> str:
    """Tell the gain of a kind of the smallest sparse nets over one net trained as long."""
    whole = record("boost")
    assert whole, "the record of plan boost is committed"
    return pages.prose(pages.difference(whole, f"B-3-1-{kind}", "B-3-1-single"), 1)


def less(plan: str, arm: str, other: str, key: str = "test_accuracy") -> str:
    """Tell a score of an arm minus the accuracy of another, paired by seed, in points."""
    whole = record(plan)
    assert whole, f"the record of plan {plan} is committed"
    a, b = whole.last(arm, key), whole.last(other, "test_accuracy")
    return pages.prose(interval(a[seed] - b[seed] for seed in sorted(set(a) & set(b))))


def sizes() -> Rows:
    """Return the original study's rule by size, beside what was published."""
    yield (
        "members", "accuracy of the vote", "gain over one, points", "one net, as many steps",
        "published", "its gain",
    )  # fmt: skip
    whole = record("paper")
    if not whole:
        yield NOT_RUN, *[""] * 5
        return
    gains, longer = bars.gains(whole), bars.as_long(whole)
    for m, found in bars.by_size(whole).items():
        old = bars.PUBLISHED[m]
        ours = pages.points(gains[m]) if m in gains else ""
        theirs = fixed(100 * (old - bars.PUBLISHED[1]), 2, "+") if m in gains else ""
        one = pages.mean(longer[m].values()) if m in longer else ""
        yield str(m), pages.mean(found.values()), ours, one, fixed(old, 4), theirs


def of_budget(plan: str) -> Rows:
    """Return accuracy, likelihood and measured time of each side of one budget."""
    yield (
        "nets", "epochs", "connections", "accuracy", "calibrated NLL", "minus dense, points",
        "MACs of training", "time of a step", "of a call of 1", "of a call of 128",
    )  # fmt: skip
    whole = record(plan)
    if not whole:
        yield NOT_RUN, *[""] * 9
        return
    for length in budget.lengths(whole):
        plain = budget.runs(whole, "dense", length)
        for side, name in budget.NAMES.items():
            if found := budget.runs(whole, side, length):
                costs, run = budget.costs(found), found[0]
                scores = [pages.mean(r.rows[-1][k] for r in found) for k in budget.SCORES]
                less = gain(whole, run.arm, f"dense-{length}")
                numbers = str(run.config["epochs"]), f"{run.facts['connections']:,}"
                keys = "training step", "call at batch 1", "call at batch 128"
                times = [fixed(costs[k], 1) for k in keys]
                yield name, *numbers, *scores, less, budget.training(found, plain), *times


def chains(plan: str) -> Rows:
    """Return what each chain reaches under its fitted threshold, and what it spends."""
    yield (
        "nets, in turn", "accuracy", "asking all", "mean MACs (k)", "of the dense net's",
        "p99 MACs (k)", "time at batch 1", "time at batch 128",
    )  # fmt: skip
    whole = record(plan)
    if not whole:
        yield NOT_RUN, *[""] * 7
        return
    dense = cascade.spent(cascade.runs(whole, "dense"), "macs")
    for arm in whole.arms():
        if found := cascade.runs(whole, arm):
            yield _chain(arm, found, dense)


def _chain(arm: str, found: list, dense: float) -> list[str]:
    """Return the line of a chain; times are multiples of the dense net's."""
    scores = [pages.mean(r.rows[-1][k] for r in found) for k in ("test_accuracy", "whole_accuracy")]
    macs, one, many = (cascade.spent(found, axis) for axis in cascade.AXES)
    p99 = fmean(r.rows[-1].get("fitted", {}).get("p99", r.rows[-1]["macs"]) for r in found) / 1e3
    share = f"{fixed(100 * macs / dense, 0)} %"
    name = cascade.NAMES.get(arm, f"{arm} alone")
    return [name, *scores, fixed(macs, 1), share, fixed(p99, 1), fixed(one, 2), fixed(many, 2)]


def as_good(plan: str, lost: float = 0.0005) -> Rows:
    """Return where on its curve each chain is first as good as the dense net but for `lost`."""
    yield "nets, in turn", "threshold", "minus dense, points", "of the dense net's MACs"
    whole = record(plan)
    if not whole:
        yield NOT_RUN, *[""] * 3
        return
    alone = cascade.runs(whole, "dense")
    goal = {run.seed: run.rows[-1]["test_accuracy"] for run in alone}
    price = 1e3 * cascade.spent(alone, "macs")
    for arm, name in cascade.NAMES.items():
        yield name, *_first(cascade.runs(whole, arm), goal, price, lost)


def _first(found: list[Run], goal: dict[int, float], price: float, lost: float) -> list[str]:
    """Return the cheapest point of a curve that loses no more; dashes where there is none."""
    shared = [run for run in found if run.seed in goal and run.rows[-1].get("curve")]
    points = zip(*(run.rows[-1]["curve"] for run in shared), strict=True)
    for point in sorted(points, key=lambda point: sum(p["macs"] for p in point)):
        less = interval(p["accuracy"] - goal[r.seed] for p, r in zip(point, shared, strict=True))
        if less.mean >= -lost and less.half is not None:
            share = sum(p["macs"] for p in point) / len(point) / price
            told = {f"{p['threshold']:.3g}" for p in point}
            return [
                told.pop() if len(told) == 1 else "each its own",
                pages.points(less),
                f"{100 * share:.0f} %",
            ]
    return ["none", "-", "-"]


def terms() -> Rows:
    """Return which settings explain the accuracy, alone and with the others."""
    yield "term", "df", "share of variance", "F", "p"
    whole = record("factors")
    found = factors.analysis(whole) if whole else None
    if not found:
        yield NOT_RUN, *[""] * 4
        return
    for t in found.terms:
        p = f"{float(f'{t.p:.10g}'):.2g}"
        yield t.name.replace(":", " x "), f"{t.df}", fixed(t.share, 3), fixed(t.f, 1), p


def four_over_one() -> str:
    """Tell by how much four members are above one net, over all cells of the grid, in points."""
    whole = record("factors")
    found = factors.analysis(whole) if whole else None
    assert found, "the record of plan factors is committed, and whole"
    (e,) = (e for e in found.effects if e.term == "members" and e.levels == (factors.MANY,))
    assert e.interval.half is not None
    # (of two levels, which are as far from the mean of both)
    return f"{2 * e.interval.mean:+.2f} ± {2 * e.interval.half:.2f}"


def plans() -> Rows:
    """Return the plans but for those that only try the path of another."""
    shown = {name: plan for name, plan in PLANS.items() if not name.endswith("_smoke")}
    yield from pages.plans("ensemble", shown)


TABLES: dict[str, Callable[[], Rows]] = {
    "boost": partial(boost, "boost"),
    "boost_fashion": partial(boost, "boost_fashion"),
    "sizes": sizes,
    "paper": partial(boost, "paper"),
    "budget": partial(of_budget, "budget"),
    "budget_fashion": partial(of_budget, "budget_fashion"),
    "budget_cifar10": partial(of_budget, "budget_cifar10"),
    "cascade": partial(chains, "cascade"),
    "cascade_fashion": partial(chains, "cascade_fashion"),
    "as_good": partial(as_good, "cascade"),
    "as_good_fashion": partial(as_good, "cascade_fashion"),
    "factors": terms,
    "plans": plans,
}
VALUES: dict[str, Callable[[], str]] = {
    "independent": partial(over_one, "independent"),
    "boosted": partial(over_one, "samme-0.3"),
    "original_rule": partial(over_one, "iddl"),
    "four_over_one": four_over_one,
    "moving": partial(less, "budget", "rigl-4-flat", "dense-flat"),
    "moving_over_random": partial(less, "budget", "rigl-4-flat", "random-4-flat"),
    "random_fashion": partial(less, "budget_fashion", "random-4-flat", "dense-flat"),
    "random_fashion_short": partial(less, "budget_fashion", "random-4-short", "dense-short"),
    "moving_fashion": partial(less, "budget_fashion", "rigl-4-flat", "dense-flat"),
    "wide_fashion": partial(less, "budget_fashion", "wide-4-flat", "dense-flat"),
    "moving_over_random_fashion": partial(less, "budget_fashion", "rigl-4-flat", "random-4-flat"),
    "random_cifar": partial(less, "budget_cifar10", "random-4-flat", "dense-flat"),
    "random_cifar_short": partial(less, "budget_cifar10", "random-4-short", "dense-short"),
    "narrow_cifar": partial(less, "budget_cifar10", "narrow-4-flat", "dense-flat"),
    "random_over_narrow_cifar": partial(less, "budget_cifar10", "random-4-flat", "narrow-4-flat"),
    "moving_over_random_cifar": partial(less, "budget_cifar10", "rigl-4-flat", "random-4-flat"),
    "wide_over_slim": partial(less, "budget", "different-22-flat", "slim-22-flat"),
    **{
        f"{name}_{plan}_over_independent": partial(
            less, plan, f"{net}-samme-0.1", f"{net}-independent"
        )
        for plan in ("boost", "boost_fashion")
        for net, name in SIZES.items()
    },
    **{
        f"{name}_boost_vote": partial(
            less, "boost", f"{net}-samme-0.1", f"{net}-single", "vote_accuracy"
        )
        for net, name in SIZES.items()
    },
}
