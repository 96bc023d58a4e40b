#!/usr/bin/env python3
"""Draws a dump of the ResNet study: `python plot_resnet_experiments.py [dump]`, or the newest.

Writes beside this script
    fig_resnet_experiments.{png,eps,json}               accuracy against FLOPs, all models
                                                        (of one depth only: a row for each)
    fig_resnet_experiments_sparse_only.{png,eps,json}   the same without the dense ones
    fig_resnet_curves.{png,eps,json}                    accuracy and losses per epoch
    (of plans factors, exits and groups: what the other plot_*.py here draw)
    accuracy_array_${BEGIN_TIME}.pkl, model_name_array_${BEGIN_TIME}.pkl    as numpy arrays
    log/resnet_experiments_plot_${BEGIN_TIME}.log       the table that it prints

Also reads the original project's accuracy_array_*.pkl (with the names beside it), through an
allow-list; nothing in it is run. --publish writes the figures into figure/resnet/<plan>/ as well.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

HERE = Path(__file__).resolve().parent
if not __package__:  # started as a script: the packages are one folder up
    sys.path[:1] = [str(HERE.parent)]

from harness.experiment import Experiment, Run  # noqa: E402
from harness.record import store  # noqa: E402
from harness.result import pictures, plotting, titles  # noqa: E402
from harness.result.stats import Interval, interval  # noqa: E402

LABELS = {
    "ResNet": "dense (ResNet)",
    "B-ResNet": "modular (B-ResNet)",
    "R-ResNet": "random (R-ResNet)",
    "bibd-ResNet": "true designs (bibd-ResNet)",
    "biregular-ResNet": "random, degrees of B-ResNet",
    "biregular-as-bibd-ResNet": "random, degrees of bibd-ResNet",
}
METRICS = ("test_accuracy", "train_loss", "test_loss")
SUBSETS = {"": (), "_sparse_only": ("dense",)}  # ending of the name, patterns that it leaves out
AXIS = "FLOPs (M), counted as published (equal costs side by side)"


def main(argv: Sequence[str]) -> int:
    """Run the script; returns 2 where the dump cannot be read."""
    return plotting.run(argv, HERE, figures, table, read, write_arrays, drawers)


def figures(whole: Experiment) -> list[pictures.Picture]:
    """Return name, figure and data of each picture."""
    return pictures.all_of(drawers(whole))


def drawers(whole: Experiment) -> pictures.Drawers:
    """Return what draws each picture, by the picture's name."""
    from resnet.plots import exits as plot_exits
    from resnet.plots import factors as plot_factors
    from resnet.plots import groups as plot_groups

    own = {"factors": plot_factors, "exits": plot_exits, "groups": plot_groups}
    if whole.plan in own:
        return own[whole.plan].drawers(whole, stands_on(whole))
    found = {f"fig_resnet_experiments{end}": partial(_accuracy, whole, end) for end in SUBSETS}
    return {**found, "fig_resnet_curves": partial(_curves, whole)}


def _accuracy(whole: Experiment, end: str) -> Iterator[pictures.Picture]:
    """Draw accuracy against FLOPs, of all families or without some; of one depth, row by row."""
    from resnet.plots import rows

    everything = series(whole)
    shown = {f: s for f, s in everything.items() if s["pattern"] not in SUBSETS[end]}
    if shown:
        content = {"note": stands_on(whole), "series": shown}
        if rows.fits(shown):
            fig = rows.draw(shown, LABELS, list(everything), stands_on(whole))
        else:
            fig = _against_flops(shown, list(everything), stands_on(whole))
        yield f"fig_resnet_experiments{end}", fig, content


def series(whole: Experiment) -> dict[str, dict[str, Any]]:
    """Return FLOPs and final accuracy of the depths of each family."""
    found: dict[str, dict[str, Any]] = {}
    for arm in sorted(whole.arms(), key=lambda arm: flops(whole, arm)):
        values = whole.last(arm, "test_accuracy")
        if not values:
            continue
        i, run = interval(values.values()), next(r for r in whole.done() if r.arm == arm)
        empty = {"pattern": run.config.get("pattern", "dense")}
        empty |= {k: [] for k in ("arm", "flops", "mean", "low", "high", "n", "seeds")}
        s = found.setdefault(family(arm), empty)
        point = (arm, flops(whole, arm), i.mean, i.low, i.high, i.n, list(values.values()))
        for key, value in zip(list(s)[1:], point, strict=True):
            s[key].append(value)
    return {name: found[name] for name in _order(whole, found)}


def _order(whole: Experiment, found: dict[str, Any]) -> list[str]:
    """Return the families in the order of the plan."""
    return [f for f in dict.fromkeys(family(arm) for arm in whole.arms()) if f in found]


def family(arm: str) -> str:
    """Return the name of an arm without its depth: B-ResNet for B-ResNet-18."""
    return re.sub(r"ResNet-\d+", "ResNet", arm)


def flops(whole: Experiment, arm: str) -> int:
    """Return the FLOPs of an arm in the published convention."""
    return next((r.facts["flops_iddl"] for r in whole.runs if r.arm == arm and r.facts), 0)


def stands_on(whole: Experiment) -> str:
    """Say data, split, width, epochs and seeds, as every figure shows them."""
    run = next(iter(whole.done()))
    seeds = titles.seeds(Counter(r.arm for r in whole.done()).values())
    c = run.config
    net = f"width {c['width']}, " if "width" in c else ""
    data = f"{c.get('data', 'CIFAR-10')} ({run.facts.get('split', 'split not recorded')})"
    return f"{data},\n{net}{run.rows[-1]['epoch']} epochs, {seeds}"


def _against_flops(data: dict[str, dict], families: Sequence[str], note: str):
    from matplotlib.figure import Figure

    from harness.result import figure

    values = [f for s in data.values() for f in s["flops"]]
    log = max(values) > 4 * min(values)
    places = _apart(data, log)
    with figure.style():
        fig = Figure(figsize=(7.5, 4.4))
        ax = fig.add_subplot()
        for name, s in data.items():
            found = figure.columns(
                Interval(*row) for row in zip(s["mean"], s["low"], s["high"], s["n"], strict=True)
            )
            points = {"x": places[name], **found}
            figure.bars(ax, points, families.index(name), LABELS.get(name, name))
        if log:
            ax.set_xscale("log")
        low, high = ax.get_ylim()  # (of two seeds an interval may leave what is possible)
        ax.set(xlabel=AXIS, ylabel="test accuracy", ylim=(max(low, 0), min(high, 1)))
        titles.headline(fig, note)
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return fig


def _apart(data: dict[str, dict], log: bool) -> dict[str, list[float]]:
    """Return places in millions; nets of equal cost stand a hundredth of the axis apart."""
    values = [f / 1e6 for s in data.values() for f in s["flops"]]
    span, seen, places = max(values) - min(values), Counter(), {}
    for name, s in data.items():
        places[name] = []
        for f in s["flops"]:
            x, rank = f / 1e6, seen[f]
            places[name].append(x * 1.02**rank if log else x + 0.015 * span * rank)
            seen[f] += 1
    return places


def _curves(whole: Experiment) -> list[tuple[str, Any, dict]]:
    """Draw three panels of accuracy and losses over the epochs."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from harness.result import figure

    data = {m: {arm: figure.by_epoch(whole, m, arm) for arm in whole.arms()} for m in METRICS}
    data = {m: {arm: d for arm, d in arms.items() if d} for m, arms in data.items()}
    if not all(data.values()):
        return []
    with figure.style():
        fig = Figure(figsize=(11, 3.8))
        for ax, (metric, arms) in zip(fig.subplots(1, 3), data.items(), strict=True):
            for i, (arm, values) in enumerate(arms.items()):
                figure.band(ax, values, i, arm)
            ax.set(xlabel="epoch", ylabel=metric.replace("_", " "))
            # (Of few seeds an interval may leave what is possible.)
            most = max(m for values in arms.values() for m in values["mean"])
            ax.set_ylim(0, 1 if metric.endswith("accuracy") else 1.3 * most)
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        handles, labels = ax.get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=4)
        titles.letters(fig.axes)
        titles.headline(fig, stands_on(whole))
    return [("fig_resnet_curves", fig, {"note": stands_on(whole), "series": data})]


def table(whole: Experiment) -> Iterator[str]:
    """Yield the lines of the table: our mean and interval beside the published single run."""
    from resnet.plans.published import PUBLISHED

    yield stands_on(whole).replace("\n", " ")
    yield "FLOPs as published: multiply-adds + 2 per element of a norm"
    width = max(12, *map(len, whole.arms()))
    yield f"{'model':<{width}} {'FLOPs (M)':>10}  {'accuracy':<26} published (one run)"
    for arm in whole.arms():
        values = whole.last(arm, "test_accuracy")
        if values:
            ours, old = interval(values.values()).text(), PUBLISHED.get(arm)
            shown = f"{old:.4f}" if whole.plan in ("paper", "original") and old else "-"
            yield f"{arm:<{width}} {flops(whole, arm) / 1e6:>10.2f}  {ours:<26} {shown}"
    if whole.plan == "factors":
        from resnet.plots import factors as plot_factors

        yield from plot_factors.text(whole)


def write_arrays(whole: Experiment, out: Path, begin: str) -> None:
    """Write the means as the two pickles that the original project had."""
    means = {arm: whole.last(arm, "test_accuracy").values() for arm in whole.arms()}
    means = {arm: fmean(values) for arm, values in means.items() if values}
    for stem, values in {"accuracy_array": means.values(), "model_name_array": means}.items():
        print(f"array: {store.dump_array(list(values), out / f'{stem}_{begin}.pkl')}")


def read(path: Path) -> Experiment:
    """Read a record, or the original project's arrays."""
    if not path.name.startswith("accuracy_array_"):
        return store.load(path)
    from resnet.costs import Options, costs

    names = store.load_array(path.with_name(path.name.replace("accuracy", "model_name")))
    accuracies = store.load_array(path)
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise ValueError(f"the names beside {path} are no row of names: {names}")
    numbers = isinstance(accuracies, list) and len(accuracies) == len(names)
    if not numbers or not all(isinstance(a, float) and 0 <= a <= 1 for a in accuracies):
        got = f"expected {len(names)} numbers in [0, 1], got {accuracies}"
        raise ValueError(f"{path} is no row of accuracies: {got}")
    known = {
        line["name"]: line["flops"] for line in costs(Options(depths=(18, 34, 50), mode="iddl"))
    }
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"{path} has a model {unknown[0]!r}; expected some of {', '.join(known)}")
    runs = []
    for name, accuracy in zip(names, accuracies, strict=True):
        row = {"epoch": 50, "test_accuracy": accuracy}
        pattern = {"R-": "random", "B-": "iddl"}.get(name[:2], "dense")
        facts = {"flops_iddl": known[name]}
        runs.append(Run(name, 0, name, {}, [row], facts))
        runs[-1].config = {"pattern": pattern, "data": "CIFAR-10", "width": 64}
    return Experiment("resnet", "original", "the original project's arrays", runs)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
