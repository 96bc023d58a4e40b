"""Labels logarithmic axes with plain numbers, 300 and 2,000, as many as have room.

Matplotlib labels an axis from 400 to 2,000 with 4 x 10^2, 6 x 10^2, 10^3, 2 x 10^3, which nobody
reads at a glance and which touch each other.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import ceil, floor, log, log10
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

STEPS = ((1, 2, 3, 5), (1, 2, 5), (1, 3))  # labels within a decade, the most first
PLAIN = 1e-4, 1e7  # beyond these a power of ten is shorter
LETTER, LINE, GAP = 0.65, 1.2, 5  # width and height of a letter in its size; points between labels


def plain(fig: Figure) -> None:
    """Give those logarithmic axes of a figure plain numbers that have no labels of their own.

    It looks at where the axes end, so it is called when all is drawn.
    """
    for ax in fig.axes:
        for axis, ends in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
            if _bare(axis, *sorted(ends)):
                _label(axis, *sorted(ends))


def _label(axis: Any, low: float, high: float) -> None:
    """Label one axis with the most numbers that do not touch; places of its own stay."""
    if isinstance(axis.get_major_locator(), LogLocator):
        size, wide = axis.get_ticklabels()[0].get_fontsize(), axis.axis_name == "x"
        scale = _room(axis) / log(high / low)
        tried = _places(low, high, axis.get_transform().base)
        axis.set_major_locator(FixedLocator(next(v for v in tried if _apart(v, scale, size, wide))))
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axis.set_minor_formatter(NullFormatter())


def number(value: float) -> str:
    """Return a number as people write it.

    >>> [number(value) for value in (0.003, 20, 1_500_000)]
    ['0.003', '20', '1,500,000']
    """
    return f"{value:,.10f}".rstrip("0").rstrip(".")


def _bare(axis: Any, low: float, high: float) -> bool:
    default = axis.get_scale() == "log" and axis.isDefault_majfmt
    return default and low >= PLAIN[0] and high <= PLAIN[1]


def _room(axis: Any) -> float:
    """Return the length of an axis in points, as far as it is known before the layout is."""
    box = axis.axes.get_window_extent()
    return 72 / axis.axes.figure.dpi * (box.width if axis.axis_name == "x" else box.height)


def _places(low: float, high: float, base: float) -> Iterator[list[float]]:
    """Yield where labels may stand, the most first, at the end a single one."""
    first, last = floor(log(low, base)), ceil(log(high, base))
    found = []
    for steps in STEPS if base == 10 else ((1,),):
        every = (step * base**power for power in range(first, last + 1) for step in steps)
        found.append([value for value in every if low <= value <= high])
    if len(found[0]) < 2:  # (320 to 480 has none of these)
        found = [_even(low, high, count) for count in (5, 3, 2)]
    yield from found
    for stride in range(1, last - first + 2):
        every = (base**power for power in range(first, last + 1) if power % stride == 0)
        yield [value for value in every if low <= value <= high]
    yield [10.0 ** round(log10(low * high) / 2)]


def _even(low: float, high: float, count: int) -> list[float]:
    """Return round numbers at equal distances, so many gaps at most."""
    return [v for v in map(float, MaxNLocator(count).tick_values(low, high)) if low <= v <= high]


def _apart(values: Sequence[float], scale: float, size: float, wide: bool) -> bool:
    """Return whether there are labels, and room between them; `scale`: points for each e."""
    takes = [LETTER * size * len(number(v)) + GAP if wide else LINE * size for v in values]
    pairs = zip(pairwise(values), pairwise(takes), strict=True)
    return bool(values) and all(scale * log(b / a) >= (u + v) / 2 for (a, b), (u, v) in pairs)
