"""Error over bytes on the disk, and what the bytes are for.

    fig_compress_experiments          (deep) a panel for each net: a line for each density, whose
                                      points are numbers of bits, beside published counts
    fig_compress_experiments_bits     (deep) bits a weight by purpose, a bar for each density

Every point is a file that was read back. What is published is mostly counted: a budget of bits, of
which no file was written; such points are crosses and say so.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from compress.plots import purposes
from compress.plots.told import (
    STORED,
    by_norms,
    dense,
    densities,
    files,
    points,
    runs,
    stands_on,
)
from harness.experiment import Experiment
from harness.result import figure, pictures, titles

PUBLISHED = "mnist"  # what the points below were found on
FLOAT32 = {"LeNet-300-100": 1_066_440, "LeNet-5": 1_724_320}  # bytes of the dense nets
# Name, ratio, error in per cent, and what was counted.
COUNTED = {
    "LeNet-300-100": {
        "Han": (40, 1.58),
        "DNS": (56, 1.99),
        "SWS": (64, 1.94),
        "SparseVD": (68, 1.92),
    },
    "LeNet-5": {"Han": (39, 0.74), "DNS": (111, 0.91), "SWS": (162, 0.97)},
}
WRITTEN = {"LeNet-5": {"MIRACLE": (555, 0.69)}}


def drawers(whole: Experiment) -> pictures.Drawers:
    """Return what draws each picture, by the picture's name."""
    name = "fig_compress_experiments"
    return {
        name: partial(_nets, whole, name),
        f"{name}_bits": partial(purposes.draw, whole, f"{name}_bits"),
    }


def _nets(whole: Experiment, name: str) -> Iterator[pictures.Picture]:
    arms = [arm for arm in whole.arms() if runs(whole, arm)]
    if not arms:
        return
    from matplotlib.figure import Figure

    note, data = stands_on(whole), {}
    with figure.style():
        fig = Figure(figsize=(2 + 4.6 * len(arms), 4.9))
        axes = fig.subplots(1, len(arms), squeeze=False)[0]
        for ax, arm in zip(axes, arms, strict=True):
            data[arm] = _lines(ax, whole, arm)
            if runs(whole, arm)[0].config["data"] == PUBLISHED:
                _published(ax, arm)
            ax.set_xscale("log")
            ax.set(xlabel="bytes on the disk (log)", ylabel="test error, %", title=arm)
            below = dict(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)
            ax.legend(fontsize=8, **below)  # (points may be anywhere in the panel)
        titles.letters(axes)
        titles.headline(fig, note)
    yield name, fig, {"note": note, "series": data}


def _lines(ax: Any, whole: Experiment, arm: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for k, density in enumerate(densities(whole, arm)):
        for end, some in by_norms(files(runs(whole, arm), k)).items():
            label = f"{100 * density:.3g} % of the weights{end}"
            found[label] = points(some)
            figure.bars(ax, found[label], len(found) - 1, label)
    whole_net = dense(whole, arm)
    ax.axhline(whole_net.mean, color="black", linewidth=1, label=f"{before(whole, arm)}, before")
    return found | {"dense": figure.columns([whole_net])}


def before(whole: Experiment, arm: str) -> str:
    """Say what the net of an arm is before it is pruned."""
    return "dense" if densities(whole, arm)[0] == 1 else "its design, float32"


def _published(ax: Any, arm: str) -> None:
    for table, mark, words in ((COUNTED, "x", "counted, no file"), (WRITTEN, "+", "a file")):
        for k, (name, (ratio, error)) in enumerate(table.get(arm, {}).items()):
            label = f"published, {words}" if not k else None
            ax.plot(FLOAT32[arm] / ratio, error, mark, color="black", label=label)
            # (on white, above the bars that it may lie on, and small enough for most to miss them)
            face = dict(facecolor="white", edgecolor="none", pad=0.4)
            ax.annotate(name, (FLOAT32[arm] / ratio, error), (4, (4, -10)[k % 2]), fontsize=7,
                        textcoords="offset points", bbox=face, zorder=5)  # fmt: skip
    ax.margins(x=0.12)


def text(whole: Experiment) -> Iterator[str]:
    """Yield the table: each file with its bytes, ratio and error."""
    yield stands_on(whole)
    yield f"{'':<24} {'bits':>4} {'bytes':>8} {'ratio':>6}  {'error, %':<18} dense, %"
    for arm in whole.arms():
        for k in range(len(runs(whole, arm)[0].rows) if runs(whole, arm) else 0):
            yield from _rows(whole, arm, k)


def _rows(whole: Experiment, arm: str, k: int) -> Iterator[str]:
    row = runs(whole, arm)[0].rows[k]
    title = f"{arm}, {100 * row['density']:.3g} %" if "density" in row else arm
    first = f"{dense(whole, arm).mean:.2f}" if "density" in row else ""
    for f in files(runs(whole, arm), k):
        ratio = sum(one["ratio"] for one in f["files"]) / len(f["files"])
        cells = f"{f['bits']:>4} {f['bytes'].mean:>8,.0f} {ratio:>6.1f}"
        end = "" if f["norms"] == STORED else f"  norms {f['norms']}"
        yield f"{title:<24} {cells}  {f['error'].amount(1, 2):<18} {first}{end}"
