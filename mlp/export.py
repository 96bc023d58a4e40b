"""`python -m mlp export RUN --to net.onnx`: the net of a run as a file in ONNX."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from bibd.export import write
from harness import flags
from mlp import saved


@dataclass(frozen=True)
class Options:
    """The net of a run as a file in ONNX; the run has kept its weights (--keep-weights)."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The folder of a run, results/mlp/<plan>/<arm>-<hash>/seed-<s>."""
    to: Annotated[Path, tyro.conf.arg(metavar="FILE.onnx")]
    """The file to be written."""
    data_root: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of downloaded data sets."""
    json: bool = False
    """Print one JSON object."""


def main(argv: Sequence[str]) -> int:
    """Write the file and print what is in it."""
    options = flags.read(Options, argv, "python -m mlp export")
    net, _, data = saved.net(options.run, options.data_root)
    return write(net, data.test_x[:2], options.to, options.json)
