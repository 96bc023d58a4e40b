"""A pipeline as a picture: a row for each rank, over the time, a box for each action.

A box bears the number of its micro-batch, counted through all minibatches; that of an update, which
is a line where updates take no time, the number of its minibatch. Colours are Okabe and Ito's, and
differ in brightness too. `terminal` draws the same as text, `seen` the way of one minibatch.
"""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from harness.result import figure
from parallel.pipeline.actions import Action
from parallel.pipeline.clock import Clock, show

COLORS = {"F": "#0072B2", "B": "#E69F00", "I": "#F0E442", "W": "#CC79A7", "U": "#000000"}
WORDS = {
    "F": "forward",
    "B": "backward",
    "I": "backward: gradient of the inputs",
    "W": "backward: gradient of the weights",
    "U": "update",
}
MOST = 5000  # boxes that one can still tell apart on a wide screen
POINTS = 72  # in an inch
LETTER = 0.65  # width of a digit over the size of its font, at most


def timeline(clock: Clock) -> Figure:
    """The table over time: a row for each rank, from the first above.

    Raises:
        ValueError: so many actions that nobody could tell them apart.
    """
    boxes = len(clock.times)
    if boxes > MOST:
        raise ValueError(
            f"{boxes} actions are too many to see: expected at most {MOST}; draw fewer minibatches"
        )
    ranks, end = len(clock.table.ranks), float(clock.makespan) or 1.0
    wide = min(16.0, max(6.0, boxes / ranks * 0.32))
    with figure.style():
        fig = Figure(figsize=(wide, 1.5 + 0.36 * ranks))
        ax = fig.add_subplot()
        for action, (begin, stop) in clock.times.items():
            rank = clock.table.home[action.stage]
            _box(ax, clock, action, rank, float(begin), float(stop), wide * POINTS / end)
        ax.set(xlim=(0, end * 1.005), ylim=(ranks - 0.45, -0.55), yticks=range(ranks))
        ax.set(xlabel="time, in units of the costs", ylabel="rank")
        ax.grid(visible=False)
        ax.set_title(f"{_sizes(clock)}\n{_figures(clock)}", fontsize=10, loc="left")
        _legend(fig, clock)
    return fig


def _box(
    ax: Any, clock: Clock, action: Action, rank: int, begin: float, stop: float, unit: float
) -> None:
    """One action; what takes no time is a line."""
    if stop == begin:
        ax.plot([begin] * 2, [rank - 0.44, rank + 0.44], color=COLORS[action.op], lw=2, zorder=3)
        return
    chunk = sorted(_stages(clock, rank)).index(action.stage)
    color = COLORS[action.op]
    if chunk:
        color = figure.tint(color, max(0.25, 0.8 - 0.18 * chunk))
    ax.add_patch(
        Rectangle((begin, rank - 0.4), stop - begin, 0.8, fc=color, ec="white", lw=0.6, zorder=2)
    )
    text = clock.table.name_of(action).partition(action.op)[2]
    size = min(9.0, 0.85 * unit * (stop - begin) / (LETTER * len(text)))
    if size >= 3.5:
        dark = action.op == "U" or (action.op == "F" and not chunk)
        middle: Any = dict(ha="center", va="center", fontsize=size, zorder=4)
        ax.text((begin + stop) / 2, rank, text, color="white" if dark else "black", **middle)


def _stages(clock: Clock, rank: int) -> set[int]:
    return {stage for stage, home in clock.table.home.items() if home == rank}


def _sizes(clock: Clock) -> str:
    t = clock.table
    sizes = _many(t.stages, "stage"), _many(t.minibatches, "minibatch")
    return f"{t.name}: {', '.join(sizes)} of {_many(t.micro, 'micro-batch')}"


def _many(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}{'es' if what.endswith('ch') else 's'}"


def _figures(clock: Clock) -> str:
    return f"{clock.source}: makespan {show(clock.makespan)}, bubble {show(clock.bubble)}"


def _legend(fig: Figure, clock: Clock) -> None:
    """The ops that are there; of several stages on a rank, which is drawn how."""
    ops = {a.op for a in clock.times}
    patches = [Patch(color=c, label=WORDS[op]) for op, c in COLORS.items() if op in ops]
    if clock.table.stages > len(clock.table.ranks):
        patches.append(Patch(color="none", label="(paler: a later stage of the rank)"))
    fig.legend(handles=patches, loc="outside lower center", ncols=len(patches), fontsize=9)


def data(clock: Clock) -> dict[str, Any]:
    """What the timeline shows, as JSON takes it."""
    rows = [
        [[clock.table.name_of(a), *map(float, clock.times[a])] for a in row]
        for row in clock.table.ranks
    ]
    whole = {"makespan": float(clock.makespan), "bubble": float(clock.bubble)}
    return {"schedule": clock.table.name, "source": clock.source, **whole, "ranks": rows}
