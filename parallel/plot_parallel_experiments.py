#!/usr/bin/env python3
"""Draws a dump of the data-parallel studies: `python plot_parallel_experiments.py [dump]`.

Writes beside this script
    parallel_experiments.{png,eps,json}     accuracy against the bytes that a worker sends
    parallel_widths.{png,eps,json}          of plan ist: accuracy, bytes and time over the width
    parallel_numbers.{png,eps,json}         of plan workers: accuracy and consensus over workers
    (of plans of pipelines: what parallel/plots/ draws)
    log/parallel_experiments_plot_${BEGIN_TIME}.log    the table that it prints

Without a dump it takes the newest here. --publish writes the figures into
figure/parallel/<plan>/ as well.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
if not __package__:  # started as a script: the packages are one folder up
    sys.path[:1] = [str(HERE.parent)]

from harness.experiment import Experiment, Run  # noqa: E402
from harness.result import pictures, plotting, titles  # noqa: E402
from harness.result.stats import interval  # noqa: E402
from parallel.plans.gossip import THESIS, THESIS_CIFAR  # noqa: E402
from parallel.plans.link import PLANS as LINK  # noqa: E402
from parallel.plans.optimizers import PLANS as OPTIMIZERS  # noqa: E402
from parallel.plans.spectrain import PLANS as SPECTRAIN  # noqa: E402
from parallel.plans.staleness import PLANS as STALENESS  # noqa: E402

LABELS = {
    "local": "local (own starts)",
    "no-comm": "no communication",
    "all-reduce": "all-reduce",
    "local-sgd": "local SGD",
    "post-local-sgd": "post-local SGD",
    "easgd": "EASGD",
    "pull": "gossip, pull",
    "push": "gossip, push",
    "elastic": "elastic gossip",
    "ist": "independent subnets",
    "ist-unscaled": "the same, not rescaled",
}
WIDTH_PANELS = {
    "test accuracy": lambda run: run.rows[-1]["test_accuracy"],
    "MB sent per worker": lambda run: megabytes(run),
    "multiply-adds per sample (M)": lambda run: run.facts["worker_macs"] / 1e6,
    "training time (s)": lambda run: run.rows[-1]["train_time"],
}
POINTS = {  # what tells the points of a line apart, by plan
    "gossip_mnist": "probability",
    "gossip_cifar10": "probability",
    "ist": "width",
    "workers": "number of workers",
}
NUMBER_PANELS = {
    "test accuracy of the mean": lambda run: run.rows[-1]["test_accuracy"],
    "distance to the mean": lambda run: run.rows[-1]["consensus_distance"],
}
DECADES = {"distance to the mean": 1e-3}  # logarithmic from there on: below is mostly rounding
NETS = SPECTRAIN | OPTIMIZERS
Value = Callable[[Run], float]


def main(argv: Sequence[str]) -> int:
    """Run the script; returns 2 where the dump cannot be read."""
    return plotting.run(argv, HERE, figures, table, drawers=drawers)


def figures(whole: Experiment) -> list[pictures.Picture]:
    """Return name, figure and data of each picture."""
    return pictures.all_of(drawers(whole))


def drawers(whole: Experiment) -> pictures.Drawers:
    """Return what draws each picture, by the picture's name."""
    if whole.plan in STALENESS:
        from parallel.plots import staleness

        return staleness.drawers(whole)
    if whole.plan in NETS:
        from parallel.plots import spectrain

        return spectrain.drawers(whole)
    if whole.plan in LINK:
        from parallel.plots import link, link_rates

        return (link_rates if whole.plan == "link_rates" else link).drawers(whole)
    note = stands_on(whole)
    found = {"parallel_experiments": lambda: [_picture("experiments", against_bytes(whole, note))]}
    if whole.plan == "ist":
        width = lambda run: run.config["hidden"][0]  # noqa: E731
        wide = (width, "neurons per hidden layer", WIDTH_PANELS, note)
        found["parallel_widths"] = lambda: [_picture("widths", panels(whole, *wide))]
    if whole.plan == "workers":
        many = (lambda run: run.config["workers"], "workers", NUMBER_PANELS, note)
        found["parallel_numbers"] = lambda: [_picture("numbers", panels(whole, *many))]
    return found


def _picture(end: str, drawn: tuple[Any, dict]) -> pictures.Picture:
    return f"parallel_{end}", *drawn


def megabytes(run: Run) -> float:
    """Return the MB that one worker sent in the whole run, on average."""
    return run.rows[-1]["bytes_payload"] / run.config["workers"] / 1e6


def family(arm: str) -> str:
    """Return the strategy of an arm: the longest known name that the arm's begins with."""
    known = [name for name in LABELS if arm == name or arm.startswith(f"{name}-")]
    return max(known, key=len) if known else arm


def points(runs: Sequence[Run], x: Value, y: Value) -> dict[str, list]:
    """Return mean and interval of y over the seeds by arm; x is a mean, as bytes differ by seed."""
    by_arm: dict[str, list[Run]] = {}
    for run in runs:
        by_arm.setdefault(run.arm, []).append(run)
    found = []
    for same in by_arm.values():
        i = interval(y(run) for run in same)
        tail = same[0].arm.removeprefix(family(same[0].arm)).lstrip("-")  # 1/32, 128, ...
        found.append((sum(map(x, same)) / len(same), i.mean, *i.ends, tail))
    columns = map(list, zip(*sorted(found), strict=True))
    return dict(zip(("x", "mean", "low", "high", "point"), columns, strict=True))


def grouped(whole: Experiment) -> dict[str, dict[str, list[Run]]]:
    """Return the finished runs by data set and strategy."""
    found: dict[str, dict[str, list[Run]]] = {}
    for run in whole.done():
        same = found.setdefault(run.config["data"], {})
        same.setdefault(family(run.arm), []).append(run)
    return found


def against_bytes(whole: Experiment, note: str) -> tuple[Any, dict]:
    """Draw a panel per data set; a strategy that sends nothing is a line across."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator

    from harness.result import figure
    from harness.result.labels import name_points

    groups = grouped(whole)
    accuracy = lambda run: run.rows[-1]["test_accuracy"]  # noqa: E731
    series = {
        data: {name: points(runs, megabytes, accuracy) for name, runs in kinds.items()}
        for data, kinds in groups.items()
    }
    names = list(dict.fromkeys(name for kinds in series.values() for name in kinds))
    with figure.style():
        fig = Figure(figsize=(4.6 * len(series) + 2.9, 4.4))
        axes = fig.subplots(1, len(series), squeeze=False)[0]
        marks: list[list[Any]] = [[] for _ in axes]
        for ax, named, (data, kinds) in zip(axes, marks, series.items(), strict=True):
            for name, found in kinds.items():
                i, label = names.index(name), LABELS.get(name, name)
                if max(found["x"]) == 0 and len(found["x"]) > 1:
                    continue  # several arms that send nothing: they have no place here
                if max(found["x"]) == 0:
                    color = figure.COLORS[i % 8]
                    style: Any = figure.LINES[(i + i // 8) % 8]
                    words: Any = dict(color=color, linestyle=style, label=f"{label}: 0 MB")
                    ax.axhline(found["mean"][-1], **words)
                else:
                    some = [k for k, x in enumerate(found["x"]) if x > 0]
                    shown = {k: [v[j] for j in some] for k, v in found.items()}
                    twin = any(shown["x"] == kinds[other]["x"] for other in names[:i])
                    shown["x"] = [v * (1.06 if twin else 1) for v in shown["x"]]  # (side by side)
                    figure.bars(ax, shown, i, label)
                    color = [figure.COLORS[i % 8]] * len(some)
                    if whole.plan in POINTS and not twin:
                        named += zip(shown["x"], shown["mean"], shown["point"], color, strict=True)
            ax.set_xscale("log")
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.10g}"))
            ax.minorticks_off()
            ax.margins(x=0.1)
            what = f" (at the points: {POINTS[whole.plan]})" if whole.plan in POINTS else ""
            ax.set(xlabel=f"MB sent per worker in the whole run{what}")
            ax.set_title(titles.NAMES.get(data, data) if len(series) > 1 else "")
        fig.axes[0].set_ylabel("test accuracy of the consensus")
        handles = {
            text: handle
            for ax in fig.axes
            for handle, text in zip(*ax.get_legend_handles_labels(), strict=True)
        }
        fig.legend(handles.values(), handles, loc="outside right center")
        titles.letters(axes)
        titles.headline(fig, note)
        for ax, named in zip(axes, marks, strict=True):
            name_points(ax, named)
    return fig, {"note": note, "series": series}


def panels(
    whole: Experiment, x: Value, label: str, wanted: dict[str, Value], note: str
) -> tuple[Any, dict]:
    """Draw a panel per quantity over x, with one line per strategy."""
    from matplotlib.figure import Figure

    from harness.result import figure

    kinds: dict[str, list[Run]] = {}
    for run in whole.done():
        kinds.setdefault(family(run.arm), []).append(run)
    series = {
        text: {name: points(runs, x, y) for name, runs in kinds.items()}
        for text, y in wanted.items()
    }
    with figure.style():
        rows = (len(wanted) + 1) // 2
        fig = Figure(figsize=(8.6, 3.3 * rows + 0.7))
        axes = fig.subplots(rows, 2).flat
        for ax, (text, lines) in zip(axes, series.items(), strict=True):
            for i, (name, found) in enumerate(lines.items()):
                places = figure.beside(found["x"], i, len(lines), 0.03)
                figure.bars(ax, found | {"x": places}, i, LABELS.get(name, name))
            ax.set_xscale("log", base=2)
            ticks = sorted({v for found in lines.values() for v in found["x"]})
            ax.set_xticks(ticks, [f"{v:g}" for v in ticks])
            ax.minorticks_off()
            ax.set(xlabel=label, ylabel=text)
            if text in DECADES:
                _decades(ax, text, DECADES[text])
        handles, names = fig.axes[0].get_legend_handles_labels()
        fig.legend(handles, names, loc="outside lower center", ncols=4)
        titles.letters(fig.axes)
        titles.headline(fig, note)
    return fig, {"note": note, "series": series}


def _decades(ax: Any, text: str, least: float) -> None:
    """Scale that keeps a place for 0: linear up to the least, then decade by decade."""
    ax.set_yscale("symlog", linthresh=least, linscale=0.5)
    ticks = [0.0, least]
    while ticks[-1] < ax.get_ylim()[1]:
        ticks.append(10 * ticks[-1])
    ax.set_yticks(ticks, [f"{v:g}" for v in ticks])
    ax.minorticks_off()
    ax.set(ylim=(-least / 3, ticks[-1]), ylabel=f"{text}\n(linear below {least:g})")


def stands_on(whole: Experiment) -> str:
    """Say data, split, workers, epochs and seeds in one line, as every figure shows them."""
    splits = sorted({r.facts.get("split", "?") for r in whole.done()})
    epochs = sorted({len(r.rows) for r in whole.done()})
    seeds = len({r.seed for r in whole.done()})
    sets = " and ".join(dict.fromkeys(r.config["data"] for r in whole.done()))
    where = splits[0] if len(splits) == 1 else "their test sets"
    crew = titles.span(r.config["workers"] for r in whole.done())
    over = "/".join(map(str, epochs))
    return f"{sets} ({where}), {crew} workers, {over} epochs, n = {titles.seeds([seeds])}"


def table(whole: Experiment) -> Iterator[str]:
    """Yield a line per arm: accuracy, bytes, and the thesis' numbers where there are any."""
    if whole.plan in STALENESS:
        from parallel.plots import rates

        yield from rates.answers(whole)
        return
    if whole.plan in NETS:
        from parallel.plots import spectrain

        yield from spectrain.table(whole)
        return
    if whole.plan in LINK:
        from parallel.plots import link, link_rates

        yield from (link_rates if whole.plan == "link_rates" else link).table(whole)
        return
    yield stands_on(whole)
    old = {"gossip_mnist": THESIS, "gossip_cifar10": THESIS_CIFAR}.get(whole.plan, {})
    width = max(12, *map(len, whole.arms()))
    head = f"{'arm':<{width}} {'accuracy of the mean':<24} {'of worker 0':<24} {'MB/worker':>10}"
    yield head + ("   thesis: worker 0 / mean, one run" if old else "")
    for arm in whole.arms():
        values = whole.last(arm, "test_accuracy")
        if not values:
            continue
        runs = [r for r in whole.done() if r.arm == arm]
        first = [r.rows[-1]["worker_accuracy"][0] for r in runs if "worker_accuracy" in r.rows[-1]]
        mb = sum(map(megabytes, runs)) / len(runs)
        text = f"{arm:<{width}} {interval(values.values()).text():<24} "
        text += f"{interval(first).text() if first else '-':<24} {mb:>10.4g}"
        if arm in old:
            text += "   " + " / ".join("-" if v is None else f"{v:.4f}" for v in old[arm])
        yield text


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
