"""Draws the figures of plans `balance` and `density`; plot_mlp_experiments.py calls it.

effects      each pattern against random_biregular, paired by seed, with intervals
predictors   accuracy of each pattern against the three numbers of mlp.plots.contrasts
density      accuracy against connections, one line per pattern
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from statistics import fmean
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from harness.experiment import Experiment
from harness.result import figure, titles
from harness.result.pictures import Drawers, Picture, all_of
from harness.result.stats import Difference, Interval, interval, paired
from mlp.plans.balance import IMAGES, NARROW, PATTERNS
from mlp.plots import contrasts as balance

REFERENCE = "biregular"
KEY = "test_accuracy"
COMPARED = [*(p for p in PATTERNS if p != REFERENCE), "bibd-canonical", "iddl-canonical"]
NAMES = {
    "bibd": "BIBD",
    "iddl": "modular (iddl)",
    "biregular": "random, both degrees equal",
    "fan-in": "random, equal fan-in",
    "random": "random",
    "grouped": "grouped",
    "narrow": "dense, narrow",
    "bibd-canonical": "BIBD, lines of the image",
    "iddl-canonical": "modular, lines of the image",
}
IMAGE_NAMES = {"mnist": "MNIST", "fashion": "Fashion-MNIST"}
LENGTH_NAMES = {"short": "10 epochs", "flat": "until flat"}
MEANINGS = {
    "sigma2": "second singular value / least",
    "coverage": "share of pairs read together",
    "imbalance": "variance of pair coverage",
}


def figures(whole: Experiment) -> list[Picture]:
    """Return name, figure and data of each picture that the finished runs allow."""
    return all_of(drawers(whole))


def drawers(whole: Experiment) -> Drawers:
    """Return what draws each picture, by the picture's name."""
    found = {"balance": (effects, predictors), "density": (density,)}[whole.plan]
    return {f"mlp_experiments_{draw.__name__}": partial(draw, whole) for draw in found}


def note(whole: Experiment, names: Sequence[str] | None = None) -> str:
    """Say what the numbers stand on, for the arms that start with these names or for all."""
    arms = [a for a in whole.arms() if names is None or a.rsplit("-", 2)[0] in names]
    span = titles.span(len(whole.last(arm, "test_accuracy")) for arm in arms)
    return f"official test sets, trained on 55,000, {span} seeds"


def effects(whole: Experiment) -> Iterator[Picture]:
    """Draw the effect of each pattern: a panel per setting, with the reference as line at 0."""
    data = {
        f"{images} {length}": {
            name: vars(found[images, length].interval)
            for name in COMPARED
            if (images, length) in (found := balance.effects(whole, name, REFERENCE))
        }
        for images, length in balance.SETTINGS
    }
    if not any(data.values()):
        return
    with figure.style():
        fig = Figure(figsize=(11, 4.2))
        axes = fig.subplots(1, len(data), sharey=True, sharex=True)
        for ax, (images, length) in zip(axes, balance.SETTINGS, strict=True):
            _forest(ax, data[f"{images} {length}"])
            ax.set_title(f"{IMAGE_NAMES[images]}, {LENGTH_NAMES[length]}", fontsize=10)
        axes[0].set_yticks(range(len(COMPARED)), [NAMES[name] for name in COMPARED])
        axes[0].set_ylim(len(COMPARED) - 0.5, -0.5)
        words = f"test accuracy minus that of “{NAMES[REFERENCE]}”, points"
        fig.supxlabel(words, fontsize=11)
        on = note(whole, [REFERENCE, *COMPARED])
        words = "95 % intervals, paired by seed; diamonds: the interval excludes 0"
        titles.letters(axes)
        titles.headline(fig, f"{on}, {words}")
    yield "mlp_experiments_effects", fig, {"note": on, "reference": REFERENCE, **data}


def _forest(ax: Any, found: dict[str, dict]) -> None:
    ax.axvline(0, color="black", linewidth=1)
    for row, name in enumerate(COMPARED):
        if name in found:
            i = found[name]
            (low, high), sure = Interval(**i).ends, Interval(**i).excludes_zero
            ax.errorbar(
                100 * i["mean"],
                row,
                xerr=[[100 * (i["mean"] - low)], [100 * (high - i["mean"])]],
                color=figure.COLORS[1 if sure else 0],
                marker="D" if sure else "o",
                capsize=3,
            )
    ax.tick_params(axis="y", length=0)


def predictors(whole: Experiment) -> Iterator[Picture]:
    """Draw a row per set of images, a column per number that might predict its accuracy."""
    found = {
        f"{images} {length}": {name: vars(i) for name, i in values.items()}
        for images, length in balance.SETTINGS
        if (values := balance.deviations(whole, images, length))
    }
    if not found:
        return
    numbers = {name: balance.measures(balance.arm(name, "mnist", "short")) for name in PATTERNS}
    rows = [images for images in IMAGES if any(s.startswith(f"{images} ") for s in found)]
    columns = balance.PREDICTORS
    with figure.style():
        fig = Figure(figsize=(10, 2.9 * len(rows) + 1.2))
        axes = fig.subplots(len(rows), len(columns), sharey=True, sharex="col", squeeze=False)
        for line, images in zip(axes, rows, strict=True):
            for ax, predictor in zip(line, columns, strict=True):
                x = {name: numbers[name][predictor] for name in PATTERNS}
                _deviations(ax, found, images, x, log=predictor == "imbalance")
            line[0].set_ylabel(f"{IMAGE_NAMES[images]}: accuracy\nminus mean of the six, points")
        for ax, predictor in zip(axes[-1], columns, strict=True):
            ax.set_xlabel(MEANINGS[predictor])
        fig.legend(handles=_keys(), loc="outside lower center", ncols=4, fontsize=9)
        on = note(whole, list(PATTERNS))
        words = "95 % intervals, paired by seed; patterns of about one value stand side by side"
        titles.letters(fig.axes)
        titles.headline(fig, f"{on}; {words}")
    data = {"note": on, "points": found, "numbers": numbers}
    yield "mlp_experiments_predictors", fig, data


def _deviations(ax: Any, found: dict[str, dict], images: str, x: dict[str, float], log: bool):
    """Draw one panel: full signs for nets trained until flat, hollow ones for ten epochs."""
    ax.axhline(0, color="black", linewidth=1)
    if log:
        ax.set_xscale("log")
        ax.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
    places = _side_by_side(x, log)
    for length, shift in (("short", -0.008), ("flat", 0.008)):
        for i, name in enumerate(PATTERNS if f"{images} {length}" in found else ()):
            value = found[f"{images} {length}"][name]
            low, high = (100 * abs(v - value["mean"]) for v in Interval(**value).ends)
            look: Any = figure.look(i) | dict(linestyle="", markersize=5, elinewidth=1)
            face = dict(markerfacecolor="white") if length == "short" else {}
            at = places(name, shift)
            ax.errorbar(at, 100 * value["mean"], yerr=[[low], [high]], **look, **face)


def _side_by_side(x: dict[str, float], log: bool) -> Callable[[str, float], float]:
    """Return where a name stands, moved by a share of the axis; neighbours keep a distance."""
    near, apart = 0.05, 0.045  # shares of the axis
    there = {name: math.log(v) if log else v for name, v in x.items()}
    low, span = min(there.values()), (max(there.values()) - min(there.values())) or 1.0
    groups: list[list[str]] = []
    for name in sorted(there, key=lambda name: there[name]):
        close = groups and there[name] - there[groups[-1][-1]] < near * span
        groups[-1].append(name) if close else groups.append([name])
    places = {}
    for group in groups:
        middle = (fmean(there[name] for name in group) - low) / span
        for k, name in enumerate(group):
            places[name] = middle + apart * (k - (len(group) - 1) / 2)

    def at(name: str, shift: float) -> float:
        value = low + span * (places[name] + shift)
        return math.exp(value) if log else value

    return at


def _keys() -> list[Line2D]:
    """Return a sign for each pattern, and what full and hollow ones say."""
    signs = [
        Line2D([], [], **{**figure.look(i), "linestyle": ""}, label=NAMES[name])
        for i, name in enumerate(PATTERNS)
    ]
    for length, face in (("flat", "#777777"), ("short", "white")):
        style: Any = dict(color="#777777", marker="o", linestyle="", markerfacecolor=face)
        text = f"{'full' if length == 'flat' else 'hollow'}: {LENGTH_NAMES[length]}"
        signs.append(Line2D([], [], **style, label=text))
    return signs


def density(whole: Experiment) -> Iterator[Picture]:
    """Draw errors and differences of plan `density`, for each set of images."""
    data = {
        images: {
            name: line for name in (*PATTERNS, "narrow") if (line := _line(whole, name, images))
        }
        for images in IMAGES
    }
    if not any(data.values()):
        return
    gaps = {images: _gaps(whole, images) for images in IMAGES}
    with figure.style():
        fig = Figure(figsize=(10, 7.4))
        axes = fig.subplots(2, len(data), sharex="col")
        for (above, below), images in zip(axes.T, data, strict=True):
            _errors(above, data[images])
            _differences(below, gaps[images])
            ticks = max((line["connections"] for line in data[images].values()), key=len)
            below.set_xticks(ticks, [f"{n:,}" for n in ticks])
            below.xaxis.set_minor_locator(NullLocator())
            below.set_xlabel("connections")
            above.set_title(IMAGE_NAMES[images], fontsize=10)
        axes[0, 0].set_ylabel("test error, %")
        words = f"accuracy minus that of\n“{NAMES[REFERENCE]}”,\npoints, paired by seed"
        axes[1, 0].set_ylabel(words, fontsize=10)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9)
        titles.letters(fig.axes)
        words = f"1024 → q² → q²+q → 10 for q = 8, 16, 32; 10 epochs; {note(whole)}, 95 % intervals"
        titles.headline(fig, words)
    yield "mlp_experiments_density", fig, {"note": note(whole), **data, "differences": gaps}


def _errors(ax: Any, lines: dict[str, dict]) -> None:
    """Draw the test error in percent, on a scale that has room for all there is."""
    for i, (name, line) in enumerate(lines.items()):
        errors = {"mean": [100 * (1 - v) for v in line["mean"]]}
        errors["low"] = [100 * (1 - v) for v in line["high"]]
        errors["high"] = [100 * (1 - v) for v in line["low"]]
        x = figure.beside(line["connections"], i, len(lines), 0.014)
        figure.bars(ax, {"x": x, **errors}, i, NAMES[name])
    ax.set(xscale="log", yscale="log")
    low, high = ax.get_ylim()
    shown = [n for n in (1, 2, 3, 5, 7, 10, 12, 15, 20, 30, 50) if low <= n <= high]
    ax.set_yticks(shown, list(map(str, shown)))
    ax.yaxis.set_minor_locator(NullLocator())


def _differences(ax: Any, gaps: dict[str, dict]) -> None:
    """Draw differences to the reference, a line at 0, which the scale of errors hides."""
    ax.axhline(0, color="black", linewidth=1)
    for i, name in enumerate((*PATTERNS, "narrow")):
        if name in gaps and name != "narrow":  # (that one would set the scale)
            found = gaps[name]
            points = {k: [100 * v for v in found[k]] for k in ("mean", "low", "high")}
            x = figure.beside(found["connections"], i, len(PATTERNS) + 1, 0.03)
            figure.bars(ax, {"x": x, **points}, i, NAMES[name])


def _gaps(whole: Experiment, images: str) -> dict[str, dict]:
    """Return each pattern minus the reference at each size, paired by seed."""
    connections = {run.arm: run.facts["connections"] for run in whole.done()}
    found: dict[str, dict] = {}
    for name in (*PATTERNS, "narrow"):
        pairs = [(f"{name}-{q}-{images}", f"{REFERENCE}-{q}-{images}") for q in NARROW]
        known = [
            (connections[a], difference.interval)
            for a, b in pairs
            if name != REFERENCE and a in connections
            if (difference := _against(whole, a, b))
        ]
        if known:
            found[name] = {"connections": [n for n, _ in known]}
            found[name] |= figure.columns(i for _, i in known)
    return found


def _against(whole: Experiment, a: str, b: str) -> Difference | None:
    return paired(a, b, whole.last(a, "test_accuracy"), whole.last(b, "test_accuracy"))


def _line(whole: Experiment, name: str, images: str) -> dict[str, list]:
    arms = [f"{name}-{q}-{images}" for q in NARROW]
    runs = {run.arm: run.facts["connections"] for run in whole.done() if run.arm in arms}
    found = [interval(whole.last(arm, "test_accuracy").values()) for arm in arms if arm in runs]
    if not found:
        return {}
    return {
        "connections": [runs[arm] for arm in arms if arm in runs],
        **figure.columns(found),
    }
