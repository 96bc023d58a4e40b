"""Tables of SpecTrain's nets and of optimizers, for `pages.py`; what was not run says so.

A record may be of part of a plan: a cell is then "not run", and one of a single seed has no
interval. Each plan joins as soon as its record is committed.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial

from harness.experiment import Experiment
from harness.result import pages
from harness.result.pages import Rows, fixed
from harness.result.stats import Interval, interval, paired
from parallel.pages_staleness import accuracy
from parallel.plans import optimizers, spectrain
from parallel.plots.staleness import NAMES

KEY = "test_accuracy"
WIDTHS = {
    "spectrain_images": "an eighth as wide",
    "spectrain_images2": "an eighth as wide",
    "spectrain_images3": "an eighth as wide",
    "spectrain_full": "full width",
    "spectrain_texts": "half as wide",
}
TITLES = {
    "vgg16": "VGG16",
    "resnet50": "ResNet50",
    "densenet121": "DenseNet121",
    "googlenet": "GoogLeNet",
    "residual_lstm": "residual LSTM",
    "transformer": "Transformer",
}


@cache
def record(plan: str) -> Experiment | None:
    """Return the committed record of a plan, which is read once; None: there is none."""
    return pages.recorded("parallel", plan)


def reached(whole: Experiment, arm: str) -> str:
    """Format the accuracy of an arm in per cent, if it was run."""
    values = whole.last(arm, KEY)
    return accuracy(values.values()) if values else "not run"


def minus(whole: Experiment, first: str, second: str) -> Interval | None:
    """Return the first arm minus the second, paired by seed; None: no seed has both."""
    found = paired(first, second, whole.last(first, KEY), whole.last(second, KEY))
    return found.interval if found else None


def columns() -> Iterator[str]:
    """Yield the heads of the script's table."""
    yield from map(_name, spectrain.COLUMNS)


def nets() -> Rows:
    """Return the table in the layout of the script's: accuracy in per cent, and its own below."""
    yield "net", *columns()
    for net, row in spectrain.ROWS.items():
        there = [(plan, whole) for plan, whole in _records() if _has(whole, net)]
        for plan, whole in there:
            cells = (reached(whole, f"{net}-{column}") for column in spectrain.COLUMNS)
            yield f"{TITLES[net]}, {WIDTHS[plan]}", *cells
        state = "" if there else " (not run here)"
        yield f"the script's {TITLES[net]}{state}", *(fixed(value, 2) for value in row)


def _records() -> Iterator[tuple[str, Experiment]]:
    for plan in WIDTHS:
        if whole := record(plan):
            yield plan, whole


def _has(whole: Experiment, net: str) -> bool:
    return any(run.config["net"] == net for run in whole.done())


def nets_told() -> Rows:
    """Return the table of differences of SpecTrain's nets in words, in points."""
    pairs = [(f"{m}-{n}", "sgd") for n in spectrain.STAGES for m in spectrain.METHODS]
    pairs += [
        (f"{m}-{n}", f"pipedream-{n}") for n in spectrain.STAGES for m in spectrain.METHODS[2:]
    ]
    if not any(_records()):
        yield "plan", "state"
        yield from ((f"`python -m parallel {plan}`", "not run yet") for plan in WIDTHS)
        return
    yield "difference", *(t for t, _, _ in _each_net())
    for first, second in pairs:
        cells = (minus(w, f"{net}-{first}", f"{net}-{second}") for _, w, net in _each_net())
        yield f"{_name(first)} minus {_name(second)}", *map(pages.told, cells)


def _name(column: str) -> str:
    name, _, n = column.partition("-")
    short = NAMES[name].split(" (")[0]
    return f"{short}, N = {n}" if n else short


def _each_net() -> Iterator[tuple[str, Experiment, str]]:
    for plan, whole in _records():
        for net in TITLES:
            if _has(whole, net):
                yield f"{TITLES[net]}, {WIDTHS[plan]}", whole, net


def shown() -> str:
    """Count the differences of SpecTrain's nets that exclude 0, of how many."""
    if not any(_records()):
        return "none of these plans has been run yet"
    late = list(_differences(to_sgd=True))
    ahead = list(_differences(to_sgd=False))
    return (
        f"of {len(late)} differences to no pipeline {_count(late)} exclude 0, of {len(ahead)} of "
        f"prediction to PipeDream {_count(ahead)}; for all others no difference is shown"
    )


def _differences(to_sgd: bool) -> Iterator[Interval]:
    for plan, whole in _records():
        for first, second in spectrain.PLANS[plan].compare:
            found = minus(whole, first, second)
            if found and second.endswith("-sgd") == to_sgd:
                yield found


def _count(found: list[Interval]) -> int:
    return sum(i.excludes_zero for i in found)


def little() -> str:
    """Name the nets that have not come half of the way from chance to the script's accuracy."""
    found = [title for title, whole, net in _each_net() if not _half_way(whole, net)]
    if not found:
        return "none"
    return "; ".join(found)


def _half_way(whole: Experiment, net: str) -> bool:
    arm = f"{net}-sgd"
    values = whole.last(arm, KEY).values()
    chance = 0.5 if net in spectrain.READERS else 0.1
    half = (chance + spectrain.PUBLISHED[arm] / 100) / 2
    return bool(values) and interval(values).mean >= half


def runs() -> str:
    """Say how many runs of the plan at full width are done."""
    whole, plan = record("spectrain_full"), spectrain.PLANS["spectrain_full"]
    done = len(whole.done()) if whole else 0
    return f"{done} of {len(plan.arms) * len(plan.seeds)} runs are done"


def of_optimizers() -> Rows:
    """Return the table of optimizers: each at the best rate that it has without a pipeline."""
    whole = record("optimizers")
    if whole is None:
        yield "plan", "state"
        yield "`python -m parallel optimizers`", "not run yet"
        return
    yield "optimizer", "best rate", "no pipeline", *(f"{NAMES[m]} minus it" for m in LATE)
    for n in optimizers.STAGES:
        for kind in optimizers.RATES:
            yield f"{optimizers.TITLES[kind]}, N = {n}", *_optimizer(whole, kind, n)


LATE = optimizers.METHODS[1:]


def _optimizer(whole: Experiment, kind: str, n: int) -> Iterator[str]:
    rate = best(whole, kind, n)
    if rate is None:
        yield from ["not run"] * (2 + len(LATE))
        return
    arms = [f"{method}-{kind}-{n}-{rate:g}" for method in optimizers.METHODS]
    yield f"{rate:g}"
    yield reached(whole, arms[0])
    yield from (pages.told(minus(whole, arm, arms[0])) for arm in arms[1:])


def best(whole: Experiment, kind: str, n: int) -> float | None:
    """Return the rate of an optimizer's highest mean without a pipeline, None if none was run."""
    means = {
        rate: interval(values.values()).mean
        for rate in optimizers.RATES[kind]
        if (values := whole.last(f"sgd-{kind}-{n}-{rate:g}", KEY))
    }
    return max(means, key=lambda rate: (means[rate], -rate), default=None)


def late(method: str, kind: str, n: int) -> str:
    """Tell what late weights cost an optimizer at its best rate, in points."""
    whole = record("optimizers")
    assert whole, "the record of plan optimizers is committed"
    end = f"{kind}-{n}-{best(whole, kind, n):g}"
    return pages.prose(pages.difference(whole, f"{method}-{end}", f"sgd-{end}"), 1)


TABLES: dict[str, Callable[[], Rows]] = {
    "nets": nets,
    "nets_told": nets_told,
    "optimizers": of_optimizers,
}
VALUES: dict[str, Callable[[], str]] = {
    "late_sgd": partial(late, "two_bw", "sgd", 8),
    "late_adamw": partial(late, "pipedream", "adamw", 8),
    "late_nadam": partial(late, "pipedream", "nadam", 8),
    "late_muon": partial(late, "pipedream", "muon", 8),
    "late_stash": partial(late, "pipedream", "sgd", 8),
    "nets_shown": shown,
    "nets_little": little,
    "nets_runs": runs,
}
