"""Draws the figure of plan `tiles`: accuracy against the side of a tile, at equal connections."""

from collections.abc import Iterator
from functools import partial

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from harness.experiment import Experiment
from harness.result import figure, titles
from harness.result.pictures import Drawers, Picture
from harness.result.stats import Interval, interval
from mlp.plans.tiles import TILES
from mlp.plots.balance import note

KEY = "test_accuracy"


def drawers(whole: Experiment) -> Drawers:
    """Return what draws the picture, by its name."""
    return {"mlp_experiments_tiles": partial(tiles, whole)}


def accuracies(whole: Experiment) -> dict[str, Interval]:
    """Return the accuracy of each arm that has at least two seeds."""
    found = {arm: list(whole.last(arm, KEY).values()) for arm in whole.arms()}
    return {arm: interval(values) for arm, values in found.items() if len(values) > 1}


def tiles(whole: Experiment) -> Iterator[Picture]:
    """Draw the accuracy over the side of a tile, with that of random connections as a level."""
    found = accuracies(whole)
    there = [t for t in TILES if f"tile-{t}" in found]
    if not there:
        return
    line = {"tile": there, **figure.columns(found[f"tile-{t}"] for t in there)}
    level = figure.columns([found["random"]]) if "random" in found else {}
    with figure.style():
        fig = Figure(figsize=(6.4, 4.4))
        ax = fig.subplots()
        points = {k: [100 * v for v in line[k]] for k in ("mean", "low", "high")}
        figure.bars(ax, {"x": there, **points}, 0, "design over tiles")
        if level:
            low, mean, high = (100 * level[k][0] for k in ("low", "mean", "high"))
            ax.axhspan(low, high, color=figure.tint("C1"), zorder=0)
            ax.axhline(mean, color="C1", linestyle="--", label="random, both degrees equal")
        ax.set_xscale("log")
        ax.set_xticks(there, list(map(str, there)))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set(xlabel="side of a tile", ylabel="test accuracy, %")
        ax.legend()
        words = f"1024 → 1024 → 1024 → 10, 32 connections an output, Fashion-MNIST; {note(whole)}"
        titles.headline(fig, f"{words}, 95 % intervals")
    yield "mlp_experiments_tiles", fig, {"note": note(whole), "line": line, "random": level}
