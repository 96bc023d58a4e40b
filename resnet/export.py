"""`python -m resnet export RUN --to net.onnx`: the net of a run as a file in ONNX."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from bibd.export import bounds, write
from harness import flags
from harness.data.pictures import images
from resnet import saved
from resnet.trainer import layout


@dataclass(frozen=True)
class Options:
    """The net of a run as a file in ONNX; the run has kept its weights (--keep-weights)."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The folder of a run, results/resnet/<plan>/<arm>-<hash>/seed-<s>."""
    to: Annotated[Path, tyro.conf.arg(metavar="FILE.onnx")]
    """The file to be written."""
    exits: Annotated[str, tyro.conf.arg(help_behavior_hint=flags.empty(""))] = ""
    """Early exits: all (logits of all), if (one sample, really leaves), split (a file a part)."""
    thresholds: Annotated[tuple[float, ...], tyro.conf.arg(help_behavior_hint=flags.empty(""))] = ()
    """When a sample is sure, for if and split: one for all early exits, or one each."""
    data_root: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of downloaded data sets."""
    json: bool = False
    """Print one JSON object."""


def main(argv: Sequence[str]) -> int:
    """Write the file and print what is in it."""
    o = flags.read(Options, argv, "python -m resnet export")
    net, config, data = saved.net(o.run, o.data_root)
    x = images(data.test_x[:2], data, layout(config, "cpu"))
    how = dict(exits=o.exits, thresholds=bounds(o.thresholds))
    return write(net, x, o.to, o.json, **how)
