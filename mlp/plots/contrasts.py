"""Says what plan `balance` found: effects with intervals, and what predicts them.

Each pattern of a layer is judged by three numbers, for the net the mean of its two layers:

    sigma2       second singular value over its lower bound: 1 is the best mixing there is
    coverage     share of the pairs of inputs that some output reads together
    imbalance    variance over the pairs of how many outputs read both: of all tables with these
                 degrees, the least is a design's
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product
from statistics import fmean
from typing import Any

from bibd.certificate import Certificate, certify
from harness.experiment import Experiment
from harness.result.stats import Difference, Interval, interval, paired
from mlp.experiments import PLANS
from mlp.plans.balance import IMAGES, NARROW, PATTERNS
from mlp.plans.config import Config

SETTINGS = [(data, length) for length in ("short", "flat") for data in ("mnist", "fashion")]
PREDICTORS = ("sigma2", "coverage", "imbalance")
INPUTS = 1024
COMPARISONS = (
    *(("bibd", name) for name in ("biregular", "fan-in", "random", "iddl", "grouped")),
    ("bibd-canonical", "bibd"),
    ("iddl-canonical", "iddl"),
    ("bibd-canonical", "iddl-canonical"),
    ("bibd", "narrow"),
    ("bibd", "narrow-slow"),
    ("bibd-slow", "narrow-slow"),
    ("bibd-slow", "biregular-slow"),
    ("bibd", "full"),
)


def effects(whole: Experiment, first: str, second: str) -> dict[tuple[str, str], Difference]:
    """Return the first arm minus the second, paired by seed, in each setting both have finished."""
    found = {}
    for data, length in SETTINGS:
        a, b = (f"{name}-{data}-{length}" for name in (first, second))
        values = whole.last(a, "test_accuracy"), whole.last(b, "test_accuracy")
        difference = paired(a, b, *values)
        if difference:
            found[data, length] = difference
    return found


def accuracy(whole: Experiment, name: str, data: str, length: str) -> Interval | None:
    """Return the mean accuracy of one arm with its interval."""
    values = whole.last(f"{name}-{data}-{length}", "test_accuracy")
    return interval(values.values()) if values else None


def deviations(whole: Experiment, data: str, length: str) -> dict[str, Interval]:
    """Each pattern minus the mean of all of them, seed by seed; empty unless all have a seed."""
    arms = {name: whole.last(f"{name}-{data}-{length}", "test_accuracy") for name in PATTERNS}
    seeds = sorted(set.intersection(*(set(values) for values in arms.values())))
    middle = {seed: fmean(values[seed] for values in arms.values()) for seed in seeds}
    return {
        name: interval(values[seed] - middle[seed] for seed in seeds)
        for name, values in arms.items()
        if seeds
    }


def by_layer(config: Config, seed: int = 0) -> list[dict[str, float]]:
    """Return the three numbers of each hidden layer."""
    return [_measure(c) for c in certificates(config, seed)]


def measures(config: Config, seed: int = 0) -> dict[str, float]:
    """Return the three numbers of a config's net."""
    found = by_layer(config, seed)
    return {name: fmean(layer[name] for layer in found) for name in PREDICTORS}


@lru_cache(maxsize=128)
def certificates(config: Config, seed: int = 0) -> tuple[Certificate, ...]:
    """Return the certificates of a config's hidden layers, as this seed has them."""
    from mlp.model import patterns

    return tuple(certify(p.design()) for p in patterns(config, INPUTS, seed))


def _measure(c: Certificate) -> dict[str, float]:
    pairs = c.v * (c.v - 1) / 2
    mean = sum(met * n for met, n in c.pair_coverage.items()) / pairs
    square = sum(met * met * n for met, n in c.pair_coverage.items()) / pairs
    return {
        "sigma2": c.sigma2 / c.sigma2_lower_bound,
        "coverage": 1 - c.pair_coverage.get(0, 0) / pairs,
        "imbalance": square - mean * mean,
    }


def predictions(whole: Experiment, leave_out: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Correlate each predictor's ranks with mean accuracy, per setting, over relabelled arms."""
    from scipy.stats import pearsonr, spearmanr

    lines = []
    for data, length in SETTINGS:
        names = [name for name in PATTERNS if name not in leave_out]
        means = {name: accuracy(whole, name, data, length) for name in names}
        y = [mean.mean for mean in means.values() if mean]
        if len(y) < len(names):
            continue
        for predictor in PREDICTORS:
            x = [measures(arm(name, data, length))[predictor] for name in names]
            rank, line = spearmanr(x, y), pearsonr(x, y)
            lines.append(
                {
                    "name": f"{predictor} {data} {length}",
                    "arms": len(names),
                    "spearman": float(rank.statistic),  # pyright: ignore
                    "r2": float(line.statistic) ** 2,  # pyright: ignore
                    "p": float(line.pvalue),  # pyright: ignore
                }
            )
    return lines


def arm(name: str, data: str, length: str) -> Config:
    """Return the config of an arm of the plan."""
    return PLANS["balance"].arms[f"{name}-{data}-{length}"]


def overall(whole: Experiment, first: str, second: str) -> Interval | None:
    """Return first minus second: the mean over settings for each seed, then over the seeds."""
    found = effects(whole, first, second)
    if len(found) < len(SETTINGS):
        return None
    values = [_by_seed(whole, first, second, *setting) for setting in found]
    seeds = sorted(set.intersection(*(set(v) for v in values)))
    return interval(fmean(v[seed] for v in values) for seed in seeds)


def _by_seed(whole: Experiment, first: str, second: str, data: str, length: str):
    a, b = (whole.last(f"{name}-{data}-{length}", "test_accuracy") for name in (first, second))
    return {seed: a[seed] - b[seed] for seed in set(a) & set(b)}


def verdicts(whole: Experiment) -> list[dict[str, str]]:
    """Return the answer as texts: a line per comparison, in points; * excludes 0."""
    lines = []
    for first, second in COMPARISONS:
        line = {"name": f"{first} - {second}"}
        for (data, length), difference in effects(whole, first, second).items():
            line[f"{data}, {length}"] = _points(difference.interval)
        pooled = overall(whole, first, second)
        if pooled:
            line["all four"] = _points(pooled)
        lines.append(line)
    return lines


def _points(i: Interval) -> str:
    if i.low is None or i.high is None:
        return f"{100 * i.mean:+.2f} ({i.count})"
    return f"{100 * i.mean:+.2f} ± {100 * (i.high - i.mean):.2f}" + "*" * (i.low > 0 or i.high < 0)


def at_densities(whole: Experiment) -> dict[tuple[int, str, str], Difference]:
    """Return bibd minus each other pattern of plan density, by q, images and pattern."""
    found = {}
    for q, data, name in product(NARROW, IMAGES, (*PATTERNS, "narrow")):
        a, b = f"bibd-{q}-{data}", f"{name}-{q}-{data}"
        values = whole.last(a, "test_accuracy"), whole.last(b, "test_accuracy")
        difference = paired(a, b, *values)
        if difference and name != "bibd":
            found[q, data, name] = difference
    return found


def text(whole: Experiment) -> Iterator[str]:
    """Yield the answer as lines for a log."""
    if whole.plan == "density":
        yield "\ndifferences in points, paired by seed, with 95 % intervals (* excludes 0)"
        for difference in at_densities(whole).values():
            names = f"{difference.first} - {difference.second}"
            yield f"{names:<44}{_points(difference.interval)} (n={difference.interval.n})"
        return
    lines = verdicts(whole)
    yield "\ndifferences in points, paired by seed, with 95 % intervals (* excludes 0)"
    heads = [*(f"{data}, {length}" for data, length in SETTINGS), "all four"]
    yield " " * 32 + "".join(f"{head:<18}" for head in heads)
    for line in lines:
        yield f"{line['name']:<32}" + "".join(f"{line.get(head, ''):<18}" for head in heads)
    for leave_out in ((), ("grouped",)):
        lines = predictions(whole, leave_out)
        if lines:
            without = f" without {', '.join(leave_out)}" if leave_out else ""
            yield f"\nwhat predicts mean accuracy, over {lines[0]['arms']} patterns{without}"
        for line in lines:
            yield (
                f"{line['name']:<28} rank correlation {line['spearman']:+.2f}, "
                f"r2 {line['r2']:.2f} (p {line['p']:.2f})"
            )
