"""What plan `balance` says: effects with intervals, and what predicts them.

Each pattern of a layer is judged by three numbers, for the net the mean of its two layers:

    sigma2       second singular value over its lower bound: 1 is the best mixing there is
    coverage     share of the pairs of inputs that some output reads together
    imbalance    variance over the pairs of how many outputs read both: of all tables with these
                 degrees, the least is a design's
"""

from collections.abc import Sequence
from functools import lru_cache
from statistics import fmean
from typing import Any

from bibd.certificate import Certificate, certify
from harness.experiment import Experiment
from harness.stats import Difference, Interval, interval, paired
from mlp.experiments import PATTERNS, PLANS, Config

SETTINGS = [(data, length) for length in ("short", "flat") for data in ("mnist", "fashion")]
PREDICTORS = ("sigma2", "coverage", "imbalance")
INPUTS = 1024


def effects(whole: Experiment, first: str, second: str) -> dict[tuple[str, str], Difference]:
    """First arm minus second, paired by seed, in each setting that both have finished."""
    found = {}
    for data, length in SETTINGS:
        a, b = (f"{name}-{data}-{length}" for name in (first, second))
        values = whole.final(a, "test_accuracy"), whole.final(b, "test_accuracy")
        difference = paired(a, b, *values)
        if difference:
            found[data, length] = difference
    return found


def accuracy(whole: Experiment, name: str, data: str, length: str) -> Interval | None:
    """Mean and interval of one arm."""
    values = whole.final(f"{name}-{data}-{length}", "test_accuracy")
    return interval(values.values()) if values else None


def measures(config: Config, seed: int = 0) -> dict[str, float]:
    """The three numbers of a config's net."""
    found = [_measure(c) for c in certificates(config, seed)]
    return {name: fmean(layer[name] for layer in found) for name in PREDICTORS}


@lru_cache(maxsize=128)
def certificates(config: Config, seed: int = 0) -> tuple[Certificate, ...]:
    """Of its hidden layers, as this seed has them."""
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
    """Per setting and predictor: rank correlation with mean accuracy over the relabelled arms."""
    from scipy.stats import pearsonr, spearmanr

    lines = []
    for data, length in SETTINGS:
        names = [name for name in PATTERNS if name not in leave_out]
        means = {name: accuracy(whole, name, data, length) for name in names}
        if any(mean is None for mean in means.values()):
            continue
        y = [mean.mean for mean in means.values() if mean]
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
    """The config of an arm of the plan."""
    return PLANS["balance"].arms[f"{name}-{data}-{length}"]
