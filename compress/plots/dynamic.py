"""Error over density, for nets whose connections stay, move, or are pruned.

fig_compress_experiments_dynamic    a line for each method, a band for the dense net, and what
                                    Sparse Momentum published for the same net on MNIST
"""

from collections.abc import Iterator
from functools import partial
from math import nan
from statistics import fmean
from typing import Any

from harness.experiment import Experiment, Run
from harness.result import figure, pictures, titles
from harness.result.stats import Interval, interval

NAMES = {
    "static": "random places, which stay",
    "set": "SET: grows at random",
    "rigl": "RigL: grows by gradients",
    "rigl_fan_in": "RigL, constant fan-in",
    "gradual": "dense, pruned gradually",
}
# Sparse Momentum, LeNet-300-100, MNIST, 100 epochs: per cent kept, per cent of error.
MOMENTUM = {1: 2.36, 1.5: 2.05, 1.8: 1.98, 2: 1.99, 4.4: 1.55, 5: 1.53, 8: 1.447}
ALONE = {"dense": "dense", "bibd": "a design", "static-bibd": "as many at random places"}


def drawers(whole: Experiment) -> pictures.Drawers:
    """Return what draws each picture, by the picture's name."""
    name = "fig_compress_experiments_dynamic"
    return {name: partial(_draw, whole, name)}


def stands_on(whole: Experiment) -> str:
    """Say data, split, epochs and seeds in one line."""
    run = next(iter(whole.done()))
    seeds = len({r.seed for r in whole.done()})
    split, hidden = run.facts.get("split", "?"), "-".join(map(str, run.config["hidden"]))
    epochs = run.config["epochs"]
    return f"hidden {hidden}, {run.config['data']} ({split}), {epochs} epochs, " + titles.seeds(
        [seeds]
    )


def error(whole: Experiment, arm: str) -> Interval | None:
    """Return the error of an arm in per cent, with its interval."""
    values = whole.last(arm, "test_accuracy").values()
    return interval([100 * (1 - v) for v in values]) if values else None


def density(whole: Experiment, arm: str) -> float:
    """Return the connections of an arm over the dense net's, in per cent."""
    found = {
        run.arm: run.facts["connections"] for run in whole.done() if "connections" in run.facts
    }
    return 100 * found[arm] / found["dense"]


def line(whole: Experiment, method: str) -> dict[str, list[float]]:
    """Return density and error of a method, from few to many connections."""
    arms = [a for a in whole.arms() if a.startswith(f"{method}-") and a not in ALONE]
    points = sorted((density(whole, a), e) for a in arms if (e := error(whole, a)))
    return {"x": [x for x, _ in points], **figure.columns(e for _, e in points)}


def _draw(whole: Experiment, name: str) -> Iterator[pictures.Picture]:
    if error(whole, "dense") is None:
        return
    data = {method: line(whole, method) for method in NAMES}
    data = {method: points for method, points in data.items() if points["x"]}
    if not data:
        return
    from matplotlib.figure import Figure

    note = stands_on(whole)
    with figure.style():
        fig = Figure(figsize=(7.4, 4.6))
        ax = fig.add_subplot()
        for i, (method, points) in enumerate(data.items()):
            moved = points | {"x": figure.beside(points["x"], i, len(data), 0.02)}
            figure.bars(ax, moved, i, NAMES[method])
        alone = _alone(ax, whole, len(data))
        _published(ax, whole)
        ax.set_xscale("log")
        equal = "equal numbers are drawn beside each other"
        ax.set(xlabel=f"connections, % of the dense net's (log; {equal})", ylabel="test error, %")
        ax.legend(fontsize=9)
        titles.headline(fig, note)
    yield name, fig, {"note": note, "series": data | alone}


def _alone(ax: Any, whole: Experiment, i: int) -> dict[str, Any]:
    dense: Any = error(whole, "dense")
    grey: Any = dict(color="#000000", alpha=figure.SHARE, label=figure.BAND, linewidth=0)
    ax.fill_between([0, 1], *dense.ends, transform=ax.get_yaxis_transform(), **grey)
    ax.axhline(dense.mean, color="black", linewidth=1, label="dense")
    found = {"dense": {"x": [100.0], **figure.columns([dense])}}
    for k, arm in enumerate(("bibd", "static-bibd")):
        if e := error(whole, arm):
            found[arm] = {"x": [density(whole, arm)], **figure.columns([e])}
            moved = found[arm] | {"x": figure.beside(found[arm]["x"], k, 2, 0.02)}
            figure.bars(ax, moved, i + k, ALONE[arm])
    return found


def _published(ax: Any, whole: Experiment) -> None:
    config = next(iter(whole.done())).config
    if config["data"] == "mnist" and list(config["hidden"]) == [300, 100]:
        x, y = zip(*MOMENTUM.items(), strict=True)
        ax.plot(x, y, "k+", markersize=8, label="Sparse Momentum (published)")


def text(whole: Experiment) -> Iterator[str]:
    """Yield the table: connections, error, CPU seconds of training."""
    yield stands_on(whole)
    yield f"{'':<16} {'connections':>11}  {'error, %':<20} {'CPU s':>8} {'held, KiB':>9}"
    for arm in whole.arms():
        if (e := error(whole, arm)) is not None:
            runs = [r for r in whole.done() if r.arm == arm]
            seconds = fmean(sum(row["train_time"] for row in r.rows) for r in runs)
            count = runs[0].facts["connections"]
            kib = f"{held(runs):,.0f}"
            yield f"{arm:<16} {count:>11,}  {e.amount(1, 2):<20} {seconds:>8.1f} {kib:>9}"


def held(runs: list[Run]) -> float:
    """Return what trainings hold in memory, in KiB, in the mean; NaN where records say nothing."""
    told = [run.rows[-1]["memory"]["all"] / 1024 for run in runs if "memory" in run.rows[-1]]
    return fmean(told) if told else nan
