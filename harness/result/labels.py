"""Places names at points, each where it covers least of the other names, points and lines."""

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from harness.result import figure

Box = tuple[float, float, float, float]  # left, bottom, right, top in points of the page
SIZE = 8  # of the letters
TURNS = [k * math.pi / 6 for k in (4, 2, 8, 10, 6, 0, 3, 9)]
WAYS = [(a, far) for far in (1.0, 1.6) for a in TURNS]  # tried in this order


def name_points(ax: Any, points: Iterable[tuple[float, float, str, str]]) -> None:
    """Write each text (x, y, text, colour) beside its point; call it when all else is drawn."""
    points = list(points)
    with figure.style():
        ax.figure.draw_without_rendering()  # the axes have their final places only then
    scale = 72 / ax.figure.dpi
    at = [scale * ax.transData.transform(point[:2]) for point in points]
    taken: list[Box] = [(x - 4, y - 4, x + 4, y + 4) for x, y in at]
    taken += [(x - 1, y - 1, x + 1, y + 1) for x, y in _drawn(ax, scale)]
    for (x, y), (*xy, text, color) in zip(at, points, strict=True):
        shifts = [_shift(text, *way) for way in WAYS]
        shift = min(shifts, key=lambda shift: _covered(_box(x, y, text, shift), taken))
        taken.append(_box(x, y, text, shift))
        words: Any = dict(fontsize=SIZE, color=color, ha="center", va="center")
        note = ax.annotate(text, xy, shift, textcoords="offset points", **words)
        note.set_in_layout(False)


def _shift(text: str, angle: float, far: float) -> tuple[float, float]:
    wide = 0.65 * SIZE * len(text) / 2
    return far * (5 + wide) * math.cos(angle), far * 9 * math.sin(angle)


def _drawn(ax: Any, scale: float) -> Iterator[tuple[float, float]]:
    """Yield places along all lines and intervals that are a few points of the page apart."""
    paths = [line.get_xydata() for line in ax.lines]
    for bars in ax.collections:
        paths += bars.get_segments() if hasattr(bars, "get_segments") else []
    for path in paths:
        spots = [scale * ax.transData.transform(spot) for spot in path]
        for (x, y), (u, v) in pairwise(spots):
            steps = max(1, round(math.hypot(u - x, v - y) / 3))
            parts = (k / steps for k in range(steps + 1))
            yield from ((x + (u - x) * part, y + (v - y) * part) for part in parts)


def _box(x: float, y: float, text: str, shift: tuple[float, float]) -> Box:
    """Return about where the text would stand, if letters are 0.65 of their size wide."""
    wide, high = 0.65 * SIZE * max(len(text), 1) / 2, 0.5 * SIZE
    x, y = x + shift[0], y + shift[1]
    return x - wide, y - high, x + wide, y + high


def _covered(box: Box, taken: Iterable[Box]) -> float:
    """Return the area that the box shares with boxes that are taken already."""
    left, low, right, high = box
    return sum(
        max(0.0, min(right, r) - max(left, l)) * max(0.0, min(high, t) - max(low, b))
        for l, b, r, t in taken  # noqa: E741
    )
