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
        figure.log_axis(ax.xaxis)
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


def times(lines: list[dict[str, Any]], note: str) -> Any:
    """Draw accuracy against time: a panel per batch size, p50 with a thin bar up to p99."""
    from matplotlib.figure import Figure

    batches = sorted({line["batch"] for line in lines})
    arms = list(dict.fromkeys(line["arm"] for line in lines))
    with figure.style():
        fig = Figure(figsize=(5 * len(batches), 4))
        for ax, batch in zip(fig.subplots(1, len(batches), squeeze=False)[0], batches, strict=True):
            for i, arm in enumerate(arms):
                mine = [x for x in lines if (x["batch"], x["arm"]) == (batch, arm)]
                early = [x for x in mine if x["name"].rsplit(", ", 1)[-1][0].isdigit()]
                full = next(x for x in mine if x["name"].endswith("full net"))
                x, y = ([p[k] for p in early] for k in ("mean", "accuracy"))
                look = figure.look(i)
                ax.plot(x, y, label=f"{arm}, leaving early", **look)
                star: Any = look | dict(marker="*", markersize=15)
                ax.plot(full["mean"], full["accuracy"], **star)
            ax.plot([], [], "*", color="#555555", markersize=12, label="the full net, no heads")
            ax.set(xlabel=f"mean time of a call, ms (batch {batch})", ylabel="test accuracy")
            ax.set_xlim(left=0)
        fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
        titles.letters(fig.axes)
        titles.headline(fig, note)
    return fig
