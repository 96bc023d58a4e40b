"""The levels of pruning as rows of a page's table: each way to start beside the dense net."""

from collections.abc import Iterator

from compress.plots.tickets import levels, named, values, ways
from harness.experiment import Experiment
from harness.result.pages import fixed, mean, points
from harness.result.stats import interval

HEAD = "weights left", "weights start from", "test accuracy, %", "minus dense, points", "stopped at"


def rows(whole: Experiment) -> Iterator[list[str]]:
    """Yield a row for each level and way that was trained by two seeds or more."""
    for level, share in enumerate(levels(whole)):
        for way in ways(whole):
            accuracy = values(whole, level, way, "test_accuracy")
            if len(accuracy) > 1:
                stop = _mean(values(whole, level, way, "stop"), 1, 0)
                cells = [_mean(accuracy, 100, 2), _gain(whole, accuracy), stop]
                yield [f"{100 * share:.1f} %", named(way) if level else "dense", *cells]


def _mean(found: dict[int, float], scale: float, digits: int) -> str:
    """Format a mean; without an interval where all seeds say the same."""
    values = [scale * value for value in found.values()]
    return mean(values, digits) if len(set(values)) > 1 else fixed(values[0], digits)


def _gain(whole: Experiment, accuracy: dict[int, float]) -> str:
    """Format the difference to the dense nets of the same seeds; empty for these themselves."""
    dense = values(whole, 0, "", "test_accuracy")
    shared = sorted(set(accuracy) & set(dense))
    if accuracy == dense or len(shared) < 2:
        return ""
    found = interval(accuracy[s] - dense[s] for s in shared)
    return fixed(100 * found.mean, 2, "+") if found.half is None else points(found)
