"""`python -m benchmarks.sparse.plot`: the committed times as a picture, speed-up against q."""

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from benchmarks.sparse.goals import DENSE, PEERS
from harness.result import figure, titles

RECORD = Path(__file__).parent.parent / "sparse_speed.json"
STEM = Path(__file__).parent.parent.parent / "figure" / "bibd" / "speed" / "speedup"
# name: (the sides of which the best is drawn, colour, marker)
SERIES = {
    "ours": (("ours",), figure.COLORS[1], "o"),
    "best other sparse way": (PEERS, figure.COLORS[0], "s"),
    "grouped, as many products": (("grouped",), figure.COLORS[2], "^"),
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


def draw(data: dict[str, Any], note: str) -> Figure:
    """Two panels; the line is what the number of products would give."""
    with figure.style():
        fig = Figure(figsize=(10, 5.2), layout="constrained")
        axes = fig.subplots(1, 2)
        for ax, (title, series) in zip(axes, data.items(), strict=True):
            _panel(ax, title, series)
        axes[0].set_ylabel("times as fast as the best dense layer")
        hollow: Any = dict(color="#555555", mfc="white", ms=6, ls="none")
        axes[0].plot([], [], "o", label="hollow: with backward pass", **hollow)
        lines, names = axes[0].get_legend_handles_labels()
        fig.legend(lines, names, loc="outside lower center", ncols=4, fontsize=9)
        titles.letters(axes)
        titles.headline(fig, note)
    return fig


def _panel(ax, title: str, series: dict[str, Any]) -> None:
    qs = [q for values in series.values() for q in values["q"]]
    low, high = min(qs) / 1.25, max(qs) * 1.25
    ax.plot([low, high], [low, high], color="0.4", lw=1, label="all of q")
    ax.plot([low, high], [low / 3, high / 3], color="0.4", lw=1, ls=":", label="a third of q")
    ax.axhline(1, color="0.4", lw=1, ls="--", label="as fast as dense")
    for name, values in series.items():
        _, color, marker = SERIES[name]
        shift = 1 + 0.03 * (list(SERIES).index(name) - 1)  # so that none hides another
        for training in (False, True):
            chosen = [k for k, t in enumerate(values["training"]) if t is training]
            x, y = ([values[key][k] * s for k in chosen] for key, s in (("q", shift), ("times", 1)))
            face = "white" if training else color
            label = None if training else name
            ax.plot(x, y, marker, color=color, mfc=face, ms=6, ls="none", label=label)
    ax.set(xscale="log", yscale="log", xlim=(low, high))
    ax.set_title(title, fontsize=11)
    ax.set_xlabel("q: dense products for each sparse one; below, the layer")
    layers = _layers(series)
    ax.set_xticks(list(layers), [f"{q:.3g}\n{name}" for q, name in layers.items()], fontsize=9)
    ax.xaxis.set_minor_locator(NullLocator())
    bottom, top = ax.get_ylim()
    wanted = [v for v in (0.5, 1, 2, 5, 10, 20, 50, 100) if bottom <= v <= top]
    ax.yaxis.set_major_locator(FixedLocator(wanted))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _layers(series: dict[str, Any]) -> dict[float, str]:
    """What is measured at each q: of "conv 64 @ 32, batch 32" it is "64@32"."""
    pairs = [p for v in series.values() for p in zip(v["q"], v["case"], strict=True)]
    names = {q: case.split(",")[0].split(" ", 1)[1] for q, case in sorted(pairs)}
    return {q: name.replace(" ", "") for q, name in names.items()}


def picture(record: dict[str, Any]) -> tuple[Figure, dict[str, Any]]:
    """The figure of a record and its data: the most threads that were measured."""
    threads = max(row.get("threads", 1) for row in record["cases"])
    data = points(record, threads)
    facts = record["provenance"]
    machine = f"{facts['cpu']}, {threads} threads, torch {facts['versions']['torch']}"
    cases = [case for series in data.values() for case in series["ours"]["case"]]
    batches = sorted({int(case.rpartition("batch ")[2]) for case in cases})
    note = f"batches of {', '.join(map(str, batches))}; medians of calls in turn"
    return draw(data, f"{machine}; {note}; 64@32: 64 channels, 32 x 32 pixels"), data


def main() -> None:
    """Write the three files; `make pages` writes the table."""
    record = json.loads(RECORD.read_text())
    fig, data = picture(record)
    print(figure.brief(figure.save(fig, STEM, data)))


if __name__ == "__main__":
    main()
