"""The table of a study: a list of plain objects with a `name`, and its forms for people."""

from collections.abc import Sequence
from typing import Any

from harness.experiment import Experiment
from harness.plan import Plan
from harness.result.stats import Difference, interval, paired

FACTS = ("connections", "parameters", "macs", "flops", "bytes")
SECONDS = ("train_time", "inference_time")


def summarize(experiment: Experiment, metric: str = "test_accuracy") -> list[dict[str, Any]]:
    """One object per arm that has finished runs: n, mean and interval of `metric`, costs, times."""
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
        line |= {k: _mean_of(runs, k) for k in SECONDS if k in runs[0].rows[-1]}
        lines.append(line | {"epochs": max(run.rows[-1]["epoch"] for run in runs)})
    return lines


def _mean_of(runs: Sequence[Any], key: str) -> float:
    values = [row[key] for run in runs for row in run.rows]
    return sum(values) / len(values)


def differences(experiment: Experiment, plan: Plan) -> list[Difference]:
    """The comparisons of the plan, as far as their runs exist."""
    found = []
    for first, second in plan.compare:
        a, b = (experiment.final(arm, plan.metric) for arm in (first, second))
        difference = paired(first, second, a, b)
        if difference:
            found.append(difference)
    return found


def failures(experiment: Experiment) -> list[str]:
    """One sentence per failed run."""
    return [
        f"{run.arm} seed {run.seed}: {run.error}"
        for run in experiment.runs
        if run.status == "failed"
    ]


HEADS = {
    "name": "model",
    "accuracy": "test accuracy, 95 % interval",
    "connections": "connections",
    "parameters": "parameters",
    "flops": "FLOPs",
    "train_time": "training s/epoch",
    "inference_time": "inference s/test set",
}


def cells(lines: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Heads and texts, with only the columns that the lines have."""
    keys = [k for k in HEADS if k in ("name", "accuracy") or any(k in line for line in lines)]
    return [HEADS[k] for k in keys], [[_cell(line, k) for k in keys] for line in lines]


def _cell(line: dict[str, Any], key: str) -> str:
    if key == "accuracy":
        if line["low"] is None:
            return f"{line['mean']:.4f} (n=1, no interval)"
        return f"{line['mean']:.4f} ± {line['high'] - line['mean']:.4f} (n={line['n']})"
    value = line.get(key, "")
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def show(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: boxed on a terminal, the same columns in a log."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for i, head in enumerate(heads):
        table.add_column(head, justify="left" if i == 0 else "right", no_wrap=i < 2)
    for row in rows:
        table.add_row(*row)
    console = Console(soft_wrap=False)
    console.width = max(console.width, 140) if not console.is_terminal else console.width
    console.print(table)
