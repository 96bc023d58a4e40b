"""`python -m parallel memory --params 7.5e9 --ranks 64`: what a rank holds and sends under ZeRO.

    stage        held                          sent in a step
    all_reduce   (p + g + K) N                 2 r p N
    zero1        (p + g) N + K S               2 r p N
    zero2        p N + (g + K) S               2 r p N
    zero3        (p + g + K) S                 3 r p N

N numbers, S = ceil(N / ranks), r = (ranks - 1) / ranks; p, g, K are bytes of a weight, its gradient
and its state. `mixed` are 2, 2 and a float32 copy beside the state. Activations are not counted.
"""

import importlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from harness import flags
from harness.names import check
from harness.result import export, screen

STATES = {"adam": 2, "momentum": 1, "sgd": 0}  # float32 numbers that an optimizer keeps of each
STAGES = ("all_reduce", "zero1", "zero2", "zero3")
HEADS = ["strategy", "parameters", "gradients", "optimizer", "held", "sent in a step"]


@dataclass(frozen=True)
class Options:
    """Show what a rank holds and sends, by formula: all-reduce and the three stages of ZeRO."""

    params: Annotated[str, tyro.conf.arg(metavar="N")] = ""
    """Weights that are trained, such as 7.5e9."""
    model: Annotated[str, tyro.conf.arg(metavar="NAME")] = ""
    """Count them instead: a model of torchvision (resnet18), or package.module:function."""
    ranks: int = 64
    """How many workers divide them."""
    optimizer: Annotated[str, tyro.conf.arg(metavar="adam|momentum|sgd")] = "adam"
    """What it keeps of each weight: two numbers, one, none."""
    precision: Literal["mixed", "float32"] = "mixed"
    """mixed: weights and gradients of 2 bytes, and a float32 copy of the weights to step."""
    json: bool = False
    """Print a list of objects, one for each strategy, in bytes."""
    to: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the table there: as .csv, .tex, .md or .json, by the name's ending."""


def table(size: int, ranks: int, optimizer: str, precision: str) -> list[dict[str, Any]]:
    """Return bytes that the first rank holds and that a rank sends, for each strategy.

    Raises:
        ValueError: an unknown optimizer, or no ranks or weights.
    """
    from parallel.strategy import make
    from parallel.strategy.zero import Held, held

    if size < 1 or ranks < 1:
        raise ValueError(f"expected 1 or more weights and ranks, got {size} and {ranks}")
    kept = 4 * STATES[check("optimizer", optimizer, STATES)]
    each = Held(2, 2, 4 + kept) if precision == "mixed" else Held(4, 4, kept)
    found = []
    for stage, name in enumerate(STAGES):
        strategy = make(name)
        strategy.init(ranks)
        bytes_held = held(stage, size, ranks, each)
        sent = strategy.theory(each.parameters * size)
        found.append({"name": name, **asdict(bytes_held), "held": bytes_held.total, "sent": sent})
    return found


def counted(name: str) -> int:
    """Return the weights that are trained of a model, which is made without memory for them.

    Raises:
        ValueError: there is no such model.
    """
    import torch
    from torch import nn

    with torch.device("meta"):
        model = _made(name)
    if not isinstance(model, nn.Module):
        raise ValueError(f"--model {name}: expected an nn.Module, got a {type(model).__name__}")
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _made(name: str) -> Any:
    place, colon, function = name.partition(":")
    if colon:
        try:
            return getattr(importlib.import_module(place), function)()
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(
                f"--model {name}: expected package.module:function ({error})"
            ) from None
    from torchvision.models import get_model, list_models

    return get_model(check("model", name, list_models()), weights=None)


def size_of(params: str, model: str) -> int:
    """Return how many weights the command line says.

    Raises:
        ValueError: it says none, or two different things.
    """
    if bool(params) == bool(model):
        raise ValueError("expected one of --params 7.5e9 and --model resnet18")
    if model:
        return counted(model)
    try:
        number = float(params)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number == int(number)):
        raise ValueError(f"--params {params}: expected a whole number such as 7.5e9")
    return int(number)


def main(argv: Sequence[str]) -> int:
    """Run the verb."""
    options = flags.read(Options, argv, "python -m parallel memory")
    export.check(options.to)
    size = size_of(options.params, options.model)
    lines = table(size, options.ranks, options.optimizer, options.precision)
    rows = [[line["name"], *(said(v) for v in list(line.values())[1:])] for line in lines]
    if options.to:
        export.write(options.to, lines, HEADS, rows)
    if options.json:
        print(json.dumps(lines))
        return 0
    how = f"{options.optimizer}, {options.precision}"
    screen.show(f"{size:,} weights on {options.ranks} ranks ({how})", HEADS, rows)
    return 0


def said(size: float) -> str:
    """Return bytes in the unit that leaves three digits before the point, or fewer."""
    for unit, least in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= least:
            return f"{size / least:.1f} {unit}"
    return f"{size:.0f} B"
