"""Draws plan link_rates: the steps that each strategy needs, by learning rate, as a table.

parallel_rates    steps until the goal; the fewest of a strategy framed, a dash where it was missed
"""

from collections.abc import Iterator
from functools import partial
from math import log
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from harness.experiment import Experiment
from harness.result import figure, titles
from harness.result.pictures import Drawers, Picture
from parallel.plots.link import LABELS

NAME, MISSED = "parallel_rates", "\N{EN DASH}"
DARKEST = 0.75  # opacity of the most steps: letters stay readable


def drawers(whole: Experiment) -> Drawers:
    """Return what draws the picture, by its name; nothing where no run is done."""
    return {NAME: partial(by_rate, whole)} if whole.done() else {}


def steps(whole: Experiment) -> dict[str, dict[float, int | None]]:
    """Return the steps to the goal of each strategy and rate; None where it was not reached."""
    found: dict[str, dict[float, int | None]] = {}
    for run in whole.done():
        kind, last = run.arm.rsplit("-", 1)[0], run.rows[-1] if run.rows else {}
        reached = last.get("step") if last.get("reached") else None
        found.setdefault(kind, {})[run.config["lr"]] = reached
    return found


def by_rate(whole: Experiment) -> Iterator[Picture]:
    """Draw a row for each strategy, and a column for each rate."""
    found = steps(whole)
    rates = sorted({rate for row in found.values() for rate in row})
    known = [n for row in found.values() for n in row.values() if n is not None]
    with figure.style():
        fig = Figure(figsize=(8.2, 0.36 * len(found) + 1.7))
        ax = fig.add_subplot()
        for y, row in enumerate(found.values()):
            for x, rate in enumerate(rates):
                _cell(ax, x, y, row.get(rate), known)
            _frame(ax, y, row, rates)
        ax.set(xlim=(0, len(rates)), ylim=(len(found), 0), xlabel="learning rate")
        ax.set_xticks([x + 0.5 for x in range(len(rates))], [f"{rate:g}" for rate in rates])
        ax.set_yticks([y + 0.5 for y in range(len(found))], [LABELS.get(k, k) for k in found])
        ax.tick_params(length=0)
        ax.grid(False)
        ax.spines[:].set_visible(False)
        note = stands_on(whole)
        titles.headline(fig, note)
    series = {kind: {f"{rate:g}": n for rate, n in row.items()} for kind, row in found.items()}
    yield NAME, fig, {"note": note, "steps": series}


def _cell(ax: Any, x: int, y: int, count: int | None, known: list[int]) -> None:
    if count is not None:
        span = log(max(known) / min(known)) or 1.0
        shade = figure.tint(
            figure.COLORS[5], 0.08 + (DARKEST - 0.08) * log(count / min(known)) / span
        )
        ax.add_patch(Rectangle((x, y), 1, 1, facecolor=shade, edgecolor="white"))
    ax.text(x + 0.5, y + 0.5, _said(count), ha="center", va="center", fontsize=10)


def _said(count: int | None) -> str:
    return MISSED if count is None else f"{count:,}"


def _frame(ax: Any, y: int, row: dict[float, int | None], rates: list[float]) -> None:
    reached = {rate: n for rate, n in row.items() if n is not None}
    if reached:
        best = rates.index(min(reached, key=lambda rate: reached[rate]))
        more: dict[str, Any] = dict(fill=False, edgecolor="black", linewidth=1.4)
        ax.add_patch(Rectangle((best + 0.04, y + 0.06), 0.92, 0.88, **more))


def stands_on(whole: Experiment) -> str:
    """Say data, split, workers, goal and seeds."""
    first = whole.done()[0]
    config, split = first.config, first.facts.get("split", "?")
    seeds = titles.seeds([len({run.seed for run in whole.done()})])
    return (
        f"{titles.data(config['data'], split)}, {config['workers']} simulated workers, steps to "
        f"{100 * config['goal']:g} %, n = {seeds}"
    )


def table(whole: Experiment) -> Iterator[str]:
    """Yield a line per strategy: its steps at each rate."""
    if not (found := steps(whole)):
        return
    rates = sorted({rate for row in found.values() for rate in row})
    yield stands_on(whole)
    yield f"{'rate':<30}" + "".join(f"{rate:>8g}" for rate in rates)
    for kind, row in found.items():
        cells = "".join(f"{_said(row.get(rate)):>8}" for rate in rates)
        yield f"{LABELS.get(kind, kind):<30}" + cells
