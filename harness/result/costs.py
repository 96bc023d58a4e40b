"""`python -m <study> costs`: what each model costs, counted and measured, in one table.

A study counts its models with `line` and `timed` and gives the lines to `show`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from torch import nn

from harness import cost
from harness.result import export, screen

HEADS = {
    "name": "model",
    "connections": "connections",
    "parameters": "parameters",
    "biases": "biases",
    "macs": "MACs",
    "flops": "FLOPs",
    "bytes": "bytes",
    "flop_counter": "FlopCounterMode",
    "thop": "thop",
    "norm_elements": "norm elements",
    "latency_1_us": "batch 1, us",
    "latency_128_us": "batch 128, us",
}
LARGE = ("macs", "flops", "flop_counter", "thop", "norm_elements")  # shown in millions, if asked


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the verb understands in every study."""

    mode: Literal["true", "iddl"] = "true"
    """true: 2 per multiply-add, plus biases and norms; iddl: as the original study counted."""
    latency: bool = True
    """Measure a forward pass at batch 1 and 128."""
    json: bool = False
    """Print a list of objects, one per model."""
    to: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the table there: as .csv, .tex, .md or .json, by the name's ending."""


def line(name: str, model: nn.Module, total: cost.Cost, mode: str, **more: Any) -> dict[str, Any]:
    """Return one row of the table: name and sizes, then what is in `more`, and the costs."""
    parameters = sum(p.numel() for p in model.parameters())
    head = {"name": name, "connections": total.nonzeros, "parameters": parameters}
    return head | more | {"macs": total.macs, "flops": total.flops(mode), "bytes": total.bytes}


def timed(model: nn.Module, shape: tuple[int, ...]) -> dict[str, float]:
    """Measure the microseconds of a forward pass of one sample, and of one of 128 samples."""
    return {f"latency_{n}_us": 1e6 * cost.latency(model, shape, n) for n in (1, 128)}


def show(title: str, lines: Sequence[dict[str, Any]], options: Options, millions: bool) -> None:
    """Print the table in the form that the options ask for, and write it to a file if they do."""
    heads, rows = cells(lines, millions)
    if options.to:
        export.write(options.to, lines, heads, rows)
    if options.json:
        print(json.dumps(lines))
    else:
        screen.show(f"{title} (FLOPs mode {options.mode})", heads, rows)


def cells(lines: Sequence[dict[str, Any]], millions: bool) -> tuple[list[str], list[list[str]]]:
    """Return the heads of those columns that the lines have, and the text of each cell."""
    keys = [key for key in HEADS if key in lines[0]]
    heads = [HEADS[key] + " (M)" * (millions and key in LARGE) for key in keys]
    return heads, [[_text(row[key], millions and key in LARGE) for key in keys] for row in lines]


def _text(value: Any, millions: bool) -> str:
    if millions:
        return f"{value / 1e6:,.2f}"
    if isinstance(value, str):
        return value
    return f"{value:,.1f}" if isinstance(value, float) and value < 1000 else f"{value:,.0f}"
