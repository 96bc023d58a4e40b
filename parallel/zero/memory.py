"""`python -m parallel memory --params 7.5e9 --ranks 64`: what a rank holds and sends under ZeRO.

The formulas are those of parallel/zero/formulas.py.
"""

import importlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from harness import flags
from harness.names import check
from harness.result import export, screen

HEADS = {"name": "strategy", "sent": "sent in a step"}  # where a column is no key
ROW = 2**30  # weights of a row, where only their number is known: places in it are int32
ROWS = 10**5  # of them, each of which the clock goes through: 1e14 weights
MOST = 1e18  # what --params may say: far above all nets
PAPER = "7.5e9"  # weights of the paper's example: those of a page that is told none


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
    activations: Annotated[str, tyro.conf.arg(metavar="N")] = "0"
    """Numbers that a rank keeps of the forward for its backward, such as 1e9."""
    html: Annotated[Path | None, tyro.conf.arg(metavar="FILE.html")] = None
    """Also write a page there: sliders for all of this, and what was measured on the curves."""
    json: bool = False
    """Print a list of objects, one for each strategy, in bytes."""
    to: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the table there: as .csv, .tex, .md or .json, by the name's ending."""


def counted(name: str) -> int:
    """Return how many weights of a model are trained."""
    return sum(map(math.prod, shapes_in(name)))


def shapes_in(name: str) -> list[tuple[int, ...]]:
    """Return the shapes that are trained of a model, which is made without memory for them.

    Raises:
        ValueError: there is no such model.
    """
    import torch
    from torch import nn

    with torch.device("meta"):
        model = _made(name)
    if not isinstance(model, nn.Module):
        raise ValueError(f"--model {name}: expected an nn.Module, got a {type(model).__name__}")
    return [tuple(p.shape) for p in model.parameters() if p.requires_grad]


def _made(name: str) -> Any:
    place, colon, function = name.partition(":")
    if colon:
        try:
            found = getattr(importlib.import_module(place), function)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(
                f"--model {name}: expected package.module:function ({error})"
            ) from None
        try:
            return found()
        except Exception as error:
            raise ValueError(
                f"--model {name}: calling it without arguments failed ({type(error).__name__}: "
                f"{error}); name a function that makes a net of nothing else"
            ) from error
    from torchvision.models import get_model, list_models

    return get_model(check("model", name, list_models()), weights=None)


def size_of(params: str, model: str) -> int:
    """Return how many weights the command line says.

    Raises:
        ValueError: it says none, or two different things.
    """
    if bool(params) == bool(model):
        raise ValueError("expected one of --params 7.5e9 and --model resnet18")
    return counted(model) if model else whole("--params", params)


def shapes_of(params: str, model: str) -> list[tuple[int, ...]]:
    """Return the shapes that the command line says; a number of weights is some rows of them.

    Raises:
        ValueError: it says none, two different things, or more than can be gone through.
    """
    if model and not params:
        return shapes_in(model)
    size = size_of(params, model)
    if size > ROWS * ROW:
        raise ValueError(f"--params {params}: expected at most {ROWS * ROW:.0e} weights here")
    return [*[(ROW,)] * (size // ROW), (size % ROW,)]


def whole(flag: str, text: str) -> int:
    """Return the whole number of a flag, which may be written as 7.5e9.

    Raises:
        ValueError: it is none, less than nothing, or too many.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (0 <= number <= MOST and number == int(number)):
        raise ValueError(f"{flag} {text}: expected a whole number such as 7.5e9, up to {MOST:.0e}")
    return int(number)


def main(argv: Sequence[str]) -> int:
    """Run the verb."""
    o = flags.read(Options, argv, "python -m parallel memory")
    from parallel.zero.formulas import table  # (torch comes with it, which --help does not need)

    export.check(o.to)
    size = size_of(o.params or (PAPER if o.html and not o.model else ""), o.model)
    activations = whole("--activations", o.activations)
    lines = table(size, o.ranks, o.optimizer, o.precision, activations)
    heads = [HEADS.get(key, key) for key in lines[0]]
    rows = [[line["name"], *(said(v) for v in list(line.values())[1:])] for line in lines]
    if o.html:
        _page(o, size, activations)
    if o.to:
        export.write(o.to, lines, heads, rows)
    if o.json:
        print(json.dumps(lines))
    else:
        how = f"{size:,} weights on {o.ranks} ranks ({o.optimizer}, {o.precision})"
        screen.show(how, heads, rows)
    return 0


def _page(o: Options, size: int, activations: int) -> None:
    from parallel.zero.web.page import Setting, write

    assert o.html is not None
    write(o.html, Setting(size, o.ranks, o.optimizer, o.precision, activations))


def said(size: float) -> str:
    """Return bytes in the unit that leaves three digits before the point, or fewer."""
    for unit, least in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= least:
            return f"{size / least:.1f} {unit}"
    return f"{size:.0f} B"
