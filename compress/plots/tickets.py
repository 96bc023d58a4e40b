"""Lottery tickets over the weights that are left, and the paper's claims beside what was found.

fig_compress_experiments_tickets    accuracy when training should have stopped, and when that
                                    was; the same start, later steps, new starts, random masks
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from compress.plots.told import stands_on
from harness.experiment import Experiment
from harness.result import figure, pictures, titles
from harness.result.stats import Interval, interval

NAMES = {
    "": "the same start",
    "new": "the same masks, new starts",
    "random": "random masks, new starts",
}
STEP = "step-"  # ... and a number: weights go back to that step of the dense nets
AXES = {"test_accuracy": "test accuracy when stopped", "stop": "stopped at iteration"}


class Claim(NamedTuple):
    """A claim of the paper: at a share of the weights, in words, and as the reproduction found."""

    remaining: float
    key: str
    against: str
    words: str
    paper: float
    reproduction: float


# Frankle & Carbin (1803.03635) for LeNet-300-100, and a pre-registered reproduction, both n = 5.
CLAIMS = (
    Claim(0.211, "stop", "dense", "stops sooner than the dense net, %", 38.0, 21.4),
    Claim(0.135, "test_accuracy", "dense", "better than the dense net, points", 0.3, 0.21),
    Claim(0.036, "test_accuracy", "dense", "as good as the dense net, points", 0.0, 0.11),
    Claim(0.211, "stop", "new", "stops so many times sooner than new starts", 2.51, 1.94),
    Claim(0.211, "test_accuracy", "new", "better than new starts, points", 0.5, 0.39),
    Claim(0.135, "test_accuracy", "new", "better than new starts, points", 0.35, 0.28),
)


def drawers(whole: Experiment) -> pictures.Drawers:
    """Return what draws each picture, by the picture's name."""
    name = "fig_compress_experiments_tickets"
    return {name: partial(_draw, whole, name)}


def values(whole: Experiment, level: int, way: str, key: str) -> dict[int, float]:
    """Return a number of a level by seed; empty where that was not trained."""
    found = {}
    for run in whole.done():
        row = run.rows[level] if level < len(run.rows) else {}
        at = row.get(way, {}) if way else row
        if key in at:
            found[run.seed] = at[key]
    return found


def ways(whole: Experiment) -> list[str]:
    """Return how weights and masks came about: the first chain of levels, others, controls."""
    rows = [row for run in whole.done() for row in run.rows]
    steps = sorted({way for row in rows for way in row if way.startswith(STEP)}, key=_number)
    return ["", *steps, *(way for way in NAMES if way and any(way in row for row in rows))]


def _number(way: str) -> int:
    return int(way.removeprefix(STEP))


def named(way: str) -> str:
    """Return the words for a way."""
    return NAMES[way] if way in NAMES else f"back to step {_number(way):,}"


def levels(whole: Experiment) -> list[float]:
    """Return the share of the weights at each level."""
    run = max(whole.done(), key=lambda run: len(run.rows))
    return [row["remaining"] for row in run.rows]


def line(whole: Experiment, way: str, key: str) -> dict[str, list[float]]:
    """Return weights left, in per cent, and a number with its interval."""
    found = [(100 * share, values(whole, k, way, key)) for k, share in enumerate(levels(whole))]
    kept = [(share, interval(each.values())) for share, each in found if each]
    return {"x": [share for share, _ in kept], **figure.columns(i for _, i in kept)}


def _draw(whole: Experiment, name: str) -> Iterator[pictures.Picture]:
    if not whole.done():
        return
    from matplotlib.figure import Figure

    note, data = stands_on(whole), {}
    with figure.style():
        fig = Figure(figsize=(10, 4.4))
        axes = fig.subplots(1, 2)
        for ax, (key, words) in zip(axes, AXES.items(), strict=True):
            data[key] = {named(way): line(whole, way, key) for way in ways(whole)}
            for i, (label, found) in enumerate(data[key].items()):
                moved = figure.beside(found["x"], i, len(data[key]), 0.02)
                figure.bars(ax, found | {"x": moved}, i, label)
            ax.set_xscale("log")
            ax.invert_xaxis()
            ax.set(xlabel="weights left, % (log)", ylabel=words)
        axes[0].legend(fontsize=9)
        titles.letters(axes)
        titles.headline(fig, note)
    yield name, fig, {"note": note, "series": data}


def found(whole: Experiment, claim: Claim) -> Interval | None:
    """Return what was found of a claim; None where its level or its control was not trained.

    The claims are about LeNet-300-100: of another net nothing is found.
    """
    if next(iter(whole.done())).config.get("net", "mlp") != "mlp":
        return None
    shares = levels(whole)
    level = min(range(len(shares)), key=lambda k: abs(shares[k] - claim.remaining))
    if abs(shares[level] - claim.remaining) > 0.005:
        return None
    ours = values(whole, level, "", claim.key)
    dense = claim.against == "dense"
    theirs = values(whole, 0 if dense else level, "" if dense else claim.against, claim.key)
    seeds = sorted(set(ours) & set(theirs))
    if not seeds:
        return None
    return interval([_of(claim, ours[s], theirs[s]) for s in seeds])


def _of(claim: Claim, ours: float, theirs: float) -> float:
    if claim.key == "test_accuracy":
        return 100 * (ours - theirs)
    return 100 * (1 - ours / theirs) if claim.against == "dense" else theirs / ours


def text(whole: Experiment) -> Iterator[str]:
    """Yield the table of levels, and that of the claims."""
    yield stands_on(whole)
    yield f"{'left, %':>8}  {'accuracy when stopped':<24} {'stopped at':<20}"
    for k, share in enumerate(levels(whole)):
        for way in ways(whole):
            accuracy, stop = (values(whole, k, way, key).values() for key in AXES)
            if accuracy:
                cells = interval(accuracy).text(), interval(stop).amount(1, 0)
                yield f"{100 * share:>8.2f}  {cells[0]:<24} {cells[1]:<20} {named(way)}"
    if any(found(whole, claim) for claim in CLAIMS):
        yield from _claims(whole)


def _claims(whole: Experiment) -> Iterator[str]:
    yield f"{'claim':<58} {'paper':>6} {'repr.':>6}  here"
    for claim in CLAIMS:
        here: Any = found(whole, claim)
        said = f"at {100 * claim.remaining:.1f} %: {claim.words}"
        told = here.amount(1, 2) if here else "-"
        yield f"{said:<58} {claim.paper:>6} {claim.reproduction:>6}  {told}"
