"""Which weights one minibatch meets on its way through the stages and back, as a picture.

Such as minibatch 4 with SpecTrain on three stages: at each F and B the version of the weights (how
many updates the stage has made), the number s of updates that are predicted on top, and the version
that the two stand for.
"""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from harness.result import figure
from parallel.pipeline.actions import Action
from parallel.pipeline.clock import Clock
from parallel.pipeline.draw import COLORS, WORDS

GREY = "#e4e4e4"


def draw_versions(
    seen: Mapping[tuple[int, str], tuple[int, int]],
    minibatch: int,
    clock: Clock | None = None,
    title: str = "",
) -> Figure:
    """The weights that one minibatch meets on its way through the stages and back.

    Args:
        seen: For each stage and op (F or B): how many updates the stage has made then, and the
            number of updates s that are predicted on top (0: none).
        minibatch: Which one it is; of one micro-batch.
        clock: When it is where, and what the stages do meanwhile; without one the minibatch is
            drawn as if it waited nowhere.
        title: What is shown, such as the name of the policy.

    Raises:
        ValueError: not an F and a B of each stage.
    """
    stages = 1 + max((stage for stage, _ in seen), default=0)
    expected = {(stage, op) for stage in range(stages) for op in "FB"}
    if set(seen) != expected:
        odd = sorted(expected ^ set(seen))
        raise ValueError(f"expected an F and a B of each of {stages} stages, and see {odd}")
    times = _way(stages, minibatch, clock)
    start, end = times[0, "F"][0], times[0, "B"][1]
    with figure.style():
        fig = Figure(figsize=(min(16.0, 1.5 + 0.85 * (end - start)), 1.5 + 0.75 * stages))
        ax = fig.add_subplot()
        if clock:
            _others(ax, clock, minibatch, start, end)
        for key, found in seen.items():
            _met(ax, key, times[key], found)
        ax.set(xlim=(start, end), ylim=(stages - 0.45, -0.55), yticks=range(stages))
        ax.set(xlabel="time, in units of the costs", ylabel="stage")
        ax.grid(visible=False)
        ax.set_title(title or f"weights used by minibatch {minibatch}", fontsize=10, loc="left")
        handles = [Patch(color=COLORS[op], label=WORDS[op]) for op in "FB"]
        handles += [Patch(color=GREY, label="other minibatches")] * bool(clock)
        fig.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9)
    return fig


def _way(stages: int, t: int, clock: Clock | None) -> dict[tuple[int, str], tuple[float, float]]:
    """When the minibatch is at each stage: as the clock says, or one after the other."""
    if clock:
        keys = [(k, op) for k in range(stages) for op in "FB"]
        times = (clock.times[Action(k, op, t)] for k, op in keys)
        return {key: (float(b), float(e)) for key, (b, e) in zip(keys, times, strict=True)}
    found = {(k, "F"): (float(k), k + 1.0) for k in range(stages)}
    back = {k: stages + 2.0 * (stages - 1 - k) for k in range(stages)}
    return found | {(k, "B"): (begin, begin + 2) for k, begin in back.items()}


def _others(ax: Any, clock: Clock, minibatch: int, start: float, end: float) -> None:
    """What the stages do for other minibatches meanwhile, pale."""
    for action, (begin, stop) in clock.times.items():
        if action.minibatch == minibatch or stop <= start or begin >= end or begin == stop:
            continue
        where = (float(begin), action.stage - 0.42), float(stop - begin), 0.84
        ax.add_patch(Rectangle(*where, fc=GREY, ec="white", lw=1, zorder=1))
        left, right = max(float(begin), start), min(float(stop), end)
        text = f"{action.op}{action.minibatch}"
        middle: Any = dict(ha="center", va="center", fontsize=8, color="#555555", zorder=1.5)
        ax.text((left + right) / 2, action.stage, text, **middle)


def _met(ax: Any, key: tuple[int, str], time: tuple[float, float], found: tuple[int, int]) -> None:
    """A box with the version of the weights, how far it is predicted, and what that stands for."""
    (stage, op), (begin, end), (version, ahead) = key, time, found
    where = (begin, stage - 0.42), end - begin, 0.84
    ax.add_patch(Rectangle(*where, fc=COLORS[op], ec="white", lw=1, zorder=2))
    lines = [f"$w_{{{version}}}$", f"s = {ahead}"]
    if ahead:
        lines[0] += rf"$\rightarrow \hat{{w}}_{{{version + ahead}}}$"
    color = "white" if op == "F" else "black"
    middle: Any = dict(ha="center", va="center", fontsize=9, zorder=4, linespacing=1.3)
    ax.text((begin + end) / 2, stage, "\n".join(lines), color=color, **middle)
