"""`python -m resnet costs`: what each model costs, counted, and on request measured."""

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
import tyro
from torch import nn

from bibd import SparseConv2d
from harness import cost, flags
from harness.exits import EarlyExit
from harness.result import costs as table
from harness.result import export
from resnet.model import resnet
from resnet.words import name

SHAPE = (3, 32, 32)


@dataclass(frozen=True)
class Options(table.Options):
    """Parameters, MACs, FLOPs and bytes of every model for one 32 x 32 image."""

    depths: tuple[int, ...] = (18, 34, 50, 101, 152)
    """Layers."""
    patterns: tuple[str, ...] = ("dense", "iddl", "random", "bibd")
    """Connections between channels; iddl and random are the published B- and R-."""
    groups: int = 1
    """Vertical partitioning."""
    exits: Annotated[tuple[int, ...], tyro.conf.arg(help_behavior_hint="(default: none)")] = ()
    """Stages with an early exit; the costs are then those of the last, heads included."""
    width: int = 64
    """Channels of the stem."""
    latency: bool = field(default=False, kw_only=True)
    """Measure a forward pass at batch 1 and 128."""
    counters: bool = False
    """Beside it what torch's FlopCounterMode and thop say."""

    def __post_init__(self):
        if not self.depths or not self.patterns:
            raise ValueError("costs needs at least one of --depths and one of --patterns")


def main(argv: Sequence[str]) -> int:
    """Print what each model costs."""
    options = flags.read(Options, argv, "python -m resnet costs", pairs=True)
    export.check(options.to)
    lines = costs(options)
    table.show("resnet costs", lines, options, millions=True)
    for line in lines:
        if "exit_macs" in line and not options.json:
            parts = ", ".join(f"{macs / 1e6:.2f}" for macs in line["exit_macs"])
            print(f"{line['name']}: MACs (M) of leaving at each exit: {parts}")
    return 0


def costs(options: Options) -> list[dict[str, Any]]:
    """Return one object per model, with its costs."""
    return [
        _line(depth, pattern, options) for pattern in options.patterns for depth in options.depths
    ]


def _line(depth: int, pattern: str, options: Options) -> dict[str, Any]:
    o = options
    model = resnet(depth, pattern, o.groups, o.exits, width=o.width)
    total = cost.total(model, SHAPE)
    line = table.line(name(depth, pattern, o.groups, o.exits), model, total, o.mode)
    if isinstance(model, EarlyExit):
        line["exit_macs"] = [c.macs for c in model.costs()]
    whole = Whole(model)
    if o.latency:
        line |= table.timed(whole, SHAPE)
    if o.counters:
        line |= counted(whole, SHAPE) | {"norm_elements": total.norm_elements}
    return line


class Whole(nn.Module):
    """A net that computes all of its exits, so that its costs are those of them all."""

    def __init__(self, net: Any):
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of the last exit."""
        return self.net.forward_exits(x)[-1]


def counted(model: nn.Module, shape: tuple[int, ...]) -> dict[str, int]:
    """Return what two other counters say of one sample.

    Raises:
        ValueError: thop is not installed.
    """
    from torch.utils.flop_counter import FlopCounterMode

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of distutils
            from thop import profile
    except ImportError:
        raise ValueError("thop is not installed: pip install thop setuptools") from None
    model = copy.deepcopy(model)  # thop leaves things behind
    for layer in model.modules():
        if isinstance(layer, SparseConv2d):
            layer.backend = "native"  # (a dense path would be counted as dense)  # pyright: ignore
    x = torch.zeros(1, *shape)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(x)
    by_thop = profile(model, (x,), verbose=False)[0]
    return {"flop_counter": counter.get_total_flops(), "thop": int(by_thop)}
