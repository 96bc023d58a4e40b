"""`python -m bibd export MODULE:NAME --shape 784 --to net.onnx`: a net as a file in ONNX.

The net is a name in a module that Python can import: a net, or what makes one when it is called.
Trained weights come from a state_dict. (The net of a run: `python -m mlp export`, `resnet export`.)
"""

import importlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from torch import nn

from bibd.onnx.to_onnx import to_onnx

NAMED = "MODULE:NAME, such as torchvision.models:resnet18"


@dataclass(frozen=True)
class Options:
    """A net as a file in ONNX: sparse layers as values and places, standard operators only."""

    net: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODULE:NAME")]
    """A net, or what makes one when it is called, in a module that can be imported."""
    to: Annotated[Path, tyro.conf.arg(metavar="FILE.onnx")]
    """The file to be written."""
    shape: tuple[int, ...]
    """The shape of one input, without the batch axis: --shape 3 32 32."""
    weights: Annotated[Path | None, tyro.conf.arg(metavar="STATE.pt")] = None
    """A state_dict that torch.save has written."""
    exits: Annotated[str, tyro.conf.arg(help_behavior_hint="(default: none)")] = ""
    """Early exits: all (logits of all), if (one sample, really leaves), split (a file a part)."""
    thresholds: Annotated[
        tuple[float, ...], tyro.conf.arg(help_behavior_hint="(default: none)")
    ] = ()
    """When a sample is sure, for if and split: one for all early exits, or one each."""
    json: bool = False
    """Print one JSON object."""


def main(argv: Sequence[str]) -> int:
    """Write the file, print what is in it, and return the exit status."""
    config = (tyro.conf.FlagCreatePairsOff,)
    o = tyro.cli(Options, prog="python -m bibd export", args=list(argv), config=config)
    if min(o.shape, default=1) < 1:
        raise ValueError(f"sizes of --shape are 1 or more, such as --shape 3 32 32; got {o.shape}")
    net = found(o.net)
    if o.weights:
        _load(net, o.weights)
    how = dict(exits=o.exits, thresholds=bounds(o.thresholds))
    return write(net, torch.zeros(2, *o.shape), o.to, o.json, **how)


def found(name: str) -> nn.Module:
    """Return the net that a command line names.

    Raises:
        ValueError: there is no such module or name, or it is no net.
    """
    module, colon, attribute = name.partition(":")
    if not colon or not module or not attribute or module.startswith("."):
        run = f"; {name} is a folder: python -m mlp export {name}" if Path(name).is_dir() else ""
        raise ValueError(f"a net is named as {NAMED}; got {name!r}{run}")
    try:
        value: Any = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{name}: {error}; a net is named as {NAMED}") from None
    try:
        net = value if isinstance(value, nn.Module) or not callable(value) else value()
    except TypeError as error:
        raise ValueError(f"{name} wants arguments ({error}): write a function without") from None
    if not isinstance(net, nn.Module):
        raise ValueError(f"{name} gives {type(net).__name__}, expected a net (an nn.Module)")
    return net


def bounds(thresholds: Sequence[float]) -> float | Sequence[float] | None:
    """Return thresholds as a net takes them: a single one is for all exits."""
    return (thresholds[0] if len(thresholds) == 1 else tuple(thresholds)) if thresholds else None


def _load(net: nn.Module, path: Path) -> None:
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        raise
    except Exception:  # (torch's own words advise to run what is in it)
        raise ValueError(
            f"{path} is no state_dict, or holds more than tensors and plain values: write one by "
            "torch.save(net.state_dict(), path)"
        ) from None
    try:
        net.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"{path} does not fit this net: {error}") from None


def write(net: nn.Module, x: torch.Tensor, to: Path, as_json: bool, **how: Any) -> int:
    """Write a file, print what is in it, and return the exit status.

    Raises:
        ValueError: a net that cannot be exported, or no extra to do it by.
    """
    try:
        report = to_onnx(net, x, to, **how)
    except ImportError as error:  # of the extra
        raise ValueError(str(error)) from None
    print(json.dumps(asdict(report)) if as_json else report)
    return 0
