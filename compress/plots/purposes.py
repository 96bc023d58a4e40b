"""What the bytes of files are for: bits a weight that is left, by purpose, a bar for each density.

Drawn are the files of four bits, or of the most bits where there are none of four.
"""

from collections.abc import Iterator
from typing import Any

from compress.plots.told import by_norms, densities, files, runs, stands_on
from harness.experiment import Experiment
from harness.result import figure, pictures, titles

PURPOSES = {
    "where": "which weights there are",
    "values": "their values",
    "codebook": "shared values",
    "biases": "biases",
    "header": "header, checksum",
}


def draw(whole: Experiment, name: str) -> Iterator[pictures.Picture]:
    """Draw the bits that a weight takes, by purpose, at each density and the middle bits."""
    bars = {
        f"{arm}\n{100 * density:.3g} %, {chosen['bits']} bits{end}": shares(chosen)
        for arm in whole.arms()
        if runs(whole, arm)
        for k, density in enumerate(densities(whole, arm))
        for end, some in by_norms(files(runs(whole, arm), k)).items()
        if (chosen := _middle(some))
    }
    if not bars:
        return
    from matplotlib.figure import Figure

    note = stands_on(whole, means=True)
    with figure.style():
        fig = Figure(figsize=(max(6.5, 2 + 1.15 * len(bars)), 4.2))
        ax = fig.add_subplot()
        below = [0.0] * len(bars)
        for k, (purpose, words) in enumerate(PURPOSES.items()):
            high = [one[purpose] for one in bars.values()]
            ax.bar(list(bars), high, bottom=below, label=words, color=figure.COLORS[k], width=0.65)
            below = [a + b for a, b in zip(below, high, strict=True)]
        ax.set_ylabel("bits on the disk a weight left")
        ax.tick_params(axis="x", labelsize=8)
        fig.legend(loc="outside lower center", ncols=3, fontsize=9)
        titles.headline(fig, note)
    yield name, fig, {"note": note, "series": bars}


def _middle(found: list[dict[str, Any]]) -> dict[str, Any] | None:
    return next((f for f in found if f["bits"] == 4), found[-1] if found else None)


def shares(file: dict[str, Any]) -> dict[str, float]:
    """Return bits a weight by purpose, the mean over seeds."""
    same = file["files"]
    return {p: sum(8 * f["purposes"][p] / f["kept"] for f in same) / len(same) for p in PURPOSES}
