"""The pages that compute by themselves: each is what a study's own command writes."""

import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from matplotlib.figure import Figure

from harness.plan import arm_key
from harness.record import weights
from harness.result import drawing, figure
from primer.site.leaf import ROOT, Leaf
from resnet.experiments import PLANS

SMALL = "ResNet-10-EE"  # of plan smoke, which needs no data of its own


@dataclass(frozen=True)
class Demo:
    """A page: commands that write it to a place, what it lets one do, and a picture of that.

    They are told a folder, too, which is gone afterwards.
    """

    commands: Callable[[str, str], list[list[str]]]
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


def _exits() -> tuple[Figure, str]:
    """Draw what a picture costs that leaves ResNet-18 at each of its exits."""
    from resnet.model import resnet

    net: Any = resnet(18, exits=(2, 3))
    macs = [cost.macs / 1e6 for cost in net.costs()]
    with figure.style():
        fig = Figure(figsize=(4, 2.5))
        ax = fig.add_subplot()
        ax.bar(range(1, len(macs) + 1), macs, color=figure.COLORS[1])
        ax.set(xlabel="exit that answers", ylabel="million multiply-adds")
        ax.set_xticks(range(1, len(macs) + 1))
    said = ", ".join(f"{n:,.0f}" for n in macs)
    return fig, f"Bars of multiply-adds up to each exit of ResNet-18, width 64: {said} million."


def _pictures(out: str, scratch: str) -> list[list[str]]:
    """Return what writes the page of a run of ResNet-18-EE that has kept its weights here.

    Where none has, a small net is trained first, on pictures that are made up as it needs them.
    """
    arm = "ResNet-18-EE-" + "[0-9a-f]" * 8
    kept = sorted((ROOT / "results" / "resnet" / "exits").glob(f"{arm}/seed-*/{weights.FILE}"))
    if kept:
        return [_page(kept[0].parent, out)]
    folder = arm_key(SMALL, PLANS["smoke"].arms[SMALL])
    train = ["resnet", "smoke", "--arms", SMALL, "--seeds", "0-0", "--keep-weights"]
    train += ["--no-figures", "--quiet", "--results", scratch]
    return [train, _page(Path(scratch) / "resnet" / "smoke" / folder / "seed-0", out)]


def _page(run: Path, out: str) -> list[str]:
    return ["resnet", "page", str(run), "--out", str(Path(out).parent)]


DEMOS = {
    "digit.html": Demo(
        lambda out, _: [["mlp", "page", "--out", out]],
        "Draw a digit; a sparse net in the page reads it, stroke by stroke.",
        _digit,
    ),
    "memory.html": Demo(
        lambda out, _: [["parallel", "memory", "--html", out]],
        "Move sliders to see what a training step holds in memory, beside what was measured.",
        _memory,
    ),
    "pictures/index.html": Demo(
        _pictures,
        "Let a ResNet read pictures, and see at which exit it is sure enough to answer.",
        _exits,
    ),
}


def write(name: str, site: Path) -> Leaf | str:
    """Write a page; where its command fails here (a net is trained on MNIST), say why."""
    demo, path = DEMOS[name], site / "demos" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as scratch:
        for words in demo.commands(str(path.resolve()), scratch):
            argv = [sys.executable, "-m", *words]
            done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
            if done.returncode:
                break
    if done.returncode or not path.exists():
        said = " ".join(re.sub("[\u2500-\u257f]", " ", done.stderr).split())  # (no boxes)
        with suppress(OSError):  # (others are there)
            path.parent.rmdir()
        return f"{name} is left out: {said or f'exit status {done.returncode}'}"
    fig, seen = demo.draw()
    title = re.search(r"<title>(.*?)</title>", path.read_text("utf-8"))
    svg = b64encode(drawing.slim(figure.svg(fig)).encode()).decode()
    address = f"data:image/svg+xml;base64,{svg}"
    return Leaf(f"demos/{name}", unescape(title[1]) if title else name, demo.words, address, seen)
