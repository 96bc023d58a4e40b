#!/usr/bin/env python3
"""Draws a dump of the MLP study: `python plot_mlp_experiments.py [dump]`, the newest by default.

Writes beside this script
    mlp_experiments.{png,eps,json}               accuracy against connections, dense and sparse
    mlp_experiments_sparse_only.{png,eps,json}   the same without the dense models
    mlp_experiments_{accuracy,loss,train_loss}.{png,eps,json}   per epoch, a panel per size
    (of plans balance and density: what plot_balance.py draws)
    log/mlp_experiments_plot_${BEGIN_TIME}.log   the table that it prints

Also reads the original project's own dumps (through an allow-list of names; nothing is run).
--publish writes the figures of a committed study into figure/mlp/<plan>/ as well.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
if not __package__:  # started as a script: the packages are one folder up
    sys.path[:1] = [str(HERE.parent)]

from harness.experiment import Experiment  # noqa: E402
from harness.result import plotting  # noqa: E402
from harness.result.stats import interval  # noqa: E402
from mlp.experiments import FAMILIES, HIDDEN, PUBLISHED  # noqa: E402

LABELS = {
    "MLP": "dense (MLP)",
    "B-MLP": "modular rule (B-MLP)",
    "R-MLP": "random (R-MLP)",
}
METRICS = {"accuracy": "test_accuracy", "loss": "test_loss", "train_loss": "train_loss"}


def main(argv: Sequence[str]) -> int:
    """Run the script; 2 where the dump cannot be read."""
    return plotting.run(argv, HERE, figures, table)


def figures(whole: Experiment) -> list[tuple[str, Any, dict]]:
    """Name, figure and data of each picture."""
    from harness.result import figure

    if whole.plan in ("balance", "density"):
        from mlp.plots import balance as plot_balance

        return plot_balance.figures(whole)
    everything, sparse = list(FAMILIES), ["B-MLP", "R-MLP"]
    found = []
    for stem, families in (
        ("mlp_experiments", everything),
        ("mlp_experiments_sparse_only", sparse),
    ):
        data = {family: series(whole, family) for family in families}
        data = {k: v for k, v in data.items() if v["connections"]}
        if data:
            note = stands_on(whole)
            found.append((stem, _against_connections(data, note), {"note": note, "series": data}))
    for stem, metric in METRICS.items():
        arms = {arm: figure.by_epoch(whole, metric, arm) for arm in whole.arms()}
        arms = {arm: data for arm, data in arms.items() if data}
        if arms:
            fig = _per_epoch(arms, metric.replace("_", " "), stands_on(whole))
            found.append(
                (f"mlp_experiments_{stem}", fig, {"note": stands_on(whole), "series": arms})
            )
    return found


def series(whole: Experiment, family: str) -> dict[str, list]:
    """Connections and final accuracy of the sizes of one family, small to large."""
    points = []
    for arm in whole.arms():
        values = whole.final(arm, "test_accuracy")
        if _family(arm) == family and values:
            points.append((connections(whole, arm), arm, interval(values.values())))
    points.sort(key=lambda point: point[0])
    return {
        "connections": [n for n, _, _ in points],
        "arm": [arm for _, arm, _ in points],
        "mean": [i.mean for _, _, i in points],
        "low": [i.low for _, _, i in points],
        "high": [i.high for _, _, i in points],
        "n": [i.n for _, _, i in points],
    }


def connections(whole: Experiment, arm: str) -> int:
    """As recorded; for the original project's dumps, which lack it, as the name says."""
    for run in whole.runs:
        if run.arm == arm and "connections" in run.facts:
            return run.facts["connections"]
    from mlp.costs import costs

    known = {line["name"]: line["connections"] for line in costs("paper", measured=False)}
    if arm not in known:
        raise ValueError(f"the dump has a model {arm!r}; expected one of {', '.join(known)}")
    return known[arm]


def stands_on(whole: Experiment) -> str:
    """Data, split, epochs and seeds, to stand in every figure."""
    if whole.plan in ("balance", "density"):
        from mlp.plots import balance as plot_balance

        return plot_balance.note(whole)
    run = next(iter(whole.done()))
    seeds = len({r.seed for r in whole.done()})
    data, split = run.config.get("data", "MNIST"), run.facts.get("split", "official test set")
    word = "seed, no interval" if seeds == 1 else "seeds, 95 % intervals"
    return f"{data} ({split}), {run.rows[-1]['epoch']} epochs, {seeds} {word}"


def _against_connections(data: dict[str, dict], note: str):
    from matplotlib.figure import Figure

    from harness.result import figure

    with figure.style():
        fig = Figure(figsize=(7, 4.4))
        ax = fig.add_subplot()
        for family, s in data.items():
            i = list(FAMILIES).index(family)
            low = [m if v is None else v for m, v in zip(s["mean"], s["low"], strict=True)]
            high = [m if v is None else v for m, v in zip(s["mean"], s["high"], strict=True)]
            bars = [
                [m - v for m, v in zip(s["mean"], low, strict=True)],
                [v - m for m, v in zip(s["mean"], high, strict=True)],
            ]
            ax.errorbar(
                s["connections"],
                s["mean"],
                yerr=bars,
                color=figure.COLORS[i],
                marker=figure.MARKERS[i],
                linestyle=figure.LINES[i],
                capsize=3,
                label=LABELS.get(family, family),
            )
        if "MLP" in data and len(data) > 1:
            ax.set_xscale("log")
        ax.set(xlabel="connections (parameters without biases)", ylabel="test accuracy")
        ax.set_title(note, fontsize=9, loc="left")
        ax.legend()
    return fig


def _per_epoch(arms: dict[str, dict], label: str, note: str):
    """One panel per size, with the families in the colours of the other figures."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from harness.result import figure

    panels: dict[str, list[str]] = {}
    for arm in arms:
        panels.setdefault(_size(arm), []).append(arm)
    with figure.style():
        fig = Figure(figsize=(max(6.5, 2.8 * len(panels)), 3.4))
        axes = fig.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for ax, (size, members) in zip(axes, panels.items(), strict=True):
            for arm in members:
                family = _family(arm)
                figure.band(ax, arms[arm], list(FAMILIES).index(family), LABELS[family])
            ax.set(xlabel="epoch", title=f"hidden {size}" if size else "")
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes[0].set_ylabel(label)
        handles, labels = axes[0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=3)
        fig.suptitle(note, fontsize=9, x=0.01, ha="left")
    return fig


def _family(arm: str) -> str:
    return arm.rsplit("-3-", 1)[0]


def _size(arm: str) -> str:
    """Such as "16-20" for MLP-3-1; nothing for models that have one size."""
    return "-".join(map(str, HIDDEN[f"3-{arm[-1]}"])) if "-3-" in arm else ""


def table(whole: Experiment) -> Iterator[str]:
    """The table as lines: our mean and interval beside the published single run."""
    yield stands_on(whole)
    width = max(12, *map(len, whole.arms()))
    yield f"{'model':<{width}} {'connections':>11}  {'accuracy':<28} published (one run)"
    for arm in whole.arms():
        values = whole.final(arm, "test_accuracy")
        if values:
            ours = interval(values.values()).text()
            mnist = next(r for r in whole.runs if r.arm == arm).config.get("data") == "mnist"
            old = f"{PUBLISHED[arm]:.4f}" if mnist and arm in PUBLISHED else "-"
            yield f"{arm:<{width}} {connections(whole, arm):>11,}  {ours:<28} {old}"
    if whole.plan in ("balance", "density"):
        from mlp.plots import contrasts as balance

        yield from balance.text(whole)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
