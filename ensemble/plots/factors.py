"""Draws and tells plan `factors`: is an ensemble independent of pattern, groups and exits?

cells      accuracy of one net and of four, in each cell of the grid
effects    of each level, and of each pair with four members, with its interval
"""

from collections.abc import Iterator
from typing import Any

from ensemble.plans.factors import FACTORS
from harness.experiment import Experiment
from harness.result import figure, titles
from harness.result.factorial import Analysis, analyse
from harness.result.pictures import Drawers, Picture
from harness.result.stats import interval

WORDS = {"()": "none", "(2, 3)": "two", "random_biregular": "biregular"}
LEVELS = {name: tuple(WORDS.get(str(v), str(v)) for v in FACTORS[name]) for name in FACTORS}
SINGLE, MANY = LEVELS["members"]


def drawers(whole: Experiment) -> Drawers:
    """Return what draws each picture, by its name."""
    return {
        "ensemble_cells": lambda: _cells(whole),
        "ensemble_effects": lambda: _effects(whole),
    }


def grid(whole: Experiment) -> dict[tuple[str, ...], dict[int, float]]:
    """Return the accuracy in points by cell of the grid, and by seed in each."""
    found: dict[tuple[str, ...], dict[int, float]] = {}
    for run in whole.done():
        c = run.config
        exits = LEVELS["exits"][bool(c["exits"])]
        pattern = str(c["pattern"])
        kind = WORDS.get(pattern, pattern), str(c["groups"]), exits
        for members, row in ((SINGLE, run.rows[0]), (MANY, run.rows[-1])):
            found.setdefault((*kind, members), {})[run.seed] = 100 * row["test_accuracy"]
    return found


def analysis(whole: Experiment) -> Analysis | None:
    """Analyse the grid; returns None while it is not whole."""
    try:
        return analyse(LEVELS, grid(whole))
    except ValueError:
        return None


def stands_on(whole: Experiment) -> str:
    """Say data, split, net, epochs and seeds in one line."""
    run = next(iter(whole.done()))
    c, seeds = run.config, titles.seeds([len({r.seed for r in whole.done()})])
    net = f"ResNet-{c['depth']}, width {c['width']}"
    return f"{c['data']} ({run.facts['split']}), {net}, {c['each']} epochs a net, {seeds}"


def _cells(whole: Experiment) -> Iterator[Picture]:
    from matplotlib.figure import Figure

    values, data = grid(whole), {}
    kinds = sorted({cell[:3] for cell in values}, key=lambda k: [LEVELS[f].index(v) for f, v in
                   zip(("pattern", "groups", "exits"), k, strict=True)])  # fmt: skip
    with figure.style():
        fig = Figure(figsize=(10.5, 4.4))
        ax = fig.add_subplot()
        for i, members in enumerate(LEVELS["members"]):
            found = {k: interval(values[*k, members].values()) for k in kinds}
            series = {"x": list(range(len(kinds))), **figure.columns(found.values())}
            data[f"members {members}"] = {"cells": [list(k) for k in kinds], **series}
            apart = [x + 0.12 * (2 * i - 1) for x in series["x"]]
            label = "one net" if members == SINGLE else f"{members} members"
            look = {**figure.look(i), "linestyle": "none"}
            ends = [[abs(m - v) for m, v in zip(series["mean"], series[k], strict=True)]
                    for k in ("low", "high")]  # fmt: skip
            ax.errorbar(apart, series["mean"], yerr=ends, capsize=3, label=label, **look)
        names = [f"{p}\nV{g}\n{'EE' if e == 'two' else 'full'}" for p, g, e in kinds]
        ax.set_xticks(range(len(kinds)), names, fontsize=8)
        ax.set_ylabel("test accuracy, %")
        fig.legend(*ax.get_legend_handles_labels(), loc="outside right center")
        titles.headline(fig, stands_on(whole))
    yield "ensemble_cells", fig, {"note": stands_on(whole), "series": data}


def _effects(whole: Experiment) -> Iterator[Picture]:
    from matplotlib.figure import Figure

    found = analysis(whole)
    if found is None:
        return
    shown = [e for e in found.effects if e.term.count(":") < 1 or
             (e.term.count(":") == 1 and "members" in e.term and e.levels[-1] == MANY)]  # fmt: skip
    with figure.style():
        fig = Figure(figsize=(7.5, 0.32 * len(shown) + 1.4))
        ax = fig.add_subplot()
        for i, e in enumerate(shown):
            low, high = e.interval.ends
            ax.plot([low, high], [i, i], color=figure.COLORS[":" in e.term], linewidth=2)
            ax.plot(e.interval.mean, i, "o", color=figure.COLORS[":" in e.term], markersize=5)
        ax.axvline(0, color="black", linewidth=0.8)
        names = [f"{e.term.replace(':', ' x ')}:  {', '.join(e.levels)}" for e in shown]
        ax.set_yticks(range(len(shown)), names, fontsize=9)
        ax.invert_yaxis()
        ax.set_xlabel("effect on test accuracy, points (95 % interval)")
        titles.headline(fig, stands_on(whole))
    rows = [[e.term, list(e.levels), e.interval.mean, e.interval.half] for e in found.effects]
    content: dict[str, Any] = {"note": stands_on(whole), "effects": rows}
    yield "ensemble_effects", fig, content


def text(whole: Experiment) -> Iterator[str]:
    """Yield the analysis as lines."""
    found = analysis(whole)
    yield stands_on(whole)
    if found is None:
        yield "the grid is not whole yet: no analysis"
        return
    yield f"mean {found.mean:.2f} %, error {found.sd:.2f} points, {found.n} values"
    yield f"{'term':<32}{'df':>4}{'share of variance':>20}{'F':>9}{'p':>10}"
    for t in found.terms:
        yield f"{t.name:<32}{t.df:>4}{t.share:>20.3f}{t.f:>9.2f}{t.p:>10.2g}"
