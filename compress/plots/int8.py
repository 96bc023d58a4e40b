"""What int8 costs: points of accuracy beside float32 in each way, over the bytes of its file.

fig_compress_experiments_int8    a panel for each net: a point for each way
"""

from collections.abc import Iterator
from functools import partial
from statistics import fmean
from typing import Any, NamedTuple

from compress.plots.told import runs
from harness.experiment import Experiment
from harness.result import figure, pictures, titles
from harness.result.stats import Interval, interval

NAMES = {
    "bf16": "bfloat16",
    "onnx_static": "int8, onnxruntime",
    "torchao": "int8, torchao",
    "qat": "int8, learned (QAT)",
}


class Way(NamedTuple):
    """What a way makes of a net: accuracy, what float32 has less of it, and its file."""

    name: str
    gain: Interval
    accuracy: Interval
    bytes: float
    ratio: float


def drawers(whole: Experiment) -> pictures.Drawers:
    """Return what draws each picture, by the picture's name."""
    name = "fig_compress_experiments_int8"
    return {name: partial(_draw, whole, name)}


def stands_on(whole: Experiment) -> str:
    """Say data, splits and seeds in one line."""
    found = {run.config["data"]: run.facts.get("split", "?") for run in whole.done()}
    seeds = [count for arm in whole.arms() if (count := len(runs(whole, arm)))]
    data = ", ".join(f"{name} ({split})" for name, split in found.items())
    return f"{data}, {titles.seeds(seeds)}"


def ways(whole: Experiment, arm: str) -> list[Way]:
    """Return the ways of an arm, compared with float32 seed by seed."""
    told = [(run.rows[-1], run.rows[-1].get("ways", [])) for run in runs(whole, arm)]
    found = []
    for k in range(min((len(each) for _, each in told), default=0)):
        same = [(row["test_accuracy"], each[k]) for row, each in told]
        gain = interval([way["test_accuracy"] - before for before, way in same])
        accuracy = interval([way["test_accuracy"] for _, way in same])
        size, ratio = (fmean(way[key] for _, way in same) for key in ("bytes", "ratio"))
        found.append(Way(same[0][1]["way"], gain, accuracy, size, ratio))
    return found


def _draw(whole: Experiment, name: str) -> Iterator[pictures.Picture]:
    arms = [arm for arm in whole.arms() if ways(whole, arm)]
    if not arms:
        return
    from matplotlib.figure import Figure

    note, data = stands_on(whole), {}
    with figure.style():
        fig = Figure(figsize=(1.5 + 2.9 * len(arms), 4.2))
        axes = fig.subplots(1, len(arms), squeeze=False)[0]
        for ax, arm in zip(axes, arms, strict=True):
            data[arm] = _points(ax, ways(whole, arm))
            ax.axhline(0, color="black", linewidth=1)
            ax.set(xlabel="bytes, share of float32's", title=arm, xlim=(0, 0.6))
        axes[0].set_ylabel("points of accuracy beside float32")
        lines, words = axes[0].get_legend_handles_labels()
        fig.legend(lines, words, loc="outside lower center", ncols=4, fontsize=9)
        titles.letters(axes)
        titles.headline(fig, note)
    yield name, fig, {"note": note, "series": data}


def _points(ax: Any, found: list[Way]) -> dict[str, Any]:
    series = {}
    for i, way in enumerate(found):
        points = {key: [100 * v for v in each] for key, each in figure.columns([way.gain]).items()}
        series[way.name] = {"x": [way.ratio], **points}
        aside = {"x": [way.ratio + 0.01 * i]}  # (so that none hides another)
        figure.bars(ax, series[way.name] | aside, i, NAMES[way.name])
    return series


def text(whole: Experiment) -> Iterator[str]:
    """Yield the table: each net in each way, accuracy, bytes, and points beside float32."""
    yield stands_on(whole)
    yield f"{'':<14} {'way':<22} {'accuracy':<24} {'bytes':>10} {'ratio':>6}  points"
    for arm in whole.arms():
        before = interval([run.rows[-1]["test_accuracy"] for run in runs(whole, arm)])
        yield f"{arm:<14} {'float32':<22} {before.text():<24}"
        for way in ways(whole, arm):
            cells = f"{way.accuracy.text():<24} {way.bytes:>10,.0f} {way.ratio:>6.3f}"
            yield f"{arm:<14} {NAMES[way.name]:<22} {cells}  {way.gain.amount(100, 2)}"
