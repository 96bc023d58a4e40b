#!/usr/bin/env python3
"""Draws a dump of the MLP study: `python plot_mlp_experiments.py [dump]`, the newest by default.

Writes beside this script
    mlp_experiments.{png,eps,json}               accuracy against connections, dense and sparse
    mlp_experiments_sparse_only.{png,eps,json}   the same without the dense models
    mlp_experiments_{accuracy,loss,train_loss}.{png,eps,json}   per epoch, a panel per size
    (of plans balance, density and tiles: what mlp/plots draws)
    log/mlp_experiments_plot_${BEGIN_TIME}.log   the table that it prints

Also reads the original project's own dumps (through an allow-list of names; nothing is run).
--publish writes the figures of a committed study into figure/mlp/<plan>/ as well.
"""

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
if not __package__:  # started as a script: the packages are one folder up
    sys.path[:1] = [str(HERE.parent)]

from harness.experiment import Experiment  # noqa: E402
from harness.result import pictures, plotting, titles  # noqa: E402
from harness.result.stats import Interval, interval  # noqa: E402
from mlp.plans.twelve import FAMILIES, HIDDEN, PUBLISHED  # noqa: E402

LABELS = {
    "MLP": "dense (MLP)",
    "B-MLP": "modular rule (B-MLP)",
    "R-MLP": "random (R-MLP)",
}
METRICS = {"accuracy": "test_accuracy", "loss": "test_loss", "train_loss": "train_loss"}


def main(argv: Sequence[str]) -> int:
    """Run the script; returns 2 where the dump cannot be read."""
    return plotting.run(argv, HERE, figures, table, drawers=drawers)


def figures(whole: Experiment) -> list[pictures.Picture]:
    """Return name, figure and data of each picture."""
    return pictures.all_of(drawers(whole))


def drawers(whole: Experiment) -> pictures.Drawers:
    """Return what draws each picture, by the picture's name."""
    if whole.plan in ("balance", "density"):
        from mlp.plots import balance as plot_balance

        return plot_balance.drawers(whole)
    if whole.plan == "tiles":
        from mlp.plots import tiles

        return tiles.drawers(whole)
    found: dict[str, Any] = {
        "mlp_experiments": partial(_accuracy, whole, "mlp_experiments", ()),
        "mlp_experiments_sparse_only": partial(
            _accuracy, whole, "mlp_experiments_sparse_only", ("dense",)
        ),
    }
    for stem, metric in METRICS.items():
        found[f"mlp_experiments_{stem}"] = partial(_curves, whole, stem, metric)
    return found


def _accuracy(whole: Experiment, name: str, without: Sequence[str]) -> Iterator[pictures.Picture]:
    """Draw accuracy against connections, without the families of these patterns."""
    shown = [f for f in families(whole) if pattern(whole, f) not in without]
    data = {family: series(whole, family) for family in shown}
    data = {k: v for k, v in data.items() if v["connections"]}
    if data:
        note = stands_on(whole)
        fig = _against_connections(data, families(whole), note)
        yield name, fig, {"note": note, "series": data}


def _curves(whole: Experiment, stem: str, metric: str) -> Iterator[pictures.Picture]:
    from harness.result import figure

    arms = {arm: figure.by_epoch(whole, metric, arm) for arm in whole.arms()}
    arms = {arm: data for arm, data in arms.items() if data}
    if arms:
        note = stands_on(whole)
        fig = _per_epoch(whole, arms, metric.replace("_", " "), note)
        yield f"mlp_experiments_{stem}", fig, {"note": note, "series": arms}


def families(whole: Experiment) -> list[str]:
    """Return the study's own three families, then others in the order of appearance."""
    return list(dict.fromkeys([*FAMILIES, *map(_family, whole.arms())]))


def pattern(whole: Experiment, family: str) -> str:
    """Return the recorded pattern of a family (the original project's dumps go by the name)."""
    configs = [run.config for run in whole.runs if _family(run.arm) == family]
    known = FAMILIES.get(family, "dense")
    return configs[0].get("pattern", known) if configs else known


def series(whole: Experiment, family: str) -> dict[str, list]:
    """Return connections and final accuracy of the sizes of one family, small to large."""
    points = []
    for arm in whole.arms():
        values = whole.last(arm, "test_accuracy")
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
    """Return the connections of an arm as recorded, or as its name says.

    The dumps of the original project lack the number.
    """
    for run in whole.runs:
        if run.arm == arm and "connections" in run.facts:
            return run.facts["connections"]
    from mlp.costs import costs

    known = {line["name"]: line["connections"] for line in costs("paper", measured=False)}
    if arm not in known:
        raise ValueError(f"the dump has a model {arm!r}; expected one of {', '.join(known)}")
    return known[arm]


def stands_on(whole: Experiment) -> str:
    """Say data, split, epochs and seeds, as every figure shows them."""
    if whole.plan in ("balance", "density"):
        from mlp.plots import balance as plot_balance

        return plot_balance.note(whole)
    run = next(iter(whole.done()))
    seeds = len({r.seed for r in whole.done()})
    data, split = run.config.get("data", "MNIST"), run.facts.get("split", "official test set")
    return f"{data} ({split}), {run.rows[-1]['epoch']} epochs, {titles.seeds([seeds])}"


def _against_connections(data: dict[str, dict], families: Sequence[str], note: str):
    from matplotlib.figure import Figure

    from harness.result import figure

    with figure.style():
        fig = Figure(figsize=(7, 4.4))
        ax = fig.add_subplot()
        for family, s in data.items():
            found = figure.columns(
                Interval(*row) for row in zip(s["mean"], s["low"], s["high"], s["n"], strict=True)
            )
            points = {"x": s["connections"], **found}
            figure.bars(ax, points, families.index(family), LABELS.get(family, family))
        if "MLP" in data and len(data) > 1:
            ax.set_xscale("log")
        ax.set(xlabel="connections (parameters without biases)", ylabel="test accuracy")
        titles.headline(fig, note)
        ax.legend()
    return fig


def _per_epoch(whole: Experiment, arms: dict[str, dict], label: str, note: str):
    """Draw one panel per size, with the families in the colours of the other figures."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from harness.result import figure

    names, panels = families(whole), {}
    for arm in arms:
        panels.setdefault(_size(whole, arm), []).append(arm)
    with figure.style():
        fig = Figure(figsize=(max(6.5, 2.8 * len(panels)), 3.4))
        axes = fig.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        handles = {}
        for ax, (size, members) in zip(axes, panels.items(), strict=True):
            for arm in members:
                family = _family(arm)
                figure.band(ax, arms[arm], names.index(family), LABELS.get(family, family))
            ax.set(xlabel="epoch", title=f"hidden {size}" if size else "")
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            lines, texts = ax.get_legend_handles_labels()
            handles |= {text: line for line, text in zip(lines, texts, strict=True)}
        axes[0].set_ylabel(label)
        fig.legend(handles.values(), handles, loc="outside lower center", ncols=3)
        titles.letters(axes)
        titles.headline(fig, note)
    return fig


def _family(arm: str) -> str:
    return arm.rsplit("-3-", 1)[0]


def _size(whole: Experiment, arm: str) -> str:
    """Return a size such as "16-20" (the original project's dumps go by the arm's name)."""
    config = next(run.config for run in whole.runs if run.arm == arm)
    return "-".join(map(str, config.get("hidden") or HIDDEN.get(arm[-3:], ())))


def table(whole: Experiment) -> Iterator[str]:
    """Yield the lines of the table: our mean and interval beside the published single run."""
    yield stands_on(whole)
    width = max(12, *map(len, whole.arms()))
    yield f"{'model':<{width}} {'connections':>11}  {'accuracy':<28} published (one run)"
    for arm in whole.arms():
        values = whole.last(arm, "test_accuracy")
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
