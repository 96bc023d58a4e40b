"""`python -m resnet page RUN --out DIR`: a page that reads pictures and leaves early.

DIR/index.html    the page: opened from the disk or served, it asks for the files beside it only
    ort.js        the runtime's face, as it came
    runtime.js    what that loads, packed
    net.js        the parts of the net in ONNX, packed: one for each exit
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import torch
import tyro

from bibd.onnx.to_onnx import to_onnx
from harness import flags
from harness.data.pictures import images
from harness.exits import EarlyExit
from resnet import saved
from resnet.trainer import layout
from resnet.web import runtime
from resnet.web.facts import facts
from resnet.web.write import about, said, write


@dataclass(frozen=True)
class Options:
    """A page that reads pictures by a ResNet with early exits, in a folder with all it needs.

    The run has kept its weights (--keep-weights). The net runs by onnxruntime-web, of which you
    need a copy: npm install onnxruntime-web puts one where it is looked for.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The folder of a run, results/resnet/<plan>/<arm>-<hash>/seed-<s>."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("page")
    """The folder to be written; open index.html in it."""
    runtime: Annotated[Path, tyro.conf.arg(metavar="DIR")] = runtime.PLACE
    """The folder of onnxruntime-web."""
    pictures: int = 30
    """How many pictures of the test set are on the page, the first of each class in turn."""
    data_root: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of downloaded data sets."""

    def __post_init__(self):
        if not 1 <= self.pictures <= 1000:
            raise ValueError(f"--pictures is a number from 1 to 1000, got {self.pictures}")
        if self.out.exists() and not self.out.is_dir():
            raise ValueError(f"{self.out} is a file: name a folder by --out, such as page")


def main(argv: Sequence[str]) -> int:
    """Write the folder, and say what is in it."""
    o = flags.read(Options, argv, "python -m resnet page")
    engine = runtime.read(o.runtime)
    net, config, data = saved.net(o.run, o.data_root)
    if not isinstance(net, EarlyExit):
        raise ValueError(
            f"the net of {o.run} has no early exits, and the page is about these: name a run of an "
            "arm that has, such as B-ResNet-18-EE of plan exits"
        )
    known = facts(net, data, o.run, o.pictures)
    parts = in_parts(net, images(data.test_x[:2], data, layout(config, "cpu")))
    words = about(net, config, data, o.run)
    written = write(o.out, engine, parts, known, words)
    total = sum(written.values())
    print(f"{o.out / 'index.html'}: open it in a browser; with the files beside it {said(total)}")
    print(", ".join(f"{name} {size:,} bytes" for name, size in written.items()))
    return 0


def in_parts(net: EarlyExit, x: torch.Tensor) -> list[bytes]:
    """Return a file in ONNX for each exit: from the one before up to there.

    The thresholds in them are not asked, as the page has its own.

    Raises:
        ValueError: no extra to do it by.
    """
    with TemporaryDirectory() as folder:
        try:
            report = to_onnx(net, x, Path(folder) / "part.onnx", exits="split", thresholds=1.0)
        except ImportError as error:
            raise ValueError(str(error)) from None
        return [Path(name).read_bytes() for name in report.files]
