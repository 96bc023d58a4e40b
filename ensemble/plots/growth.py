"""Ensembles as they grow: accuracy, likelihood, and what boosting does to its samples.

growth      a row: accuracy by the mean of probabilities; calibrated NLL      a panel: one net
boosting    weighted error of each member; the share of the samples that its weights amount to
diversity   how often members disagree, over how good they are alone; a point for each size
"""

from collections.abc import Callable, Iterator
from math import inf
from typing import Any

from ensemble.plans.boost import KINDS
from harness.experiment import Experiment
from harness.result import figure, titles
from harness.result.pictures import Picture

NAMES = {
    "single": "one net, trained as long",
    "snapshots": "snapshots of one net",
    "independent": "independent",
    "bagging": "bagging",
    "samme-1": "SAMME",
    "samme-0.3": "SAMME, rate .3",
    "samme-0.1": "SAMME, rate .1",
    "iddl": "rule of the original study",
}
PANELS = {
    "B-3-1": "sparse, 16-20",
    "B-3-4": "sparse, 49-56",
    "3-1": "dense, 16-20",
    "B-ResNet-18-V4": "B-ResNet-18-V4",
    "B-ResNet-10-V2": "B-ResNet-10-V2",
}
GROWTH = {"test_accuracy": "test accuracy", "calibrated_nll": "calibrated NLL"}
MOST = {"calibrated_nll": inf}  # of what is no share
BOOSTING = {"weighted_error": "weighted error", "effective": "effective share of samples"}


def nets(whole: Experiment) -> list[str]:
    """The nets of a record, in the order of the plan."""
    return [net for net in PANELS if kinds(whole, net)]


def kinds(whole: Experiment, net: str) -> list[str]:
    """The kinds of ensemble of a net that were run."""
    done = {run.arm for run in whole.done()}
    return [kind for kind in KINDS if f"{net}-{kind}" in done]


def stands_on(whole: Experiment) -> str:
    """Say data, split, members and seeds in one line."""
    return f"{_setting(whole)}, n = {titles.seeds([_seeds(whole)])}"


def _seeds(whole: Experiment) -> int:
    return len({run.seed for run in whole.done()})


def _setting(whole: Experiment) -> str:
    run = next(iter(whole.done()))
    split = run.facts.get("split", "?")
    width = f"width {run.config['width']}, " if "width" in run.config else ""
    return f"{run.config['data']} ({split}), {width}{run.config['each']} epochs a member"


def draw(whole: Experiment) -> Iterator[Picture]:
    """Draw accuracy and calibrated NLL over members."""
    yield from _grid(whole, "ensemble_growth", GROWTH, KINDS)


def boosting(whole: Experiment) -> Iterator[Picture]:
    """Draw what boosting says of each member."""
    yield from _grid(whole, "ensemble_boosting", BOOSTING, KINDS[4:])


def diversity(whole: Experiment) -> Iterator[Picture]:
    """Draw how often two members disagree, over their own accuracy, from two members to all."""
    many = [kind for kind in KINDS if kind != "single"]
    data = {
        net: {kind: line for kind in many if (line := _path(whole, f"{net}-{kind}"))}
        for net in nets(whole)
    }
    data = {net: lines for net, lines in data.items() if lines}
    if data:
        note = f"{_setting(whole)}; each point a mean of {_seeds(whole)} seeds"
        fig = panels(data, 1, _walk, note)
        for ax in fig.axes:
            ax.set_xlabel("accuracy of a member alone")
        fig.axes[0].set_ylabel("two members disagree")
        yield "ensemble_diversity", fig, {"note": note, "series": data}


def _path(whole: Experiment, arm: str) -> dict[str, list]:
    """Return mean accuracy alone and disagreement, a point for each size from two on."""
    alone = figure.by_epoch(whole, "mean_accuracy", arm)
    apart = figure.by_epoch(whole, "disagreement", arm)
    if not alone or not apart:
        return {}
    places = [alone["x"].index(m) for m in apart["x"]]
    return {"members": apart["x"], "x": [alone["mean"][k] for k in places], "y": apart["mean"]}


def _walk(ax: Any, lines: dict[str, Any]) -> None:
    for kind, line in lines.items():
        # (hollow, so that a mark shows what lies under it)
        look: Any = {**figure.look(KINDS.index(kind)), "markerfacecolor": "none"}
        ax.plot(line["x"], line["y"], markersize=3, label=NAMES[kind], **look)
        ax.plot(line["x"][-1:], line["y"][-1:], markersize=9, **look)


def _grid(
    whole: Experiment, name: str, rows: dict[str, str], wanted: tuple[str, ...]
) -> Iterator[Picture]:
    found = nets(whole)
    data = {f"{net}, {key}": _lines(whole, net, key, wanted) for key in rows for net in found}
    if not any(data.values()):
        return
    drawn = {name: _possible(lines, name.rpartition(", ")[2]) for name, lines in data.items()}
    fig = panels(drawn, len(rows), _panel, stands_on(whole), found)
    for ax, label in zip(fig.axes[:: len(found)], rows.values(), strict=True):
        ax.set_ylabel(label)
    for ax in fig.axes[-len(found) :]:
        ax.set_xlabel("members")
    yield name, fig, {"note": stands_on(whole), "series": data}


def _possible(lines: dict[str, Any], key: str) -> dict[str, Any]:
    """Return lines whose intervals end where values must: those of two seeds reach far beyond."""
    most = MOST.get(key, 1.0)
    return {
        kind: {
            **line,
            "low": [max(v, 0.0) for v in line["low"]],
            "high": [min(v, most) for v in line["high"]],
        }
        for kind, line in lines.items()
    }


def panels(
    data: dict[str, Any],
    rows: int,
    fill: Callable[[Any, Any], None],
    note: str,
    names: list[str] | None = None,
) -> Any:
    """Draw a panel for each entry, in rows with a panel for each net, and one legend of all."""
    from matplotlib.figure import Figure

    names = names or list(data)
    with figure.style():
        fig = Figure(figsize=(3.2 * len(names) + 2.6, 2.6 * rows + 0.6))
        axes = fig.subplots(rows, len(names), squeeze=False, sharex=rows > 1)
        for ax, lines in zip(axes.flat, data.values(), strict=True):
            fill(ax, lines)
        for ax, net in zip(axes[0], names, strict=True):
            ax.set_title(PANELS.get(net, net), fontsize=10)
        shown = {
            n: h for ax in axes.flat for h, n in zip(*ax.get_legend_handles_labels(), strict=True)
        }
        shown = {n: shown[n] for n in NAMES.values() if n in shown}
        fig.legend(shown.values(), shown.keys(), loc="outside right center")
        titles.letters(axes.flat)
        titles.headline(fig, note)
    return fig


def _lines(whole: Experiment, net: str, key: str, wanted: tuple[str, ...]) -> dict[str, Any]:
    lines = {kind: figure.by_epoch(whole, key, f"{net}-{kind}") for kind in wanted}
    return {kind: line for kind, line in lines.items() if line.get("x")}


def _panel(ax: Any, lines: dict[str, Any]) -> None:
    for kind, line in lines.items():
        figure.band(ax, line, KINDS.index(kind), NAMES[kind])
    ax.xaxis.get_major_locator().set_params(integer=True)
