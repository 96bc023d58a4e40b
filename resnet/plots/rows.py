"""Accuracy of nets of one depth, a row for each: their costs are too alike to be an axis."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.result import figure, titles
from harness.result.stats import Interval


def fits(data: Mapping[str, dict]) -> bool:
    """Whether every family has one depth only, so that there is no line to follow."""
    return all(len(s["arm"]) == 1 for s in data.values())


def draw(
    data: Mapping[str, dict], names: Mapping[str, str], families: Sequence[str], note: str
) -> Any:
    """Mean and interval of each net with its seeds beside; its cost stands at the row.

    Args:
        data: Columns of each family, as the JSON of the figure keeps them.
        names: What a family is called; others keep their own name.
        families: All of the plan, which decide about colours.
        note: What the numbers stand on.
    """
    from matplotlib.figure import Figure

    with figure.style():
        fig = Figure(figsize=(7.5, 1.5 + 0.52 * len(data)))
        ax = fig.add_subplot()
        for row, (name, s) in enumerate(data.items()):
            _row(ax, row, s, families.index(name))
        texts = [f"{names.get(k, k)}\n{s['flops'][0] / 1e6:.2f} M FLOPs" for k, s in data.items()]
        ax.set_yticks(range(len(data)), texts, fontsize=9)
        ax.set_ylim(len(data) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)
        low, high = ax.get_xlim()  # (of two seeds an interval may leave what is possible)
        ax.set(xlabel="test accuracy", xlim=(max(low, 0), min(high, 1)))
        titles.headline(fig, note, "; hollow: each seed; FLOPs counted as published")
    return fig


def _row(ax: Any, row: int, s: dict, i: int) -> None:
    mean, ends = s["mean"][0], Interval(s["mean"][0], s["low"][0], s["high"][0], s["n"][0]).ends
    bar: Any = figure.look(i) | dict(linestyle="", capsize=3)
    ax.errorbar(mean, row, xerr=[[mean - ends[0]], [ends[1] - mean]], **bar)
    dots: Any = dict(facecolor="white", edgecolor=figure.COLORS[i % 8], s=16, zorder=3)
    ax.scatter(s["seeds"][0], [row + 0.24] * len(s["seeds"][0]), **dots)
