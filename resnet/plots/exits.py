"""Draws plan `exits`: accuracy against expected cost, who leaves where, and measured time."""

from statistics import fmean
from typing import Any

from harness.experiment import Experiment
from harness.result import figure, titles
from harness.result.pictures import Drawers, Picture, all_of
from harness.result.stats import interval


def figures(whole: Experiment, note: str) -> list[Picture]:
    """Draw the curve over one threshold for each arm, and the shares of the exits along it."""
    return all_of(drawers(whole, note))


def drawers(whole: Experiment, note: str) -> Drawers:
    """Return what draws each picture, by its name; arms without exits have none."""
    data = {arm: curve(whole, arm) for arm in whole.arms()}
    data = {arm: points for arm, points in data.items() if points["x"]}
    if not data:
        return {}
    return {
        "fig_resnet_curve": lambda: [_against_macs(data, note)],
        "fig_resnet_shares": lambda: [_shares(data, note)],
    }


def curve(whole: Experiment, arm: str) -> dict[str, Any]:
    """Return the sweep over thresholds: means over the seeds, intervals of the accuracy.

    `full` is the net without heads, which answers at its end.
    """
    runs = [run for run in whole.done() if run.arm == arm and run.rows[-1].get("exits")]
    sweeps = [run.rows[-1]["exits"]["curve"] for run in runs]
    points = list(zip(*sweeps, strict=True))
    found: dict[str, Any] = {"x": [fmean(p["macs"] for p in point) / 1e6 for point in points]}
    accuracies = [interval(p["accuracy"] for p in point) for point in points]
    found |= figure.columns(accuracies)
    found["shares"] = [
        [fmean(column) for column in zip(*(p["shares"] for p in point), strict=True)]
        for point in points
    ]
    if runs:
        found["full"] = runs[0].facts["trunk_macs"] / 1e6
    return found


def _against_macs(data: dict[str, dict], note: str) -> tuple[str, Any, dict]:
    from matplotlib.figure import Figure

    with figure.style():
        fig = Figure(figsize=(8.5, 4.4))
        ax = fig.add_subplot()
        for i, (arm, d) in enumerate(data.items()):
            figure.band(ax, d, i, arm)
            star: Any = figure.look(i) | dict(marker="*", markersize=15)
            ax.plot(d["full"], d["mean"][-1], **star)
        ax.plot([], [], "*", color="#555555", markersize=12, label="always full, no heads")
        ax.set_xscale("log")
        low, high = ax.get_ylim()  # (of few seeds an interval may leave what is possible)
        ax.set_ylim(max(low, 0), min(high, 1))
        ax.set(xlabel="expected MACs per image (M), heads included", ylabel="test accuracy")
        titles.headline(fig, note)
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return "fig_resnet_curve", fig, {"note": note, "series": data}


def _shares(data: dict[str, dict], note: str) -> tuple[str, Any, dict]:
    from matplotlib.figure import Figure

    with figure.style():
        fig = Figure(figsize=(max(5.5, 2.9 * len(data) + 0.6), 3.6))
        panels = fig.subplots(1, len(data), squeeze=False)[0]
        for ax, (arm, d) in zip(panels, data.items(), strict=True):
            columns = list(zip(*d["shares"], strict=True))
            names = [f"exit {i + 1}" for i in range(len(columns) - 1)] + ["last exit"]
            colors = [figure.tint(figure.COLORS[i % 8], 0.6) for i in range(len(columns))]
            ax.stackplot(d["x"], *columns, labels=names, colors=colors)
            ax.set(xlabel="expected MACs (M)", ylim=(0, 1))
            ax.set_title(arm, fontsize=9)
        fig.axes[0].set_ylabel("share of the test images")
        fig.legend(*fig.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        titles.letters(panels)
        titles.headline(fig, note)
    shares = {arm: {"x": d["x"], "shares": d["shares"]} for arm, d in data.items()}
    return "fig_resnet_shares", fig, {"note": note, "series": shares}


def times(document: dict[str, Any]) -> Any:
    """Draw what `resnet bench` measured: a panel per batch size, bars from median to p99."""
    from matplotlib.figure import Figure

    lines = document["table"]
    batches = sorted({line["batch"] for line in lines})
    with figure.style():
        fig = Figure(figsize=(5 * len(batches), 4.2))
        for ax, batch in zip(fig.subplots(1, len(batches), squeeze=False)[0], batches, strict=True):
            _at_batch(ax, [line for line in lines if line["batch"] == batch])
            ax.set(xlabel=f"mean time of a call, ms (batch {batch})", xlim=(0, None))
        fig.axes[0].set_ylabel("test accuracy")
        fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
        titles.letters(fig.axes)
        titles.headline(fig, times_note(document))
    return fig


def times_note(document: dict[str, Any]) -> str:
    """What measured times stand on: the nets, the calls, the machine, and what the bars are."""
    d, p = document, document["provenance"]
    counts = [f"{calls} at batch {batch}" for batch, calls in d["calls"].items()]
    return (
        f"{d['data']} ({d['split']}), width {d['width']}, {d['epochs']} epochs; "
        f"one trained net of each kind (seed {d['seed']}), so accuracies have no interval; "
        f"calls: {', '.join(counts)}, bars from their median to their 99th percentile; "
        f"{p['cpu']}, {p['threads']} threads"
    )


def _at_batch(ax: Any, lines: list[dict[str, Any]]) -> None:
    """Each net's curve of thresholds, and the same net without heads as a star."""
    for i, arm in enumerate(dict.fromkeys(line["arm"] for line in lines)):
        mine = [line for line in lines if line["arm"] == arm]
        early = [x for x in mine if x["name"].rsplit(", ", 1)[-1][0].isdigit()]
        full = [x for x in mine if x["name"].endswith("full net")]
        x, y = ([p[k] for p in early] for k in ("mean", "accuracy"))
        line: Any = figure.look(i) | dict(markeredgecolor="white", markersize=7)
        ax.plot(x, y, label=f"{arm}, leaving early", **line)
        star: Any = figure.look(i) | dict(marker="*", markersize=15)
        ax.plot(full[0]["mean"], full[0]["accuracy"], zorder=1.8, **star)  # (below the points)
        thin: Any = dict(color=figure.tint(figure.COLORS[i % 8], 0.4), linewidth=1, zorder=1.5)
        for call in early + full:
            ax.plot([call["p50"], call["p99"]], [call["accuracy"]] * 2, marker="|", **thin)
    ax.plot([], [], "*", color="#555555", markersize=12, label="the full net, no heads")
