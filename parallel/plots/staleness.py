"""Draws the plans of staleness; plot_parallel_experiments.py calls it.

rates        accuracy over the rate, a column for each number of stages
largest      the largest rate within a point of SGD's best, over the number of stages
prediction   SpecTrain minus weight stashing at the same rate, paired by seed
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from harness.experiment import Experiment
from harness.result import figure, titles
from harness.result.pictures import Drawers, Picture
from parallel.plots import rates as found_of
from parallel.plots.rates import NETS, Cell, Cells

NAMES = {
    "sgd": "no pipeline (SGD)",
    "two_bw": "2BW",
    "pipedream": "PipeDream (stash)",
    "vertical_sync": "vertical sync",
    "vanilla": "vanilla",
    "recomputed": "recomputed",
    "pipemare": "PipeMare",
    "spectrain_v1": "SpecTrain v1",
    "spectrain_v2": "SpecTrain v2",
    "pipeoptim": "PipeOptim",
    "lwp": "LWP",
    "pipedream+spike": "PipeDream + spike comp.",
    "vanilla+spike": "vanilla + spike comp.",
}
ORDER = list(NAMES)
LOOKS = dict(zip(ORDER, (0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 13, 12, 14), strict=True))
KINDS = {
    "no prediction": ORDER[:7],
    "prediction, compensation": ["sgd", "pipedream", *ORDER[7:]],
}


def drawers(whole: Experiment) -> Drawers:
    """Return what draws each picture, by the picture's name."""
    return {
        f"parallel_{name}": partial(draw, whole)
        for name, draw in (("rates", rates), ("largest", largest), ("prediction", prediction))
    }


def stands_on(whole: Experiment) -> str:
    """Say data, split, epochs and seeds in one line."""
    splits = sorted({r.facts.get("split", "?") for r in whole.done()})
    sets = " and ".join(dict.fromkeys(r.config["data"] for r in whole.done()))
    epochs = "/".join(map(str, sorted({len(r.rows) for r in whole.done()})))
    seeds = titles.seeds([len({r.seed for r in whole.done()})])
    return f"{sets} ({', '.join(splits)}), {epochs} epochs, n = {seeds}"


def rates(whole: Experiment) -> Iterator[Picture]:
    """Draw a row for each net and kind of method, a column for each number of stages."""
    found = found_of.cells(whole)
    nets, depths = _axes(found)
    rows = [(net, kind) for net in nets for kind in KINDS]
    data = {
        f"{NETS[net]}, {n} stages": {
            name: line for name in ORDER if (line := _line(found, net, name, n))
        }
        for net in nets
        for n in depths
    }
    with figure.style():
        fig = Figure(figsize=(3.1 * len(depths) + 2.9, 3.0 * len(rows) + 0.8))
        axes = fig.subplots(len(rows), len(depths), sharex=True, sharey=True, squeeze=False)
        for line, (net, kind) in zip(axes, rows, strict=True):
            for ax, n in zip(line, depths, strict=True):
                lines = data[f"{NETS[net]}, {n} stages"]
                _series(ax, {k: lines[k] for k in KINDS[kind] if k in lines})
                ax.set_title(f"{NETS[net]}, {n} stages", fontsize=10)
                rate_axis(ax.xaxis, ax.set_xscale, found_of.rates(found))
            line[0].set_ylabel(f"test accuracy\n({kind})")
        for ax in axes[-1]:
            ax.set_xlabel("learning rate")
        _finish(fig, axes, stands_on(whole))
    yield "parallel_rates", fig, {"note": stands_on(whole), "series": data}


def _axes(found: Cells) -> tuple[list[str], list[int]]:
    pairs = found_of.groups(found)
    return list(dict.fromkeys(net for net, _ in pairs)), sorted({n for _, n in pairs})


def _line(found: Cells, net: str, name: str, stages: int) -> dict[str, list]:
    """Mean and interval over the rate."""
    some = [
        (rate, i)
        for rate in found_of.rates(found)
        if (i := found_of.mean(found, Cell(net, name, stages, rate)))
    ]
    return {"x": [r for r, _ in some], **figure.columns(i for _, i in some)} if some else {}


def _series(ax: Any, lines: dict[str, dict]) -> None:
    for k, (name, line) in enumerate(lines.items()):
        places = figure.beside(line["x"], k, len(lines), 0.03)
        figure.bars(ax, line | {"x": places}, LOOKS[name], NAMES[name])


def rate_axis(axis: Any, scale: Any, ticks: list[float]) -> None:
    """Make an axis logarithmic, with these rates on it."""
    scale("log")
    axis.set_ticks(ticks, [f"{v:g}".lstrip("0") for v in ticks])
    axis.set_minor_formatter("")
    axis.set_tick_params(which="minor", length=0)


def _finish(fig: Figure, axes: Any, note: str) -> None:
    handles = {
        text: handle
        for ax in axes.flat
        for handle, text in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    names = [text for text in NAMES.values() if text in handles]
    fig.legend([handles[text] for text in names], names, loc="outside right center")
    titles.letters(axes.flat)
    titles.headline(fig, note)


def largest(whole: Experiment) -> Iterator[Picture]:
    """Draw a row for each net, a column for each kind of method."""
    found = found_of.cells(whole)
    nets, depths = _axes(found)
    none = found_of.rates(found)[0] / 2  # where a method stands that holds at no rate
    data = {
        NETS[net]: {name: [found_of.holds(found, net, name, n) for n in depths] for name in ORDER}
        for net in nets
    }
    with figure.style():
        fig = Figure(figsize=(11, 3.2 * len(nets) + 1.0))
        axes = fig.subplots(len(nets), len(KINDS), sharex=True, sharey=True, squeeze=False)
        for line, net in zip(axes, nets, strict=True):
            for ax, (kind, names) in zip(line, KINDS.items(), strict=True):
                for k, name in enumerate(names):
                    y = [v or none for v in data[NETS[net]][name]]
                    spread = figure.beside(y, k, len(names), 0.025)
                    x = figure.beside(depths, k, len(names), 0.02)
                    ax.plot(x, spread, label=NAMES[name], **figure.look(LOOKS[name]))
                ax.set_title(f"{NETS[net]}, {kind}", fontsize=10)
                _depth_axes(ax, depths, [none, *found_of.rates(found)])
            line[0].set_ylabel("largest rate within a\npoint of SGD's best")
        for ax in axes[-1]:
            ax.set_xlabel("stages")
        _finish(fig, axes, stands_on(whole))
    yield "parallel_largest", fig, {"note": stands_on(whole), "stages": depths, "series": data}


def _depth_axes(ax: Any, depths: list[int], ticks: list[float]) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xticks(depths, list(map(str, depths)))
    ax.minorticks_off()
    rate_axis(ax.yaxis, ax.set_yscale, ticks)
    ax.set_yticks(ticks, ["none", *(f"{v:g}".lstrip("0") for v in ticks[1:])])


def prediction(whole: Experiment) -> Iterator[Picture]:
    """Draw a row for each net, a column for each number of stages; 0 is PipeDream."""
    found = found_of.cells(whole)
    nets, depths = _axes(found)
    data = {
        f"{NETS[net]}, {n} stages": {
            name: line for name in ORDER[7:9] if (line := _gains(found, net, name, n))
        }
        for net in nets
        for n in depths
    }
    with figure.style():
        fig = Figure(figsize=(3.1 * len(depths) + 2.4, 3.0 * len(nets) + 0.8))
        axes = fig.subplots(len(nets), len(depths), sharex=True, sharey=True, squeeze=False)
        for line, net in zip(axes, nets, strict=True):
            for ax, n in zip(line, depths, strict=True):
                ax.axhline(0, color="black", linewidth=1)
                _series(ax, data[f"{NETS[net]}, {n} stages"])
                ax.set_title(f"{NETS[net]}, {n} stages", fontsize=10)
                rate_axis(ax.xaxis, ax.set_xscale, found_of.rates(found))
            line[0].set_ylabel("accuracy minus that\nof PipeDream, points")
        for ax in axes[-1]:
            ax.set_xlabel("learning rate")
        _finish(fig, axes, f"{stands_on(whole)}; paired by seed")
    yield "parallel_prediction", fig, {"note": stands_on(whole), "series": data}


def _gains(found: Cells, net: str, name: str, stages: int) -> dict[str, list]:
    """Difference and interval over the rate, in points."""
    some = [
        (rate, i)
        for rate in found_of.rates(found)
        if (i := found_of.gain(found, *(Cell(net, m, stages, rate) for m in (name, "pipedream"))))
    ]
    lines = figure.columns(i for _, i in some)
    points = {k: [100 * v for v in values] for k, values in lines.items()}
    return {"x": [r for r, _ in some], **points} if some else {}
