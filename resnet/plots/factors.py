"""Draws and tells plan `factors`: are pattern, groups and exits independent settings?"""

from collections.abc import Iterator
from typing import Any

from harness.experiment import Experiment, plain
from harness.result import figure, titles
from harness.result.factorial import Analysis, Effect, analyse
from harness.result.pictures import Drawers, Picture, all_of
from harness.result.stats import interval
from resnet.plans.parts import FACTORS

WORDS = {"()": "none", "(2, 3)": "two", "random_biregular": "biregular"}
LEVELS = {name: tuple(WORDS.get(str(v), str(v)) for v in FACTORS[name]) for name in FACTORS}


def grid(whole: Experiment, metric: str = "test_accuracy") -> dict[tuple[str, ...], dict]:
    """Return the final values of a metric by cell of the grid, and by seed in each."""
    found: dict[tuple[str, ...], dict] = {}
    for run in whole.done():
        exits = "(2, 3)" if run.config["exits"] else "()"
        raw = (run.config["pattern"], str(run.config["groups"]), exits)
        cell = tuple(WORDS.get(level, level) for level in raw)
        found.setdefault(cell, {})[run.seed] = run.rows[-1][metric]
    return found


def analysis(whole: Experiment) -> Analysis | None:
    """Analyse the final accuracy in points; returns None while the grid is not whole."""
    cells = {c: {s: 100 * v for s, v in runs.items()} for c, runs in grid(whole).items()}
    try:
        return analyse(LEVELS, cells)
    except ValueError:
        return None


def figures(whole: Experiment, note: str) -> list[Picture]:
    """Draw the cells themselves, and the effects with their intervals."""
    return all_of(drawers(whole, note))


def drawers(whole: Experiment, note: str) -> Drawers:
    """Return what draws each picture, by its name.

    There are no effects while the grid is not whole.
    """
    return {
        "fig_resnet_cells": lambda: [_cells(whole, note)],
        "fig_resnet_effects": lambda: [
            _effects(found, note) for found in [analysis(whole)] if found
        ],
    }


def _cells(whole: Experiment, note: str) -> tuple[str, Any, dict]:
    from matplotlib.figure import Figure

    values, data = grid(whole), {}
    with figure.style():
        fig = Figure(figsize=(9, 4))
        axes = fig.subplots(1, len(LEVELS["exits"]), sharey=True)
        for ax, exits in zip(axes, LEVELS["exits"], strict=True):
            for i, pattern in enumerate(LEVELS["pattern"]):
                runs = {g: values.get((pattern, g, exits), {}) for g in LEVELS["groups"]}
                found = {g: interval(v.values()) for g, v in runs.items() if v}
                series = {
                    "x": list(found),
                    **figure.columns(found.values()),
                }
                data[f"{pattern}, exits {exits}"] = series
                # Beside each other, so that no bar hides another.
                beside = [LEVELS["groups"].index(g) + 0.06 * (i - 1) for g in found]
                figure.bars(ax, series | {"x": beside}, i, pattern)
            ax.set_xticks(range(len(LEVELS["groups"])), LEVELS["groups"])
            ax.set(xlabel="groups", title=f"early exits: {exits}")
        axes[0].set_ylabel("test accuracy of the last exit")
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        titles.letters(axes)
        titles.headline(fig, note)
    return "fig_resnet_cells", fig, {"note": note, "series": data}


def _effects(found: Analysis, note: str) -> tuple[str, Any, dict]:
    from matplotlib.figure import Figure

    shown = [e for e in found.effects if e.term.count(":") < 2]
    tests = {t.name: t for t in found.terms}
    with figure.style():
        fig = Figure(figsize=(7.5, 1.6 + 0.24 * len(shown)))
        ax = fig.add_subplot()
        terms = list(dict.fromkeys(e.term for e in shown))
        for row, e in enumerate(shown):
            color, half = figure.COLORS[terms.index(e.term) % 8], e.interval.half or 0.0
            marker = figure.MARKERS[terms.index(e.term) % 8]
            ax.errorbar(e.interval.mean, row, xerr=half, color=color, marker=marker, capsize=3)
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set_yticks(range(len(shown)), [_name(e) for e in shown], fontsize=9)
        ax.invert_yaxis()
        ax.set(xlabel="effect on test accuracy, points (95 % interval)")
        titles.headline(fig, note)
    rows = [[e.term, list(e.levels), e.interval.mean, e.interval.half] for e in found.effects]
    content = {"note": note, "effects": rows, "tests": [plain(vars(t)) for t in tests.values()]}
    return "fig_resnet_effects", fig, content


def _name(e: Effect) -> str:
    return f"{e.term.replace(':', ' x ')}:  {', '.join(e.levels)}"


def text(whole: Experiment) -> Iterator[str]:
    """Yield the analysis as lines."""
    found = analysis(whole)
    if found is None:
        yield "\nthe grid is not whole yet: no analysis"
        return
    yield f"\nmean {found.mean:.2f} %, error {found.sd:.2f} points, {found.n} runs"
    yield f"{'term':<24}{'df':>4}{'share of variance':>20}{'F':>9}{'p':>10}"
    for t in found.terms:
        yield f"{t.name:<24}{t.df:>4}{t.share:>20.3f}{t.f:>9.2f}{t.p:>10.2g}"
    yield "\neffects in points with 95 % intervals (* excludes 0)"
    for e in found.effects:
        low, high = e.interval.low or 0.0, e.interval.high or 0.0
        star = "*" if low > 0 or high < 0 else ""
        yield f"{_name(e):<48}{e.interval.mean:+.2f} ± {e.interval.half:.2f}{star}"
