"""Draws the plans of cables: accuracy over seconds, and seconds to the goal over the cable.

link_accuracy    a panel for each cable: mean accuracy of a strategy over its mean seconds
link_seconds     seconds to the goal over bandwidth, and over latency; lines are what the plan of a
                 strategy predicts, from its time without a cable to speak of
"""

from collections.abc import Iterator, Mapping
from math import ceil
from statistics import fmean
from typing import Any

from matplotlib.figure import Figure

from harness.experiment import Experiment, Run
from harness.result import figure, titles
from harness.result.pictures import Drawers, Picture
from harness.result.stats import Interval, interval

LABELS = {
    "all-reduce": "all-reduce",
    "local-sgd": "local SGD",
    "post-local-sgd": "post-local SGD",
    "elastic": "elastic gossip",
    "pull": "gossip, pull",
    "ring": "ring",
    "exponential": "exponential graph",
    "push-sum": "push-sum",
    "diloco": "DiLoCo",
    "ist": "independent subnets",
    "easgd": "EASGD",
    "bf16": "bfloat16",
    "top-k": "top-k",
    "power-sgd": "PowerSGD",
    "hierarchical": "all-reduce in hosts, local SGD",
}
Link = tuple[float, float]  # megabits a second, milliseconds
SWEEPS = {"bandwidth (Mbit/s)": 0, "latency (ms)": 1}  # which of both differs


def drawers(whole: Experiment) -> Drawers:
    """Return what draws each picture, by the picture's name; of simulated runs see link_rates."""
    if not links(whole):
        return {}
    return {
        "parallel_accuracy": lambda: over_seconds(whole),
        "parallel_seconds": lambda: over_links(whole),
    }


def links(whole: Experiment) -> list[Link]:
    """Return the cables of a record, in its order."""
    done = [run.config for run in whole.done() if run.config["hosts"]]
    return list(dict.fromkeys((c["mbit"], c["latency"]) for c in done))


def kind(run: Run) -> str:
    """Return the strategy of a run, as its arm has it."""
    return run.arm.split("@")[0]


def of(whole: Experiment, name: str, link: Link) -> list[Run]:
    """Return the runs of a strategy behind such cables."""
    done = (run for run in whole.done() if kind(run) == name)
    return [run for run in done if (run.config["mbit"], run.config["latency"]) == link]


def kinds(whole: Experiment) -> list[str]:
    """Return the strategies of a record, in its order."""
    return list(dict.fromkeys(map(kind, whole.done())))


def to_goal(runs: list[Run]) -> Interval | None:
    """Return the seconds to the goal; None where a run did not come to it, or none was made."""
    last = [run.rows[-1] for run in runs]
    return interval(row["seconds"] for row in last) if last and all_reached(runs) else None


def all_reached(runs: list[Run]) -> bool:
    """Return whether each of these runs has come to the goal."""
    return all(run.rows[-1]["reached"] for run in runs)


def predicted(whole: Experiment, name: str, link: Link) -> float | None:
    """Return the seconds that a plan predicts: work by the fastest cable's runs, and the cable."""
    fast = of(whole, name, links(whole)[0])
    runs = of(whole, name, link)
    if not fast or not runs:
        return None
    last = [run.rows[-1] for run in fast]
    work = fmean((row["seconds"] - row["cable_time"]) / row["step"] for row in last)
    # (steps do not depend on the cable: those of the fastest, where others met the limit)
    steps = fmean(row["step"] for row in last)
    cable = fmean(run.rows[-1]["cable_time"] / run.rows[-1]["step"] for run in runs)
    return steps * (work + cable)


def over_seconds(whole: Experiment) -> Iterator[Picture]:
    """Draw a panel for each cable."""
    series: dict[str, dict] = {}
    with figure.style():
        every = links(whole)
        rows = (len(every) + 2) // 3
        fig = Figure(figsize=(10.5, 3.1 * rows + 1.2))
        axes = list(fig.subplots(rows, min(3, len(every)), sharey=True, squeeze=False).flat)
        for ax, link in zip(axes, every, strict=False):
            found = {name: _curve(of(whole, name, link)) for name in kinds(whole)}
            for k, (name, line) in enumerate(found.items()):
                look: Any = figure.look(k) | {"marker": ""}
                ax.plot(line["x"], line["mean"], label=LABELS.get(name, name), **look)
            ax.set_xscale("log")
            ax.set(title=words(link), xlabel="seconds of training")
            series[words(link)] = found
        for ax in axes[:: min(3, len(every))]:
            ax.set_ylabel("test accuracy")
        note = f"{stands_on(whole, _seeds(whole))} seeds: means"
        _legend(fig, whole, note)
    yield "parallel_accuracy", fig, {"note": note, "series": series}


def _curve(runs: list[Run]) -> dict[str, list[float]]:
    """Return mean accuracy over mean seconds, as far as all seeds go."""
    shared = min((len(run.rows) for run in runs), default=0)
    at = [[run.rows[k] for run in runs] for k in range(shared)]
    return {
        "x": [fmean(row["seconds"] for row in rows) for rows in at],
        "mean": [fmean(row["test_accuracy"] for row in rows) for rows in at],
    }


def over_links(whole: Experiment) -> Iterator[Picture]:
    """Draw seconds to the goal over what differs, and what was predicted."""
    series: dict[str, dict] = {}
    asked = {label: axis for label, axis in SWEEPS.items() if len(sweep(whole, axis)) > 1}
    if not asked:
        return
    with figure.style():
        fig = Figure(figsize=(9.6 if len(asked) > 1 else 7.4, 4.6))
        axes = fig.subplots(1, len(asked), sharey=True, squeeze=False)[0]
        for ax, (label, axis) in zip(axes, asked.items(), strict=True):
            some = sweep(whole, axis)
            for k, name in enumerate(kinds(whole)):
                line = _seconds(whole, name, some, axis)
                _draw(ax, line, k, LABELS.get(name, name), len(kinds(whole)))
                series.setdefault(label, {})[name] = line
            _axis(ax, label, [link[axis] for link in some])
        axes[0].set_ylabel("seconds to the goal")
        note = f"{stands_on(whole, titles.seeds([_seeds(whole)]))}; dotted: predicted"
        _legend(fig, whole, note)
    yield "parallel_seconds", fig, {"note": note, "series": series}


def sweep(whole: Experiment, axis: int) -> list[Link]:
    """Return the cables that differ in bandwidth alone (0), or in latency alone (1)."""
    every = links(whole)
    if axis == 0:
        return sorted(link for link in every if not link[1])
    late = {link[0] for link in every if link[1]}
    return sorted((link for link in every if link[0] in late), key=lambda link: link[1])


def _seconds(whole: Experiment, name: str, some: list[Link], axis: int) -> dict[str, list]:
    """Return measured and predicted seconds; of no measure where a run met the limit."""
    found = [(link, to_goal(of(whole, name, link))) for link in some]
    known = [(link[axis], i) for link, i in found if i]
    return {
        "x": [x for x, _ in known],
        **figure.columns(i for _, i in known),
        "missed": [link[axis] for link, i in found if i is None and of(whole, name, link)],
        "at": [link[axis] for link in some],
        "predicted": [predicted(whole, name, link) for link in some],
    }


def _draw(ax: Any, line: dict[str, list], k: int, label: str, of_all: int) -> None:
    look: Any = figure.look(k)
    places = [i for i, value in enumerate(line["predicted"]) if value]
    at = figure.beside([_place(x) for x in line["at"]], k, of_all, 0.02)
    by_plan = [line["predicted"][i] for i in places]
    ax.plot([at[i] for i in places], by_plan, color=look["color"], linestyle=":", linewidth=1)
    shown = [i for i, x in enumerate(line["at"]) if x in line["x"]]
    if shown:
        figure.bars(ax, line | {"x": [at[i] for i in shown]}, k, label)


def _place(x: float) -> float:
    return x or 0.1  # (a logarithmic axis has no 0)


def _axis(ax: Any, label: str, ticks: list[float]) -> None:
    ax.set(xscale="log", yscale="log", xlabel=label)
    ax.set_xticks([_place(x) for x in ticks], [f"{x:g}" for x in ticks])
    ax.minorticks_off()


def _legend(fig: Any, whole: Experiment, note: str) -> None:
    from matplotlib.lines import Line2D

    names = kinds(whole)
    handles: list[Any] = [Line2D([], [], **figure.look(k)) for k in range(len(names))]
    labels = [LABELS.get(name, name) for name in names]
    fig.legend(handles, labels, loc="outside lower center", ncols=5)
    titles.letters(fig.axes)
    titles.headline(fig, note)


def words(link: Link) -> str:
    """Say what a cable is."""
    mbit, latency = link
    rate = f"{mbit / 1000:g} Gbit/s" if mbit >= 1000 else f"{mbit:g} Mbit/s"
    return f"{rate}, {latency:g} ms" if latency else rate


def _seeds(whole: Experiment) -> int:
    return len({run.seed for run in whole.done()})


def stands_on(whole: Experiment, seeds: object) -> str:
    """Say data, split, hosts, goal and seeds."""
    first = whole.done()[0]
    config, split = first.config, first.facts.get("split", "?")
    return (
        f"{titles.data(config['data'], split)}, {_workers(config)} "
        f"on one machine, to {100 * config['goal']:g} % or {config['limit']:g} s, n = {seeds}"
    )


def _workers(config: Mapping[str, Any]) -> str:
    workers, each = config["workers"], config.get("per_host", 1)
    hosts = ceil(workers / each)
    return f"{workers} workers on {hosts} hosts" if each > 1 else f"{hosts} hosts"


def table(whole: Experiment) -> Iterator[str]:
    """Yield a line per strategy and cable: seconds to the goal, and what was predicted."""
    yield stands_on(whole, titles.seeds([_seeds(whole)]))
    for link in links(whole):
        for name in kinds(whole):
            if runs := of(whole, name, link):
                found, plan = to_goal(runs), predicted(whole, name, link)
                text = found.text(1, 2) if found else "not reached"
                told = "" if plan is None else f" predicted {plan:.2f}"
                yield f"{words(link):<20} {name:<16} {text:<28}{told}"
