"""`python -m parallel clock --params 25.6e6`: seconds of a step that nobody here can measure.

    seconds a step = compute + bytes of the busiest host / rate + rounds x latency

The bytes and rounds are counted in the strategy's own plan, over some steps (`predicted`); compute
is what a worker needs for its batch, which stays as large when workers are added. Hosts share
nothing but a switch that is never the bottleneck, and nothing is sent while they compute.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from harness import flags
from harness.result import export, screen
from parallel.linked.names import NAMES, SHAPED
from parallel.zero.memory import shapes_of

ASKED = (*SHAPED, "hierarchical")  # not for all workers, so only by name


@dataclass(frozen=True)
class Options:
    """Predict the seconds of a step over workers and bandwidth, and draw them."""

    params: Annotated[str, tyro.conf.arg(metavar="N")] = ""
    """Weights that are trained, such as 25.6e6."""
    model: Annotated[str, tyro.conf.arg(metavar="NAME")] = ""
    """Count them instead: a model of torchvision (resnet50), or package.module:function."""
    bytes: int = 4
    """Of a weight where it is sent."""
    compute: float = 100.0
    """Milliseconds in which a worker computes its part of a step."""
    latency: float = 0.05
    """Milliseconds that a message is under way."""
    per_host: int = 1
    """Workers that share a host and its cable, such as 8."""
    gbit: tuple[float, ...] = (1, 10, 100, 400)
    """Gigabits a second that leave a host."""
    workers: tuple[int, ...] = (8, 16, 32, 64, 128, 256, 512, 1024)
    """How many of them."""
    strategies: tuple[str, ...] = tuple(name for name in NAMES if name not in ASKED)
    """Which, as study link calls them; also hierarchical, and of a --model power-sgd."""
    json: bool = False
    """Print a list of objects, one for each strategy, rate and number of workers."""
    to: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the table there: as .csv, .tex, .md or .json, by the name's ending."""
    figure: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also draw it there, as FILE.png, FILE.eps and FILE.json."""


def seconds(options: Options, shapes: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    """Return a line for each strategy, rate and number of workers.

    Raises:
        ValueError: a number that cannot be, or an unknown strategy.
    """
    numbers = (options.bytes, options.per_host, *options.gbit, *options.workers)
    if not (options.gbit and options.workers and options.strategies):
        raise ValueError("expected one or more of --gbit, --workers and --strategies each")
    finite = all(map(math.isfinite, (*numbers, options.compute, options.latency)))
    if not finite or min(numbers) <= 0 or min(options.compute, options.latency) < 0:
        raise ValueError(
            "expected bytes, per-host, gbit and workers above 0, compute and latency of 0 or more, "
            "none infinite, "
            f"got {options.bytes}, {options.per_host}, {options.gbit}, {options.workers}, "
            f"{options.compute} and {options.latency}"
        )
    from parallel.linked.step import in_a_step

    lines = []
    for name in options.strategies:
        if name in SHAPED and options.params:
            raise ValueError(f"{name} sends of each layer what its shape says: give --model")
        for workers in options.workers:
            if name == "hierarchical" and workers % options.per_host:
                raise ValueError(
                    f"--workers {workers} do not fill hosts of --per-host {options.per_host}, as "
                    "hierarchical needs it"
                )
            sent, rounds = in_a_step(name, workers, shapes, options.bytes, options.per_host)
            for rate in options.gbit:
                cable = 8 * sent / (rate * 1e9) + rounds * options.latency / 1e3
                line = {"strategy": name, "gbit": rate, "workers": workers}
                lines.append(line | {"seconds": options.compute / 1e3 + cable})
    return lines


def draw(lines: Sequence[Mapping[str, Any]], note: str, path: Path) -> list[Path]:
    """Draw a panel for each rate, and save it."""
    from matplotlib.figure import Figure

    from harness.result import figure, titles

    rates = list(dict.fromkeys(line["gbit"] for line in lines))
    with figure.style():
        fig = Figure(figsize=(9.6, 3.2 * ((len(rates) + 1) // 2) + 1.0))
        axes = fig.subplots((len(rates) + 1) // 2, 2, sharey=True, squeeze=False)
        for ax, rate in zip(axes.flat, rates, strict=False):
            _panel(ax, [line for line in lines if line["gbit"] == rate])
            ax.set(title=f"{rate:g} Gbit/s", xlabel="workers")
        for row in axes:
            row[0].set_ylabel("seconds a step")
        for ax in axes.flat[len(rates) :]:
            ax.set_visible(False)
        handles, labels = axes[0][0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=5)
        titles.headline(fig, note)
    return figure.save(fig, path.with_suffix(""), {"note": note, "lines": list(lines)})


def _panel(ax: Any, lines: Sequence[Mapping[str, Any]]) -> None:
    from harness.result import figure
    from parallel.plots.link import LABELS

    for k, name in enumerate(dict.fromkeys(line["strategy"] for line in lines)):
        points = [(x["workers"], x["seconds"]) for x in lines if x["strategy"] == name]
        ax.plot(*zip(*points, strict=True), label=LABELS.get(name, name), **figure.look(k))
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks([x for x, _ in points], [f"{x:,}" for x, _ in points])


def main(argv: Sequence[str]) -> int:
    """Run the verb."""
    options = flags.read(Options, argv, "python -m parallel clock")
    export.check(options.to)
    shapes = shapes_of(options.params, options.model)
    lines = seconds(options, shapes)
    heads, rows = grid(lines, options.workers)
    note = about(options, sum(map(math.prod, shapes)))
    if options.to:
        export.write(options.to, lines, heads, rows)
    if options.figure:
        draw(lines, note, options.figure)
    if options.json:
        print(json.dumps(lines))
    else:
        screen.show(f"seconds a step, {note}", heads, rows)
    return 0


def about(options: Options, size: int) -> str:
    """Say what the seconds are of."""
    shared = f", {options.per_host} workers a host" * (options.per_host > 1)
    return (
        f"predicted: {size:,} weights of {options.bytes} bytes, {options.compute:g} ms of "
        f"compute, {options.latency:g} ms of latency{shared}"
    )


def grid(lines: Sequence[Mapping[str, Any]], workers: Sequence[int]) -> tuple[list[str], list]:
    """Return heads, and a row for each strategy and rate."""
    found: dict[tuple, list[str]] = {}
    for line in lines:
        cells = found.setdefault((line["strategy"], line["gbit"]), [])
        cells.append(f"{line['seconds']:#.3g}")
    heads = ["strategy", "Gbit/s", *(f"{n:,} workers" for n in workers)]
    return heads, [[name, f"{rate:g}", *cells] for (name, rate), cells in found.items()]
