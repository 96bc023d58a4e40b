"""The original study's two pictures of its ensemble: bars over sizes, and the gain over one member.

    fig_ensemble_experiments            a bar and its interval for each size; a line at one member
    fig_ensemble_experiments_improved   accuracy of a size minus that of one member, paired by seed

The vote is boosting's weighted one, as there. Its own published values are marked beside the gains.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import starmap
from pathlib import Path
from typing import Any

from ensemble.plans.paper import INDEX, PUBLISHED, RULE, SIZES
from harness.experiment import Experiment, Run
from harness.record import store
from harness.result import figure, titles
from harness.result.pictures import Picture
from harness.result.stats import Interval, interval

FIRST, REST, LINE = "#beaed4", "#386cb0", "#f22613"  # as published
KEY = "vote_accuracy"
STEM = "ensemble_result_"
CLOSE = 0.05  # of steps that count as equally many


def arm(whole: Experiment) -> str | None:
    """Return the arm of the original study's rule in this record."""
    return next((a for a in whole.arms() if a == RULE or a.endswith("-iddl")), None)


def by_size(whole: Experiment) -> dict[int, dict[int, float]]:
    """Return the accuracy of the vote by size, and by seed in each."""
    found: dict[int, dict[int, float]] = {}
    for run in whole.done():
        for row in run.rows if run.arm == arm(whole) else ():
            value = row.get(KEY, row.get("test_accuracy"))
            if row["epoch"] in SIZES and value is not None:
                found.setdefault(row["epoch"], {})[run.seed] = value
    return dict(sorted(found.items()))


def as_long(whole: Experiment) -> dict[int, dict[int, float]]:
    """Return by size, and seed, the accuracy of one net that made as many steps as the rule.

    The rule makes two steps of nearly every batch from the second member on; sizes for which no
    net was trained as long are left out.
    """
    found: dict[int, dict[int, float]] = {}
    runs = [run for run in whole.done() if run.arm == arm(whole)]
    ones = {run.seed: run.rows for run in whole.done() if run.arm.endswith("-single")}
    for run in runs:
        for row in run.rows:
            near = [one for one in ones.get(run.seed, ()) if _alike(one, row)]
            if row["epoch"] in SIZES and near:
                found.setdefault(row["epoch"], {})[run.seed] = near[0]["test_accuracy"]
    return found


def _alike(one: dict[str, Any], row: dict[str, Any]) -> bool:
    steps = one.get("steps"), row.get("steps")
    return None not in steps and abs(steps[0] - steps[1]) <= CLOSE * steps[1]  # pyright: ignore


def gains(whole: Experiment) -> dict[int, Interval]:
    """Return how much more accurate each size is than one member, paired by seed."""
    sizes = by_size(whole)
    first = sizes.get(1, {})
    pairs = {
        m: [v - first[s] for s, v in found.items() if s in first] for m, found in sizes.items()
    }
    return {m: interval(values) for m, values in pairs.items() if m > 1 and values}


def draw(whole: Experiment, note: str) -> Iterator[Picture]:
    """Draw a bar for each size, and the line of a single member."""
    sizes = by_size(whole)
    if not sizes:
        return
    data = {m: interval(found.values()) for m, found in sizes.items()}
    fig, ax = _axes(note)
    _bars(ax, data, [FIRST if m == 1 else REST for m in data])
    if 1 in data:
        ax.axhline(data[1].mean, color=LINE, linestyle="-.", label="a single member")
        ax.legend(loc="upper left", frameon=False)
    low, high = min(i.ends[0] for i in data.values()), max(i.ends[1] for i in data.values())
    room = 0.35 * max(high - low, 0.01)
    ax.set(ylabel="test accuracy", ylim=(max(0, low - room), high + 2 * room))
    for m, i in data.items():
        ax.annotate(f"{100 * i.mean:.1f} %", (list(data).index(m), i.ends[1]), (0, 3),
                    textcoords="offset points", ha="center", fontsize=10)  # fmt: skip
    yield "fig_ensemble_experiments", fig, {"note": note, "series": _plain(data)}


def improved(whole: Experiment, note: str) -> Iterator[Picture]:
    """Draw what each size gains over one member, beside what was published."""
    found = gains(whole)
    if not found:
        return
    data = {m: _times(100, i) for m, i in found.items()}
    fig, ax = _axes(note)
    _bars(ax, data, [REST] * len(data))
    old = [100 * (PUBLISHED[m] - PUBLISHED[1]) for m in data]
    if whole.plan != "original":
        ax.plot(range(len(data)), old, "D", color="black", markersize=5,
                label="as published (width 64, all images, one run)")  # fmt: skip
        ax.legend(loc="upper left", frameon=False)
        ax.margins(y=0.25)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_ylabel("accuracy minus a single member's, points")
    yield "fig_ensemble_experiments_improved", fig, {"note": note, "series": _plain(data)}


def _times(scale: float, i: Interval) -> Interval:
    return replace(i, mean=scale * i.mean, **{
        end: None if v is None else scale * v for end, v in (("low", i.low), ("high", i.high))
    })  # fmt: skip


def _axes(note: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    with figure.style():
        fig = Figure(figsize=(7, 4.4))
        ax = fig.add_subplot()
        titles.headline(fig, note)
    ax.grid(visible=False, axis="x")
    ax.set_xlabel("# of base classifiers")
    return fig, ax


def _bars(ax: Any, data: dict[int, Interval], colors: list[str]) -> None:
    means = [i.mean for i in data.values()]
    ends = [[abs(i.mean - i.ends[k]) for i in data.values()] for k in (0, 1)]
    ax.bar(range(len(data)), means, yerr=ends, capsize=4, width=0.6, color=colors)
    ax.set_xticks(range(len(data)), [str(m) for m in data])


def _plain(data: dict[int, Interval]) -> dict[str, list[float]]:
    return {"members": list(data), **figure.columns(data.values())}


def dump(whole: Experiment, index: str) -> dict[int, float]:
    """Return size and mean accuracy of the sizes that the original script ran for this argument."""
    found = by_size(whole)
    return {m: interval(found[m].values()).mean for m in INDEX[index] if m in found}


def read(path: Path) -> Experiment:
    """Read a dump of sizes and accuracies, with that of the other argument beside it.

    Raises:
        ValueError: something else than plain sizes with their accuracies; nothing in it was run.
    """
    found = _load(path)
    for other in sorted(path.parent.glob(f"{STEM}*.pkl")):
        if other.name[len(STEM)] != path.name[len(STEM)]:
            found = _load(other) | found
    rows: list[dict[str, Any]] = [
        {"epoch": m, KEY: v, "test_accuracy": v} for m, v in sorted(found.items())
    ]
    run = Run(RULE, 0, RULE, {"data": "cifar10"}, rows)
    return Experiment("ensemble", "original", "a dump of sizes and accuracies", [run])


def _load(path: Path) -> dict[int, float]:
    found = store.load_plain(path)
    if not isinstance(found, dict) or not found or not all(starmap(_is_point, found.items())):
        raise ValueError(
            f"{path} is no dump of sizes: expected a dict of sizes with accuracies in [0, 1], got "
            f"{found!r:.99}"
        )
    return found


def _is_point(size: Any, accuracy: Any) -> bool:
    return type(size) is int and size > 0 and type(accuracy) is float and 0 <= accuracy <= 1
