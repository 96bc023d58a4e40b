"""Figures for papers: each saved as PNG + EPS + the JSON of its data.

Colours are Okabe and Ito's (safe for colour-blind readers); every series also has its own marker
and line, so that grey prints stay readable. EPS knows no transparency: bands are opaque tints in
it. Its letters are outlines: sharp at any size, no font to embed (publishers refuse Type 3), and a
fifteenth of the time that embedding TrueType takes (2.0 instead of 15.4 CPU seconds for the five
figures of `mlp smoke`, of which 1.0 are left since the layout is solved once a figure).
Figures are matplotlib.figure.Figure objects, made without pyplot: no global state.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.patheffects import Normal
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from harness.experiment import Experiment
from harness.record import store
from harness.result import logs
from harness.result.stats import Interval, interval

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))

SHARE, BAND = 0.22, "_band"  # opacity of what `band` fills, and how that is found again

STYLE: Any = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.handlelength": 2.8,
    "lines.linewidth": 1.6,
    "lines.markersize": 6,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 200,
    "svg.hashsalt": "iddl",
    "svg.fonttype": "none",  # letters stay letters: a quarter of the bytes, and they can be found
}


@contextmanager
def style() -> Iterator[None]:
    """Apply the style of the project to the figures that are made inside the block."""
    with matplotlib.rc_context(STYLE):
        yield


def tint(color: Any, share: float = SHARE) -> tuple[float, float, float]:
    """Return the opaque colour that looks on white as `color` does at this opacity."""
    r, g, b = (1 - share * (1 - c) for c in to_rgb(color))
    return r, g, b


def look(i: int) -> dict[str, Any]:
    """Return colour, marker and line of the i-th series; after 64 series they repeat."""
    other = (i + i // 8) % 8
    return dict(color=COLORS[i % 8], marker=MARKERS[other], linestyle=LINES[other])


def save(fig: Figure, stem: Path, data: Any) -> list[Path]:
    """Write stem.png, stem.eps and stem.json; the same picture gives the same bytes."""
    paths = []
    settle(fig)
    with _fixed_date(), style():
        png = _render(fig, "png", {"Software": None})
        paths.append(store.write(stem.with_name(f"{stem.name}.png"), png))
        with _outlines(fig), _opaque(fig):
            eps = _render(fig, "eps", {"Creator": "iddl"})
        paths.append(store.write(stem.with_name(f"{stem.name}.eps"), eps))
    text = json.dumps(data, indent=1, allow_nan=False) + "\n"
    return [*paths, store.write(stem.with_name(f"{stem.name}.json"), text)]


def settle(fig: Figure) -> None:
    """Solve the layout once for all formats; each rendering would solve it again.

    At the resolution of the PNG: at another one hinted letters have other widths, by some per cent.
    """
    logs.plain(fig)
    if isinstance(fig.get_layout_engine(), PlaceHolderLayoutEngine | None):
        return  # it has none, or is settled
    with style():
        before, fig.dpi = fig.dpi, matplotlib.rcParams["savefig.dpi"]
        fig.draw_without_rendering()
        fig.dpi = before
    fig.set_layout_engine("none")


@contextmanager
def _outlines(fig: Figure) -> Iterator[None]:
    """Draw every text as outlines inside the block; a path effect that changes nothing does it."""
    texts = fig.findobj(Text)
    before = [text.get_path_effects() for text in texts]
    try:
        for text in texts:
            text.set_path_effects([Normal()])
        yield
    finally:
        for text, effects in zip(texts, before, strict=True):
            text.set_path_effects(effects)


@contextmanager
def _opaque(fig: Figure) -> Iterator[None]:
    """Draw bands inside the block as the opaque tints that they would be on white."""
    bands = fig.findobj(lambda artist: artist.get_label() == BAND)
    before: list[Any] = [band.get_facecolor() for band in bands]  # pyright: ignore
    try:
        for band, color in zip(bands, before, strict=True):
            band.set(alpha=None, facecolor=tint(color[0][:3]))
        yield
    finally:
        for band, color in zip(bands, before, strict=True):
            band.set(alpha=SHARE, facecolor=color[0][:3])


def brief(paths: Sequence[Path]) -> str:
    """Describe in one line where the files of several figures are."""
    if not paths:
        return "none"
    stems = list(dict.fromkeys(path.stem for path in paths))
    return f"{relative(paths[0].parent)}/: {', '.join(stems)} (.png .eps .json)"


def relative(path: Path) -> Path:
    """Return the path relative to the working directory if it lies below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def svg(fig: Figure) -> str:
    """Return the figure as an <svg> element that a page can hold."""
    settle(fig)
    with style():
        text = _render(fig, "svg", {"Date": None, "Creator": None}).decode()
    return text[text.index("<svg") :]


def sentence(fig: Figure) -> str:
    """Describe in words what the figure shows, for readers who do not see it and for searches."""
    panels = list(dict.fromkeys(filter(None, map(_panel, fig.axes))))
    lines = dict.fromkeys(
        text
        for ax in fig.axes
        for text in ax.get_legend_handles_labels()[1]
        if not text.startswith("_")
    )
    of = f", for {', '.join(lines)}" if lines else ""
    words = "; ".join(panels)
    on = fig.get_suptitle().split()
    return f"{words[:1].upper()}{words[1:]}{of}." + f" {' '.join(on)}." * bool(on)


def _panel(ax: Any) -> str:
    """Describe one panel in words, such as "test loss over epoch (hidden 16-20)"."""
    y, x, title = (" ".join(t.split()) for t in (ax.get_ylabel(), ax.get_xlabel(), ax.get_title()))
    words = " over ".join(filter(None, (y, x)))
    letter = f"({ax.get_title('left')}) " * bool(ax.get_title("left"))
    return letter + (f"{words} ({title})" if words and title else words or title)


def _render(fig: Figure, kind: str, metadata: Mapping[str, Any]) -> bytes:
    import io

    buffer = io.BytesIO()
    fig.savefig(buffer, format=kind, metadata=dict(metadata))
    return buffer.getvalue()


@contextmanager
def _fixed_date() -> Iterator[None]:
    before = os.environ.get("SOURCE_DATE_EPOCH")
    os.environ["SOURCE_DATE_EPOCH"] = before or "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ["SOURCE_DATE_EPOCH"]


def curves(
    experiment: Experiment, metric: str, arms: Sequence[str], label: str = "", row: str = "epoch"
) -> Figure:
    """Draw the mean of a metric per epoch (or row) with its interval, as one line per arm."""
    with style():
        fig = Figure(figsize=(7, 4.2))
        ax = fig.add_subplot()
        for i, arm in enumerate(arms):
            data = by_epoch(experiment, metric, arm)
            if data:
                band(ax, data, i, arm)
        ax.set(xlabel=row, ylabel=label or metric.replace("_", " "))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if ax.has_data():
            ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return fig


def by_epoch(experiment: Experiment, metric: str, arm: str) -> dict[str, list]:
    """Return epochs with mean, low and high over the seeds; empty where the arm has no values."""
    values: dict[int, list[float]] = {}
    for run in experiment.done():
        for row in run.rows if run.arm == arm else ():
            if row.get(metric) is not None:
                values.setdefault(row["epoch"], []).append(row[metric])
    epochs = sorted(values)
    if not epochs:
        return {}
    return {"x": epochs, **columns(interval(values[e]) for e in epochs)}


def columns(intervals: Iterable[Interval]) -> dict[str, list[float]]:
    """Return means and ends of intervals as the columns that `bars` and `band` take."""
    found = [(i.mean, *i.ends) for i in intervals]
    return {name: [row[k] for row in found] for k, name in enumerate(("mean", "low", "high"))}


def beside(x: Sequence[float], i: int, n: int, share: float = 0.05) -> list[float]:
    """Return where to place series i of n on a log-2 axis so that none hides another."""
    return [v * 2 ** (share * (2 * i - n + 1)) for v in x]


def bars(ax, data: Mapping[str, Sequence[float]], i: int, label: str) -> None:
    """Draw points with their intervals, joined by a line."""
    ends = [
        [abs(m - v) for m, v in zip(data["mean"], data[k], strict=True)] for k in ("low", "high")
    ]
    ax.errorbar(data["x"], data["mean"], yerr=ends, capsize=3, label=label, **look(i))


def band(ax, data: Mapping[str, Sequence[float]], i: int, label: str) -> None:
    """Draw a line over a tint that reaches from low to high; bands lie under all lines."""
    face: Any = dict(color=COLORS[i % 8], alpha=SHARE, label=BAND)
    ax.fill_between(data["x"], data["low"], data["high"], linewidth=0, zorder=1.5, **face)
    over = 2 + 0.01 * i
    ax.plot(data["x"], data["mean"], markersize=4, label=label, zorder=over, **look(i))
