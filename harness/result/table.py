"""Makes the table of a study: a list of objects with a `name`, and its forms for people."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from harness.experiment import Experiment, Run
from harness.metric import ACCURACY, Metric
from harness.plan import Plan
from harness.result import times
from harness.result.stats import Difference, Interval, interval, paired

FACTS = ("connections", "parameters", "macs", "flops", "bytes")
SECONDS = ("train_time", "inference_time")


def summarize(experiment: Experiment, metric: str = "test_accuracy") -> list[dict[str, Any]]:
    """Return one object per arm that has runs: n, mean and interval of `metric`, costs, times.

    Times are those of one kind of machine, the one that most runs were on: see `kinds`.
    """
    lines, most = [], next(iter(kinds(experiment)), "")
    for arm in experiment.arms():
        values = experiment.last(arm, metric)
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
        timed = [run for run in runs if kind(experiment, run) == most]
        means = {k: _mean_of(timed, k) for k in SECONDS if k != metric}
        line |= {k: mean for k, mean in means.items() if mean is not None}
        lines.append(line | {"epochs": max(run.rows[-1]["epoch"] for run in runs)})
    return lines


def kinds(experiment: Experiment) -> dict[str, int]:
    """Return how many runs each kind of machine has done, the one with most of them first."""
    return dict(Counter(kind(experiment, run) for run in experiment.done()).most_common())


def kind(experiment: Experiment, run: Run) -> str:
    """Return the processor that a run was on, or its GPU; times of others do not compare."""
    where = experiment.provenance.get(run.provenance or "", {})
    return str(where.get("gpu") or where.get("cpu") or "unknown")


def mixed(experiment: Experiment) -> str:
    """Say which runs the times are of, where there were several kinds of machine."""
    found = kinds(experiment)
    if len(found) < 2:
        return ""
    name, count = next(iter(found.items()))
    return f"times: of the {count} runs on {name}; there were {len(found)} kinds of machine"


def _mean_of(runs: Sequence[Any], key: str) -> float | None:
    """Return the mean of an optional key over all rows that have it."""
    values = [row[key] for run in runs for row in run.rows if row.get(key) is not None]
    return sum(values) / len(values) if values else None


def differences(experiment: Experiment, plan: Plan) -> list[Difference]:
    """Return the comparisons that the plan names, as far as their runs exist."""
    found = []
    for first, second in plan.compare:
        a, b = (experiment.last(arm, plan.measure.name) for arm in (first, second))
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
    "train_time": "training {unit}/{row}",
    "inference_time": "inference {unit}/test set",
}


def cells(
    lines: list[dict[str, Any]], metric: Metric = ACCURACY, row: str = "epoch"
) -> tuple[list[str], list[list[str]]]:
    """Return heads and texts of the table, with only the columns that the lines have."""
    keys = [k for k in HEADS if k in ("name", "mean") or any(k in line for line in lines)]
    columns = [_column(lines, key, metric, row) for key in keys]
    rows = zip(*(texts for _, texts in columns), strict=True)
    return [head for head, _ in columns], [list(row) for row in rows]


def _column(
    lines: list[dict[str, Any]], key: str, metric: Metric, row: str
) -> tuple[str, list[str]]:
    """Return head and texts of one column; a line without such a value has an empty text."""
    if key not in SECONDS:
        return HEADS[key].format(metric=metric.head), [_cell(line, key, metric) for line in lines]
    there = [line[key] for line in lines if key in line]
    unit, texts = times.fitting(there)
    found = iter(texts)
    return HEADS[key].format(unit=unit, row=row), [
        next(found) if key in line else "" for line in lines
    ]


def _cell(line: dict[str, Any], key: str, metric: Metric) -> str:
    if key == "mean":
        scale, digits, _ = metric.of_values  # (the unit stands in the head)
        return Interval(line["mean"], line["low"], line["high"], line["n"]).text(scale, digits)
    value = line.get(key, "")
    return f"{value:,}" if isinstance(value, int) else str(value)
