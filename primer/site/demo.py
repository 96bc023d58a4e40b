"""The pages that compute by themselves: each is what a study's own command writes."""

import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from harness.result import drawing, figure
from primer.site.leaf import ROOT, Leaf


@dataclass(frozen=True)
class Demo:
    """A page: the command that writes it to a file, what it lets one do, and a picture of that."""

    command: tuple[str, ...]
    words: str
    draw: Callable[[], tuple[Figure, str]]


def _digit() -> tuple[Figure, str]:
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    with figure.style():
        fig = Figure(figsize=(4, 2.5))
        ax = fig.add_subplot()
        ax.imshow(digits.images[3], cmap="gray_r", interpolation="bicubic")
        ax.set_axis_off()
    return fig, "A three, written by hand."


def _memory() -> tuple[Figure, str]:
    """Draw what a rank holds of Adam's states in mixed precision, 16 bytes a weight, by stage."""
    with figure.style():
        fig = Figure(figsize=(4, 2.5))
        ax = fig.add_subplot()
        ranks = 8
        split = ((), (12,), (12, 2), (12, 2, 2))  # of 2 + 2 + 12 bytes, over the ranks
        held = [16 - sum(parts) * (1 - 1 / ranks) for parts in split]
        ax.bar(range(4), held, color=figure.COLORS[0])
        ax.set(xlabel="stage", ylabel="bytes a weight", xticks=range(4))
    return fig, "Bars by stage of ZeRO: 16, 5.5, 3.75 and 2 bytes a weight on each of eight ranks."


DEMOS = {
    "digit.html": Demo(
        ("mlp", "page", "--out"),
        "Draw a digit; a sparse net in the page reads it, stroke by stroke.",
        _digit,
    ),
    "memory.html": Demo(
        ("parallel", "memory", "--html"),
        "Move sliders to see what a training step holds in memory, beside what was measured.",
        _memory,
    ),
}


def write(name: str, site: Path) -> Leaf | str:
    """Write a page; where its command fails here (a net is trained on MNIST), say why."""
    demo, path = DEMOS[name], site / "demos" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", *demo.command, str(path.resolve())]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    if done.returncode or not path.exists():
        said = " ".join(re.sub("[\u2500-\u257f]", " ", done.stderr).split())  # (no boxes)
        return f"{name} is left out: {said or f'exit status {done.returncode}'}"
    fig, seen = demo.draw()
    title = re.search(r"<title>(.*?)</title>", path.read_text("utf-8"))
    svg = b64encode(drawing.slim(figure.svg(fig)).encode()).decode()
    address = f"data:image/svg+xml;base64,{svg}"
    return Leaf(f"demos/{name}", unescape(title[1]) if title else name, demo.words, address, seen)
