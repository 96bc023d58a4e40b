"""The rows of a plan as plain values: for each arm what its seeds say in the mean.

    {"LeNet-5": [{"epoch": 1, "density": 1.0, "test_accuracy": .9921, "files": []}, ...], ...}

Rows keep their form: files, levels and controls are in them as in the record.
"""

from statistics import fmean
from typing import Any

from harness.experiment import Experiment


def plain(whole: Experiment) -> dict[str, list[dict[str, Any]]]:
    """Return arm: rows, of builtin values; an arm of which no seed is done is left out."""
    found = {arm: [run.rows for run in whole.done() if run.arm == arm] for arm in whole.arms()}
    return {arm: mean(rows) for arm, rows in found.items() if rows}


def mean(values: list[Any]) -> Any:
    """Return the mean of numbers, and of all numbers in dicts and lists.

    What all agree on stays; keys that some lack are left out, lists end with the shortest; of other
    things that differ there is no mean, but None.
    """
    first = values[0]
    if all(isinstance(value, dict) for value in values):
        keys = [key for key in first if all(key in value for value in values)]
        return {key: mean([value[key] for value in values]) for key in keys}
    if all(isinstance(value, list | tuple) for value in values):
        return [mean(list(parts)) for parts in zip(*values, strict=False)]
    if all(value == first for value in values):
        return first
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return fmean(values) if numbers else None
