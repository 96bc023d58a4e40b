"""Nets asked in turn: accuracy over what is spent, beside single nets of every size.

cascade    accuracy over expected multiply-adds, and over CPU time at batch 1 and 128

A line is a chain under all thresholds, its mark the fitted threshold with its interval; marks
without a line are single nets. Times are multiples of the dense net's, measured in turn with it.
"""

from collections.abc import Iterator
from math import isclose
from statistics import fmean
from typing import Any

from ensemble.plans.cascade import ARMS, SINGLE
from harness.experiment import Experiment, Run
from harness.result import figure, titles
from harness.result.pictures import Drawers, Picture
from harness.result.stats import interval

NAMES = {
    "narrow-4": "4 narrow, averaged",
    "wide-4": "4 wide sparse, averaged",
    "sparse-22": "22 sparse, averaged",
    "sparse>narrow-4": "sparse, then 4 narrow",
    "sparse>dense": "sparse, then dense",
    "slim>dense": "slim, then dense",
    "half>dense": "half, then dense",
    "dense-exits": "exits of dense",
    "stairs-exits": "exits of stairs",
    "wide-exits": "exits of wide sparse",
    "sparse>stairs-exits": "sparse, then exits of stairs",
}
KINDS = {"dense, of every size": ("dense", "half", "quarter", "eighth", "slim"),
         "sparse": ("sparse", "wide")}  # fmt: skip
AXES = {
    "macs": "expected MACs (thousands)",
    "1": "CPU time at batch 1, over the dense net's",
    "128": "CPU time at batch 128, over the dense net's",
}


def drawers(whole: Experiment) -> Drawers:
    """Return what draws each picture, by its name."""
    return {"ensemble_cascade": lambda: _draw(whole)}


def stands_on(whole: Experiment) -> str:
    """Say data, split, epochs, the bound and seeds in one line."""
    run = next(iter(whole.done()))
    seeds = titles.seeds([len({r.seed for r in whole.done()})])
    c = run.config
    loss = f"thresholds fitted to lose at most {100 * c['loss']:g} points"
    return f"{c['data']} ({run.facts['split']}), {c['each']} epochs a net, {loss}, {seeds}"


def runs(whole: Experiment, arm: str) -> list[Run]:
    """Return the finished runs of a chain."""
    return [run for run in whole.done() if run.arm == arm]


def spent(found: list[Run], axis: str) -> float:
    """Return what the chain spends under its fitted threshold, or a single net: mean of seeds."""
    if axis == "macs":
        return fmean(run.rows[-1]["macs"] for run in found) / 1e3
    return fmean(_time(run, axis, run.rows[-1].get("fitted", {}).get("threshold")) for run in found)


def _time(run: Run, batch: str, threshold: float | None) -> float:
    """Return the CPU time of a call over the dense net's."""
    lines = {
        line["name"]: line["cpu"]
        for line in run.rows[-1]["time"]
        if str(line["batch"]) == batch and _same(line["threshold"], threshold)
    }
    return lines["chain"] / lines["dense"]


def _timed(run: Run, threshold: float) -> bool:
    """Return whether a run measured this threshold; seeds have fitted ones of their own."""
    return any(_same(line["threshold"], threshold) for line in run.rows[-1]["time"])


def _same(a: float | None, b: float | None) -> bool:
    return a == b if a is None or b is None else isclose(a, b)


def curve(found: list[Run], axis: str) -> dict[str, list[float]]:
    """Return accuracy over what is spent, a point for each threshold: means of the seeds."""
    curves = [run.rows[-1]["curve"] for run in found]
    points = []
    for rows in zip(*curves, strict=True):
        if axis == "macs":
            x = [row["macs"] / 1e3 for row in rows]
        elif all(_timed(run, rows[0]["threshold"]) for run in found):
            x = [_time(run, axis, rows[0]["threshold"]) for run in found]
        else:
            continue
        points.append((fmean(x), fmean(row["accuracy"] for row in rows)))
    return {"x": [x for x, _ in points], "y": [y for _, y in points]}


def _draw(whole: Experiment) -> Iterator[Picture]:
    from matplotlib.figure import Figure

    data: dict[str, Any] = {axis: _of(whole, axis) for axis in AXES}
    if not all(found["fitted"] or found["single"] for found in data.values()):
        return
    with figure.style():
        fig = Figure(figsize=(12.5, 4.6))
        axes = fig.subplots(1, len(AXES), sharey=True)
        for ax, (axis, label) in zip(axes, AXES.items(), strict=True):
            _panel(ax, data[axis])
            ax.set_xscale("log")
            ax.tick_params(axis="x", labelsize=9, labelrotation=45)
            ax.set_xlabel(label, fontsize=9)
        axes[0].set_ylabel("test accuracy")
        axes[0].set_ylim(*_limits(data["macs"]))
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
        titles.letters(axes)
        titles.headline(fig, stands_on(whole))
    yield "ensemble_cascade", fig, {"note": stands_on(whole), "series": data}


def _of(whole: Experiment, axis: str) -> dict[str, Any]:
    """Return the points of single nets and of fitted chains, and the curves of chains."""
    single, fitted, curves = {}, {}, {}
    for kind, names in KINDS.items():
        there = [(n, rs) for n in names if (rs := runs(whole, n))]
        scores = [interval(r.rows[-1]["test_accuracy"] for r in rs) for _, rs in there]
        if there:
            x = [spent(rs, axis) for _, rs in there]
            single[kind] = {"net": [n for n, _ in there], "x": x, **figure.columns(scores)}
    for name in (n for n in ARMS if n not in SINGLE):
        if found := runs(whole, name):
            score = [interval(r.rows[-1]["test_accuracy"] for r in found)]
            fitted[name] = {"x": [spent(found, axis)], **figure.columns(score)}
            curves[name] = curve(found, axis)
    return {"single": single, "fitted": fitted, "curves": curves}


def _limits(found: dict[str, Any]) -> tuple[float, float]:
    """Return limits that show the chains, whatever the smallest nets reach."""
    lows = [v["low"][0] for v in found["fitted"].values()] or [0.0]
    highs = [max(v["high"]) for part in ("fitted", "single") for v in found[part].values()]
    highs += [y for line in found["curves"].values() for y in line["y"]]
    room = max(max(highs) - min(lows), 0.005)
    return min(lows) - 1.2 * room, min(1.0, max(highs) + 0.25 * room)


def _panel(ax: Any, found: dict[str, Any]) -> None:
    for i, (kind, points) in enumerate(found["single"].items()):
        ends = _ends(points)
        look = dict(color="black", marker="os"[i], markerfacecolor="white" if i else "black")
        ax.errorbar(points["x"], points["mean"], yerr=ends, capsize=3, linestyle="none",
                    label=f"one net, {kind}", **look)  # fmt: skip
    for i, (name, points) in enumerate(found["fitted"].items()):
        look = figure.look(i)
        line = found["curves"][name]
        ax.plot(line["x"], line["y"], color=look["color"], linestyle=look["linestyle"], linewidth=1)
        ax.errorbar(points["x"], points["mean"], yerr=_ends(points), capsize=3,
                    label=NAMES[name], markersize=7, **look)  # fmt: skip


def _ends(points: dict[str, list[float]]) -> list[list[float]]:
    return [[abs(m - v) for m, v in zip(points["mean"], points[k], strict=True)]
            for k in ("low", "high")]  # fmt: skip
