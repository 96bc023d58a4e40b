"""`python -m benchmarks.sparse.plot`: the committed times as a picture, speed-up against q."""

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from benchmarks.sparse.goals import DENSE, PEERS
from harness.result import figure

RECORD = Path(__file__).parent.parent / "sparse_speed.json"
STEM = Path(__file__).parent.parent.parent / "figure" / "bibd" / "speed" / "speedup"
# name: (the sides of which the best is drawn, colour, marker)
SERIES = {
    "ours": (("ours",), "#cf000f", "o"),
    "best other sparse way": (PEERS, "#22a7f0", "s"),
    "grouped, as many products": (("grouped",), "#03a678", "^"),
}
PANELS = {
    "linear layers against oneDNN": (("linear", "linear, training"), ("oneDNN",)),
    "3 x 3 convolutions and a residual net": (
        ("conv", "conv, training", "residual net, 32", "residual net, training"),
        DENSE,
    ),
}


def points(record: dict[str, Any], threads: int) -> dict[str, Any]:
    """Speed-up over the best dense side of every case, by panel and series."""
    found: dict[str, Any] = {}
    for panel, (cases, dense) in PANELS.items():
        series: dict[str, dict[str, list]] = {
            name: {"case": [], "q": [], "times": [], "training": []} for name in SERIES
        }
        for row in record["cases"]:
            if row.get("threads") != threads or row["case"] not in cases:
                continue
            best = min(row["us"][side] for side in dense if side in row["us"])
            for name, (sides, _, _) in SERIES.items():
                there = [row["us"][side] for side in sides if side in row["us"]]
                if there:
                    values = row["name"], row["q"], best / min(there), "training" in row["case"]
                    for key, value in zip(series[name], values, strict=True):
                        series[name][key].append(value)
        found[panel] = {name: values for name, values in series.items() if values["q"]}
    return found


def draw(data: dict[str, Any], machine: str) -> Figure:
    """Two panels; the line is what the number of products would give."""
    with figure.style():
        fig = Figure(figsize=(10, 4.6), layout="constrained")
        axes = fig.subplots(1, 2)
        for ax, (title, series) in zip(axes, data.items(), strict=True):
            _panel(ax, title, series)
        axes[0].set_ylabel("times as fast as the best dense layer")
        lines, names = axes[0].get_legend_handles_labels()
        axes[1].legend(lines, names, loc="lower right", bbox_to_anchor=(1, 0.03), fontsize=8)
        fig.supxlabel(f"q: dense products for each sparse one      ({machine})", fontsize=9)
    return fig


def _panel(ax, title: str, series: dict[str, Any]) -> None:
    qs = [q for values in series.values() for q in values["q"]]
    low, high = min(qs) / 1.25, max(qs) * 1.25
    ax.plot([low, high], [low, high], color="0.4", lw=1, label="all of q")
    ax.plot([low, high], [low / 3, high / 3], color="0.4", lw=1, ls=":", label="a third of q")
    ax.axhline(1, color="0.4", lw=1, ls="--", label="as fast as dense")
    for i, (name, values) in enumerate(series.items()):
        _, color, marker = SERIES[name]
        shift = 1 + 0.03 * (i - 1)  # so that none hides another
        for training in (False, True):
            chosen = [k for k, t in enumerate(values["training"]) if t is training]
            x, y = ([values[key][k] * s for k in chosen] for key, s in (("q", shift), ("times", 1)))
            face = "white" if training else color
            label = None if training else name
            ax.plot(x, y, marker, color=color, mfc=face, ms=6, ls="none", label=label)
    ax.set(xscale="log", yscale="log", xlim=(low, high), title=title)
    ticks = sorted({round(q) for q in qs})
    ticks = [t for i, t in enumerate(ticks) if i == 0 or t / ticks[i - 1] > 1.08]
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_minor_locator(NullLocator())
    bottom, top = ax.get_ylim()
    wanted = [v for v in (0.5, 1, 2, 5, 10, 20, 50, 100) if bottom <= v <= top]
    ax.yaxis.set_major_locator(FixedLocator(wanted))
    ax.yaxis.set_minor_locator(NullLocator())
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))


def picture(record: dict[str, Any]) -> tuple[Figure, dict[str, Any]]:
    """The figure of a record and its data: the most threads that were measured."""
    threads = max(row.get("threads", 1) for row in record["cases"])
    data = points(record, threads)
    facts = record["provenance"]
    machine = f"{facts['cpu']}, {threads} threads, torch {facts['versions']['torch']}; "
    return draw(data, machine + "hollow: with backward pass"), data


def main() -> None:
    """Write the three files; `make pages` writes the table."""
    record = json.loads(RECORD.read_text())
    fig, data = picture(record)
    print(figure.brief(figure.save(fig, STEM, data)))


if __name__ == "__main__":
    main()
