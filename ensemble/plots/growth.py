"""Ensembles as they grow: accuracy, likelihood, and what boosting does to its samples.

growth      a row: accuracy by the mean of probabilities; calibrated NLL      a panel: one net
boosting    weighted error of each member; the share of the samples that its weights amount to
"""

from collections.abc import Iterator
from typing import Any

from ensemble.plans.boost import KINDS, NETS
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
PANELS = {"B-3-1": "sparse, 16-20", "B-3-4": "sparse, 49-56", "3-1": "dense, 16-20"}
GROWTH = {"test_accuracy": "test accuracy", "calibrated_nll": "calibrated NLL"}
BOOSTING = {"weighted_error": "weighted error", "effective": "effective share of samples"}


def nets(whole: Experiment) -> list[str]:
    """The nets of a record, in the order of the plan."""
    return [net for net in NETS if kinds(whole, net)]


def kinds(whole: Experiment, net: str) -> list[str]:
    """The kinds of ensemble of a net that were run."""
    done = {run.arm for run in whole.done()}
    return [kind for kind in KINDS if f"{net}-{kind}" in done]


def stands_on(whole: Experiment) -> str:
    """Say data, split, members and seeds in one line."""
    run = next(iter(whole.done()))
    each, seeds = run.config["each"], titles.seeds([len({r.seed for r in whole.done()})])
    split = run.facts.get("split", "?")
    return f"{run.config['data']} ({split}), {each} epochs a member, n = {seeds}"


def draw(whole: Experiment) -> Iterator[Picture]:
    """Draw accuracy and calibrated NLL over members."""
    yield from _grid(whole, "ensemble_growth", GROWTH, KINDS)


def boosting(whole: Experiment) -> Iterator[Picture]:
    """Draw what boosting says of each member."""
    yield from _grid(whole, "ensemble_boosting", BOOSTING, KINDS[4:])


def _grid(
    whole: Experiment, name: str, rows: dict[str, str], wanted: tuple[str, ...]
) -> Iterator[Picture]:
    from matplotlib.figure import Figure

    found = nets(whole)
    data = {f"{net}, {key}": _lines(whole, net, key, wanted) for key in rows for net in found}
    if not any(data.values()):
        return
    with figure.style():
        fig = Figure(figsize=(3.2 * len(found) + 2.4, 5.6))
        axes = fig.subplots(len(rows), len(found), squeeze=False, sharex=True)
        for line, (key, label) in zip(axes, rows.items(), strict=True):
            for ax, net in zip(line, found, strict=True):
                _panel(ax, data[f"{net}, {key}"])
            line[0].set_ylabel(label)
        for ax, net in zip(axes[0], found, strict=True):
            ax.set_title(PANELS[net], fontsize=10)
        for ax in axes[-1]:
            ax.set_xlabel("members")
        shown = {
            n: h for ax in axes.flat for h, n in zip(*ax.get_legend_handles_labels(), strict=True)
        }
        shown = {n: shown[n] for n in NAMES.values() if n in shown}
        fig.legend(shown.values(), shown.keys(), loc="outside right center")
        titles.letters(axes.flat)
        titles.headline(fig, stands_on(whole))
    yield name, fig, {"note": stands_on(whole), "series": data}


def _lines(whole: Experiment, net: str, key: str, wanted: tuple[str, ...]) -> dict[str, Any]:
    lines = {kind: figure.by_epoch(whole, key, f"{net}-{kind}") for kind in wanted}
    return {kind: line for kind, line in lines.items() if line.get("x")}


def _panel(ax: Any, lines: dict[str, Any]) -> None:
    for kind, line in lines.items():
        figure.band(ax, line, KINDS.index(kind), NAMES[kind])
    ax.xaxis.get_major_locator().set_params(integer=True)
