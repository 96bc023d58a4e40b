"""`python -m benchmarks.gpu.crossover RECORD`: where sparse layers gain on a card, as a map.

A panel for each pattern and type, for the forward pass and for training: size over batch, in each
field how many times as long nn.Linear takes, and the path that `auto` took; for what was also
replayed as a CUDA graph another one, with the path that was fastest there. The record is the
check.json of part `layers`; figure/bibd/gpu/ gets the picture and its data.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from benchmarks.gpu.layers import fastest
from harness.result import figure, titles

HOME = Path(__file__).resolve().parents[2] / "figure" / "bibd" / "gpu"
Line = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Draw the picture of a record; 2 if it has no such part."""
    parser = argparse.ArgumentParser("python -m benchmarks.gpu.crossover", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("record", type=Path, help="check.json of part layers")
    parser.add_argument(
        "--to", type=Path, default=HOME, metavar="DIR", help="folder of the picture"
    )
    options = parser.parse_args(argv)
    parts = json.loads(options.record.read_text())["parts"]
    lines = [line for line in parts.get("layers", []) if line["ok"]]
    if not lines:
        parser.error(f"{options.record} holds no line of part layers: --parts machine layers")
    options.to.mkdir(parents=True, exist_ok=True)
    machine = parts.get("machine", [{}])[0].get("card", {}).get("name", "an unnamed device")
    print(figure.brief(figure.save(draw(lines, machine), options.to / "crossover", lines)))
    return 0


def panels(lines: list[Line]) -> dict[str, list[Line]]:
    """The lines of each panel: pattern, type, with a backward pass or not, called or replayed."""
    found: dict[str, list[Line]] = {}
    for line in lines:
        side = "training" if line["train"] else "forward"
        title = f"{line['pattern']}, {line['dtype']}, {side}"
        found.setdefault(title, []).append(line)
        if best := fastest(line):
            again = line | dict(zip(("path", "ratio"), best, strict=True))
            found.setdefault(f"{title}, replayed", []).append(again)
    return found


def draw(lines: list[Line], card: str) -> Figure:
    """The map: blue where the layer is faster than nn.Linear, red where it is slower."""
    found = panels(lines)
    high, wide = -(-len(found) // 4), min(4, len(found))
    with figure.style():
        fig = Figure(figsize=(3.1 * wide, 0.8 + 2.7 * high))
        axes = np.atleast_1d(fig.subplots(high, wide, squeeze=False)).ravel()
        for ax, (title, of) in zip(axes, found.items(), strict=False):
            panel(ax, title, of)
        for ax in axes[len(found) :]:
            ax.set_axis_off()
        words = "nn.Linear's time over the sparse layer's, and the path that auto took"
        words += " (replayed: the fastest)" * any("replayed" in title for title in found)
        titles.headline(fig, f"{words}; {card}")
    return fig


def panel(ax: Any, title: str, lines: list[Line]) -> None:
    """Size over batch, with a number and a path in each field."""
    batches, sizes = (sorted({line[k] for line in lines}) for k in ("batch", "size"))
    grid = np.full((len(sizes), len(batches)), np.nan)
    for line in lines:
        at = sizes.index(line["size"]), batches.index(line["batch"])
        grid[at] = np.log2(line["ratio"])
        text = f"{line['ratio']:.2g}\n{line['path']}"
        color = "white" if abs(grid[at]) > 2 else "black"
        ax.text(
            *(np.array(at[::-1]) + 0.5), text, ha="center", va="center", fontsize=7, color=color
        )
    ax.pcolormesh(grid, norm=TwoSlopeNorm(0, -3, 3), cmap="RdBu")  # (an image in EPS has megabytes)
    ax.set_xticks(np.arange(len(batches)) + 0.5, [f"{n:,}" for n in batches])
    ax.set_yticks(np.arange(len(sizes)) + 0.5, [f"{n:,}" for n in sizes])
    ax.grid(False)
    ax.set_title(title, fontsize=9)
    ax.set(xlabel="batch", ylabel="inputs and outputs")


if __name__ == "__main__":
    raise SystemExit(main())
