"""`python -m bibd draw --in 16 --out 20 --pattern bibd [--conv]`: a pattern to look at.

layer         the bipartite graph of inputs and outputs; the incidence table; and for each pair
              of inputs how many outputs read both (a BIBD is one colour)
convolution   the same table between channels, each connection a whole kernel
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from matplotlib.collections import LineCollection
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bibd.certificate import certify
from bibd.options import LayerOptions
from bibd.pattern import Pattern, make_pattern, without_dead
from harness import flags
from harness.result import figure

MOST = 5000  # connections that one can still see as lines
CROWD = 150  # and tell apart
SHARP: Any = {"interpolation": "none"}  # cells as they are, not as pixels of this resolution
SHADES = ("white", "#0072B2", "#56B4E9", "#dddddd")  # nothing, a kernel's checks, another group's
MOST_LAYER = 4096  # inputs or outputs that fit a picture
MOST_KERNEL = 15
MOST_CONV = 1 << 16  # pairs of channels that one can still tell apart as kernels


@dataclass(frozen=True)
class Options(LayerOptions):
    """Draw the pattern that a layer of this size would have; writes PNG, EPS and JSON."""

    conv: bool = False
    """Draw a convolution: kernels between channels."""
    kernel: int = 3
    """Side of its kernels."""
    groups: int = 1
    """Its groups, each with a pattern of its own."""
    to: Annotated[Path | None, tyro.conf.arg(metavar="STEM")] = None
    """Files to write, without suffix, or a folder; default: bibd_<pattern>_<in>x<out> here."""
    json: bool = False
    """Print one JSON object with the paths, and nothing else."""

    def check(self) -> None:
        """Refuse what cannot be drawn, in a sentence and not in the parser's box.

        Raises:
            ValueError: sizes that nobody could see, or options of a convolution for a layer.
        """
        if not 1 <= self.kernel <= MOST_KERNEL:
            raise ValueError(f"--kernel must be 1 to {MOST_KERNEL}, got {self.kernel}")
        if (self.groups > 1 or self.kernel != 3) and not self.conv:
            raise ValueError("--groups and --kernel are for a convolution: add --conv")
        if max(self.inputs, self.outputs) > MOST_LAYER:
            raise ValueError(
                f"{self.inputs} x {self.outputs} are too many to see; a picture has at most "
                f"{MOST_LAYER} inputs and outputs (certify takes more)"
            )
        if self.conv and self.inputs * self.outputs > MOST_CONV:
            raise ValueError(
                f"{self.inputs} x {self.outputs} kernels are too many to see; a picture of a "
                f"convolution has at most {MOST_CONV} pairs of channels"
            )


def main(argv: Sequence[str]) -> int:
    """Draw the pattern that the command line asks for and return the exit status."""
    options = flags.read(Options, argv, "python -m bibd draw")
    options.check()
    sizes = options.inputs, options.outputs, options.seed, options.nonzeros, options.groups
    pattern = make_pattern(options.pattern, *sizes)
    pattern = without_dead(pattern) if options.conv else pattern
    fig = channels(pattern, options.kernel) if options.conv else layer(pattern)
    kind = "conv_" if options.conv else ""
    name = f"bibd_{kind}{options.pattern}_{options.inputs}x{options.outputs}"
    stem = options.to or Path(name)
    stem = stem / name if stem.is_dir() else stem
    found = {"pattern": str(pattern), "label": pattern.label, "groups": pattern.groups}
    blocks = np.split(pattern.indices, pattern.indptr[1:-1])
    data = found | {"blocks": [block.tolist() for block in blocks]}
    try:
        paths = figure.save(fig, stem, data)
    except OSError as error:
        raise OSError(f"cannot write {stem} ({error}): name another place with --to") from None
    if options.json:
        print(json.dumps(found | {"paths": [str(path) for path in paths]}))
    else:
        print(f"{pattern}: {pattern.label}\n" + "\n".join(map(str, paths)))
    return 0


def layer(pattern: Pattern) -> Figure:
    """Draw graph, table and pairs side by side; the graph only if its lines can be told apart."""
    graph = pattern.nonzeros <= MOST
    with figure.style():
        fig = Figure(figsize=(12.6 if graph else 8.4, 4.9))
        axes = fig.subplots(1, 3 if graph else 2)
        if graph:
            bipartite(axes[0], pattern)
        incidence(axes[-2], pattern)
        pairs(axes[-1], pattern)
        fig.suptitle(headline(pattern), fontsize=11, x=0.01, ha="left")
    return fig


def headline(pattern: Pattern) -> str:
    """Return the name of a pattern, its label, and what the label rests on."""
    c = certify(pattern)
    constants = {"v": c.v, "b": c.b, "r": c.r, "k": c.k, "lam": c.lam}
    known = ", ".join(f"{k}={v}" for k, v in constants.items() if v is not None)
    sigma = f"sigma2 {c.sigma2:.3f}, least {c.sigma2_lower_bound:.3f}"
    return f"{pattern}: {c.label}   ({known}; {sigma})"


def classes(pattern: Pattern) -> np.ndarray:
    """Number the runs of outputs that share no input: a design's parallel classes."""
    number, seen, found = 0, np.zeros(pattern.in_features, dtype=bool), []
    for block in np.split(pattern.indices, pattern.indptr[1:-1]):
        if seen[block].any():
            number, seen[:] = number + 1, False
        seen[block] = True
        found.append(number)
    return np.array(found)


def bipartite(ax: Any, pattern: Pattern) -> None:
    """Draw inputs below, outputs above, and a colour per run of outputs without common inputs.

    Where there are too many lines for that, three outputs stand for all.
    """
    v, b = pattern.shape
    x_in, x_out = (np.arange(v) + 0.5) / v, (np.arange(b) + 0.5) / b
    of_class = classes(pattern)
    colors = np.array([figure.COLORS[c % 8] for c in of_class], dtype=object)
    if pattern.nonzeros > CROWD:
        colors[:] = "#d4d4d4"
        for i, output in enumerate((b // 6, b // 2, b - 1 - b // 6)):
            colors[output] = figure.COLORS[i]
    order = np.argsort(colors[pattern.rows] != "#d4d4d4", kind="stable")  # grey below
    lines = np.zeros((pattern.nonzeros, 2, 2))
    lines[:, 0, 0], lines[:, 1, 0], lines[:, 1, 1] = x_in[pattern.indices], x_out[pattern.rows], 1
    width = 1.3 if pattern.nonzeros <= 4 * CROWD else 0.8
    shades = list(colors[pattern.rows][order])
    ax.add_collection(LineCollection(list(lines[order]), colors=shades, lw=width))
    size = float(np.clip(900 / max(v, b), 2, 40))
    ax.scatter(x_in, np.zeros(v), s=size, color="black", zorder=3)
    ax.scatter(x_out, np.ones(b), s=size, c=list(colors), edgecolors="black", lw=0.4, zorder=3)
    ax.set(xlim=(0, 1), ylim=(-0.06, 1.06), xticks=[], yticks=[], title=f"{b} outputs")
    ax.set_xlabel(f"{v} inputs")
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)


def incidence(ax: Any, pattern: Pattern) -> None:
    """Draw the table with outputs downwards."""
    ax.imshow(
        pattern.mask(), cmap=ListedColormap(["white", figure.COLORS[0]]), aspect="auto", **SHARP
    )
    _frame(ax, "input", "output", "connections")
    if max(pattern.shape) <= 40:
        _lattice(ax, *pattern.shape)


def pairs(ax: Any, pattern: Pattern) -> None:
    """Draw for each pair of inputs how many outputs read both."""
    table = pattern.mask().astype(np.float32)
    met = (table.T @ table).astype(int)
    np.fill_diagonal(met, -1)
    top = max(int(met.max()), 1)
    shades = ["white", *(figure.tint("#D55E00", 0.25 + 0.75 * i / top) for i in range(1, top + 1))]
    shown = np.ma.masked_less(met, 0)
    colors = ListedColormap(shades).with_extremes(bad="#bbbbbb")
    image = ax.imshow(
        shown, cmap=colors, norm=BoundaryNorm(np.arange(-0.5, top + 1), top + 1), **SHARP
    )
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.8)
    bar.set_ticks(list(range(0, top + 1, max(1, top // 8))))
    _frame(ax, "input", "input", "outputs that read both inputs")


def channels(pattern: Pattern, kernel: int) -> Figure:
    """Draw filters downwards, input channels to the right, and a kernel per connection."""
    picture, cell = kernels(pattern, kernel), kernel + 1
    height, width = pattern.out_features, pattern.in_features * pattern.groups
    middle = (kernel + 1) / 2  # so that the number of a channel stands under its middle
    bottom, right = ((n - 0.5 - middle) / cell for n in picture.shape)
    start = (-0.5 - middle) / cell
    with figure.style():
        wide = float(np.clip(width * 0.16, 4.2, 10))
        fig = Figure(figsize=(wide, float(np.clip(wide * height / width, 2.8, 11))))
        ax = fig.add_subplot()
        sides = (start, right, bottom, start)
        ax.imshow(picture, cmap=ListedColormap(SHADES), vmin=0, vmax=3, extent=sides, **SHARP)
        _frame(ax, "input channel", "filter", "")
        label = f"{pattern} [{pattern.label}]\n{pattern.nonzeros} kernels of {kernel}x{kernel}"
        ax.set_title(label, fontsize=10, loc="left")
    return fig


def kernels(pattern: Pattern, kernel: int) -> np.ndarray:
    """Return pixels as numbers of SHADES, with a margin of a pixel around each kernel."""
    width, cell = pattern.in_features, kernel + 1
    size = pattern.out_features // pattern.groups
    shape = pattern.out_features * cell + 1, width * pattern.groups * cell + 1
    picture = np.full(shape, 3 if pattern.groups > 1 else 0)
    for g in range(pattern.groups):
        y, x = g * size * cell, g * width * cell
        picture[y : y + size * cell + 1, x : x + width * cell + 1] = 0
    checks = 1 + np.indices((kernel, kernel)).sum(0) % 2
    for row, column in zip(pattern.rows, pattern.indices, strict=True):
        y, x = row * cell + 1, (row // size * width + column) * cell + 1
        picture[y : y + kernel, x : x + kernel] = checks
    return picture


def _frame(ax: Any, x: str, y: str, title: str) -> None:
    ax.grid(visible=False)
    ax.spines[:].set_visible(True)
    ax.set(xlabel=x, ylabel=y, title=title)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))


def _lattice(ax: Any, v: int, b: int) -> None:
    for i in range(1, v):
        ax.axvline(i - 0.5, color="#e6e6e6", lw=0.5)
    for i in range(1, b):
        ax.axhline(i - 0.5, color="#e6e6e6", lw=0.5)
