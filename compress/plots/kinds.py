"""Error over bytes for kinds of nets: what places of connections cost, and what they are worth.

fig_compress_experiments_bytes    a line for each kind of net: its best files
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from compress.plots.files import text
from compress.plots.told import files, points, runs, stands_on
from harness.experiment import Experiment
from harness.result import figure, pictures, titles

__all__ = ["NAMES", "drawers", "frontier", "text"]

NAMES = {
    "narrow": "dense, narrow",
    "bibd": "a design",
    "fan_in": "random, from a seed",
    "subset": "part of a design",
    "rigl": "RigL",
    "gradual": "pruned",
}


def drawers(whole: Experiment) -> pictures.Drawers:
    """Return what draws each picture, by the picture's name."""
    name = "fig_compress_experiments_bytes"
    return {name: partial(_kinds, whole, name)}


def _kinds(whole: Experiment, name: str) -> Iterator[pictures.Picture]:
    data = {kind: found for kind in NAMES if (found := frontier(whole, kind))["x"]}
    if not data:
        return
    from matplotlib.figure import Figure

    note = stands_on(whole)
    with figure.style():
        fig = Figure(figsize=(7.4, 4.8))
        ax = fig.add_subplot()
        for i, (kind, found) in enumerate(data.items()):
            figure.bars(ax, found, i, NAMES[kind])
        ax.set(xscale="log", yscale="log")
        ax.set(xlabel="bytes on the disk (log)", ylabel="test error, % (log)")
        ax.legend(fontsize=9)
        titles.headline(fig, note)
    yield name, fig, {"note": note, "series": data}


def frontier(whole: Experiment, kind: str) -> dict[str, list[float]]:
    """Return the files of a kind that no smaller one of it betters, small to large, to be drawn."""
    return points(best(whole, kind))


def best(whole: Experiment, kind: str) -> list[dict[str, Any]]:
    """Return the files of a kind that no smaller one of it betters, small to large."""
    arms = [arm for arm in whole.arms() if arm.rpartition("-")[0] == kind]
    found = [f for arm in arms if runs(whole, arm) for f in files(runs(whole, arm), -1)]
    kept: list[dict[str, Any]] = []
    for file in sorted(found, key=lambda f: f["bytes"].mean):
        if not kept or file["error"].mean < kept[-1]["error"].mean:
            kept.append(file)
    return kept
