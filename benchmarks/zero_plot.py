"""`python -m benchmarks.zero_plot`: the largest nets of zero_room.json as a picture, over ranks."""

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.zero_room import ADAM, LAYERS, STRATEGIES
from harness.result import figure, titles
from parallel.strategy.zero import held

RECORD = Path(__file__).parent / "zero_room.json"
STEM = Path(__file__).parent.parent / "figure" / "parallel" / "zero" / "room"


def series(record: dict[str, Any]) -> dict[str, dict[str, list[float]]]:
    """Return millions of weights over ranks by strategy: measured, and by the formula."""
    found: dict[str, dict[str, list[float]]] = {}
    for stage, name in enumerate(STRATEGIES):
        lines = [line for line in record["lines"] if line["strategy"] == name]
        each = [held(stage, 1e6, line["ranks"], ADAM).total for line in lines]
        found[name] = {
            "ranks": [line["ranks"] for line in lines],
            "measured": [line["weights"] / 1e6 for line in lines],
            "formula": [record["room"] / one for one in each],
        }
    return found


def draw(data: dict[str, dict[str, list[float]]], note: str) -> Figure:
    """Draw points for what was measured, and a line for each formula."""
    with figure.style():
        fig = Figure(figsize=(7.2, 4.8))
        ax = fig.add_subplot()
        for k, (key, line) in enumerate(data.items()):
            name = key.replace("_", "-")
            look: Any = figure.look(k)
            alone: Any = look | {"marker": ""}
            ax.plot(line["ranks"], line["formula"], label=f"{name}, formula", **alone)
            at = figure.beside(line["ranks"], k, len(data), 0.025)
            points: Any = look | {"linestyle": ""}
            ax.plot(at, line["measured"], label=f"{name}, measured", **points)
        ticks = sorted({n for line in data.values() for n in line["ranks"]})
        ax.set(xscale="log", yscale="log", xlabel="ranks", ylabel="weights of the largest net (M)")
        ax.set_xticks(ticks, [f"{n:g}" for n in ticks])
        ax.minorticks_off()
        fig.legend(loc="outside lower center", ncols=4, fontsize=9, columnspacing=1.2)
        titles.headline(fig, note)
    return fig


def picture(record: dict[str, Any]) -> tuple[Figure, dict[str, Any]]:
    """Return the figure of a record, and its data."""
    data = series(record)
    torch = record["provenance"]["versions"]["torch"]
    note = (
        f"{record['room'] >> 20} MiB of address space a rank beyond Python and torch {torch}; "
        f"{LAYERS} square matrices, Adam, float32, CPU; one bisection a point"
    )
    return draw(data, note), {"note": note, "series": data}


def main() -> None:
    """Write the three files; `make pages` writes the table."""
    fig, data = picture(json.loads(RECORD.read_text()))
    print(figure.brief(figure.save(fig, STEM, data)))


if __name__ == "__main__":
    main()
