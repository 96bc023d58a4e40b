"""Draws the plans of SpecTrain's nets and of optimizers; plot_parallel_experiments.py calls it.

nets          accuracy of each method with 2 and 4 stages, a panel for each net; a line: no pipeline
optimizers    accuracy over the rate, a panel for each optimizer and number of stages
"""

from collections.abc import Iterator
from typing import Any

from matplotlib.figure import Figure

from harness.experiment import Experiment
from harness.result import figure, titles
from harness.result.pictures import Drawers, Picture
from harness.result.stats import Interval, interval, paired
from parallel.plans import optimizers, spectrain
from parallel.plots.staleness import LOOKS, NAMES, rate_axis, stands_on

KEY = "test_accuracy"
NONE: dict[str, list] = {"x": []}


def drawers(whole: Experiment) -> Drawers:
    """Return what draws each picture, by the picture's name."""
    if whole.plan in optimizers.PLANS:
        return {"parallel_optimizers": lambda: by_rate(whole)}
    return {"parallel_nets": lambda: by_net(whole)}


def reached(whole: Experiment, arm: str) -> Interval | None:
    """Accuracy of an arm, if it was run."""
    values = whole.last(arm, KEY)
    return interval(values.values()) if values else None


def by_net(whole: Experiment) -> Iterator[Picture]:
    """Draw a panel for each net."""
    nets = list(dict.fromkeys(run.config["net"] for run in whole.done()))
    data = {net: _methods(whole, net) for net in nets}
    with figure.style():
        fig = Figure(figsize=(max(4.4 * len(nets) + 0.6, 5.8), 3.8))  # (the legend is as wide)
        axes = fig.subplots(1, len(nets), squeeze=False)[0]
        for ax, (net, found) in zip(axes, data.items(), strict=True):
            if "sgd" in found:
                low, high = found["sgd"]["low"][0], found["sgd"]["high"][0]
                ax.axhspan(low, high, color=figure.tint(figure.COLORS[0]), zorder=0.5)
                ax.axhline(found["sgd"]["mean"][0], color=figure.COLORS[0], label=NAMES["sgd"])
            for k, n in enumerate(spectrain.STAGES):
                _row(ax, found.get(f"{n} stages", NONE), k, f"{n} stages")
            places = range(len(spectrain.METHODS))
            ax.set_xticks(places, [NAMES[m].split(" (")[0] for m in spectrain.METHODS], rotation=20)
            ax.set_xlim(-0.5, len(places) - 0.5)
            ax.set_title(net, fontsize=10)
        axes[0].set_ylabel("test accuracy")
        handles, names = axes[0].get_legend_handles_labels()
        fig.legend(handles, names, loc="outside lower center", ncols=3)
        titles.letters(axes)
        titles.headline(fig, stands_on(whole))
    yield "parallel_nets", fig, {"note": stands_on(whole), "series": data}


def _methods(whole: Experiment, net: str) -> dict[str, dict]:
    """Mean and interval by number of stages, over the methods."""
    found: dict[str, dict] = {}
    if plain := reached(whole, f"{net}-sgd"):
        found["sgd"] = figure.columns([plain])
    for n in spectrain.STAGES:
        some = [
            (k, i)
            for k, name in enumerate(spectrain.METHODS)
            if (i := reached(whole, f"{net}-{name}-{n}"))
        ]
        if some:
            found[f"{n} stages"] = {"x": [k for k, _ in some]}
            found[f"{n} stages"] |= figure.columns(i for _, i in some)
    return found


def _row(ax: Any, line: dict[str, list], k: int, label: str) -> None:
    aside = 0.16 * (2 * k - 1)
    for place in set(range(len(spectrain.METHODS))) - set(line["x"]):
        words: Any = dict(rotation=90, ha="center", va="bottom", fontsize=7, color="0.4")
        ax.text(
            place + aside, 0.02, f"{label}: not run", transform=ax.get_xaxis_transform(), **words
        )
    if line["x"]:
        ends = [
            [abs(m - v) for m, v in zip(line["mean"], line[side], strict=True)]
            for side in ("low", "high")
        ]
        look: Any = figure.look(k + 1) | {"linestyle": ""}
        x = [v + aside for v in line["x"]]
        ax.errorbar(x, line["mean"], yerr=ends, capsize=3, label=label, **look)


def by_rate(whole: Experiment) -> Iterator[Picture]:
    """Draw a row for each number of stages, a column for each optimizer."""
    kinds = [k for k in optimizers.RATES if any(r.config["optimizer"] == k for r in whole.done())]
    data = {
        (kind, n): {
            method: line for method in optimizers.METHODS if (line := _line(whole, method, kind, n))
        }
        for n in optimizers.STAGES
        for kind in kinds
    }
    with figure.style():
        fig = Figure(figsize=(2.9 * len(kinds) + 2.2, 5.8))
        axes = fig.subplots(len(optimizers.STAGES), len(kinds), sharey=True, squeeze=False)
        for ax, ((kind, n), lines) in zip(axes.flat, data.items(), strict=True):
            for name, line in lines.items():
                figure.bars(ax, line, LOOKS[name], NAMES[name].removesuffix(" (SGD)"))
            ax.set_title(f"{optimizers.TITLES[kind]}, {n} stages", fontsize=10)
            rate_axis(ax.xaxis, ax.set_xscale, list(optimizers.RATES[kind]))
        for ax in axes[-1]:
            ax.set_xlabel("learning rate")
        for ax in axes[:, 0]:
            ax.set_ylabel("test accuracy")
        handles, names = axes[0][0].get_legend_handles_labels()
        fig.legend(handles, names, loc="outside lower center", ncols=3)
        titles.letters(axes.flat)
        titles.headline(fig, stands_on(whole))
    series = {f"{kind}, {n} stages": lines for (kind, n), lines in data.items()}
    yield "parallel_optimizers", fig, {"note": stands_on(whole), "series": series}


def _line(whole: Experiment, method: str, kind: str, stages: int) -> dict[str, list]:
    some = [
        (rate, i)
        for rate in optimizers.RATES[kind]
        if (i := reached(whole, f"{method}-{kind}-{stages}-{rate:g}"))
    ]
    return {"x": [r for r, _ in some], **figure.columns(i for _, i in some)} if some else {}


def table(whole: Experiment) -> Iterator[str]:
    """Yield a line per arm: its accuracy, minus no pipeline, and the script's where it has one."""
    yield stands_on(whole)
    for arm in whole.arms():
        found = reached(whole, arm)
        if found is None:
            continue
        text = f"{arm:<32} {found.text(100, 2)}"
        if less := _less(whole, arm):
            text += f"   minus no pipeline: {less}"
        if arm in spectrain.PUBLISHED:
            text += f"   script, one run: {spectrain.PUBLISHED[arm]:.2f}"
        yield text


def _less(whole: Experiment, arm: str) -> str:
    """The difference to the arm without a pipeline, in points; in words where none is shown."""
    reference = next((r for a, r in _pairs(whole.plan) if a == arm), None)
    if reference is None:
        return ""
    found = paired(arm, reference, whole.last(arm, KEY), whole.last(reference, KEY))
    if found is None:
        return ""
    unsure = found.interval.low is not None and not found.interval.excludes_zero
    return found.interval.amount(100, 2) + " (no difference shown)" * unsure


def _pairs(plan: str) -> tuple[tuple[str, str], ...]:
    every = {**spectrain.PLANS, **optimizers.PLANS}[plan].compare
    return tuple(pair for pair in every if "sgd-" in pair[1] or pair[1].endswith("-sgd"))
