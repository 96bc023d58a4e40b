"""Makes the table of a study: a list of objects with a `name`, and its forms for people."""

from collections.abc import Sequence
from typing import Any

from harness.experiment import Experiment
from harness.metric import ACCURACY, Metric
from harness.plan import Plan
from harness.result.stats import Difference, Interval, interval, paired

FACTS = ("connections", "parameters", "macs", "flops", "bytes")
SECONDS = ("train_time", "inference_time")


def summarize(experiment: Experiment, metric: str = "test_accuracy") -> list[dict[str, Any]]:
    """Return one object per arm that has runs: n, mean and interval of `metric`, costs, times."""
    lines = []
    for arm in experiment.arms():
        values = experiment.final(arm, metric)
        runs = [run for run in experiment.done() if run.arm == arm]
        if not values:
            continue
        i = interval(values.values())
        line = {
            "name": arm,
            "metric": metric,
            "n": i.n,
            "mean": i.mean,
            "low": i.low,
            "high": i.high,
        }
        line |= {k: runs[0].facts[k] for k in FACTS if k in runs[0].facts}
        means = {k: _mean_of(runs, k) for k in SECONDS if k != metric}
        line |= {k: mean for k, mean in means.items() if mean is not None}
        lines.append(line | {"epochs": max(run.rows[-1]["epoch"] for run in runs)})
    return lines


def _mean_of(runs: Sequence[Any], key: str) -> float | None:
    """Return the mean of an optional key over all rows that have it."""
    values = [row[key] for run in runs for row in run.rows if row.get(key) is not None]
    return sum(values) / len(values) if values else None


def differences(experiment: Experiment, plan: Plan) -> list[Difference]:
    """Return the comparisons that the plan names, as far as their runs exist."""
    found = []
    for first, second in plan.compare:
        a, b = (experiment.final(arm, plan.measure.name) for arm in (first, second))
        difference = paired(first, second, a, b, plan.measure)
        if difference:
            found.append(difference)
    return found


def failures(experiment: Experiment) -> list[str]:
    """Return one sentence per failed run."""
    return [
        f"{run.arm} seed {run.seed}: {run.error}"
        for run in experiment.runs
        if run.status == "failed"
    ]


HEADS = {
    "name": "model",
    "mean": "{metric}, 95 % interval",
    "connections": "connections",
    "parameters": "parameters",
    "flops": "FLOPs",
    "train_time": "training s/epoch",
    "inference_time": "inference s/test set",
}


def cells(
    lines: list[dict[str, Any]], metric: Metric = ACCURACY
) -> tuple[list[str], list[list[str]]]:
    """Return heads and texts of the table, with only the columns that the lines have."""
    keys = [k for k in HEADS if k in ("name", "mean") or any(k in line for line in lines)]
    heads = [HEADS[k].format(metric=metric.head) for k in keys]
    return heads, [[_cell(line, k, metric) for k in keys] for line in lines]


def _cell(line: dict[str, Any], key: str, metric: Metric) -> str:
    if key == "mean":
        scale, digits, _ = metric.of_values  # (the unit stands in the head)
        return Interval(line["mean"], line["low"], line["high"], line["n"]).text(scale, digits)
    value = line.get(key, "")
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
