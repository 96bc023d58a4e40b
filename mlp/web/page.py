"""`python -m mlp page --out digit.html`: a page that reads drawn digits, and asks nobody.

The net is that of a run which has kept its weights. Where there is none, it is trained here.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import track

from harness import flags
from harness.data import Data
from harness.job import Job
from harness.names import check
from harness.record import trained, weights
from harness.record.study import Study
from mlp import saved
from mlp.experiments import PLANS
from mlp.model import MLP, build
from mlp.plans.config import Config
from mlp.trainer import read, train_stack
from mlp.web.exit import judge, with_exit
from mlp.web.packed import round8
from mlp.web.write import write

HELD = 5000  # samples on which the threshold is chosen


@dataclass(frozen=True)
class Options:
    """A page that reads drawn digits: one HTML file, without a server and without a library.

    The net is that of a run which has kept its weights (--keep-weights); where there is none it is
    trained, which takes about half a minute.
    """

    arm: str = "bibd-16-mnist"
    """Whose net: an arm of the plan."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE.html")] = Path("digit.html")
    """The file to be written."""
    plan: str = "density"
    """Whose arms."""
    seed: int = 0
    """Whose weights."""
    int8: bool = False
    """Values in one byte each, rounded."""
    results: Path = Path("results")
    """Where runs are; the net is trained here if this one kept no weights."""
    data_root: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of downloaded data sets."""

    def __post_init__(self):
        if self.seed < 0:
            raise ValueError(f"--seed is a whole number from 0 on, got {self.seed}")
        if self.out.is_dir():  # (told now, not once the net is trained)
            raise ValueError(f"{self.out} is a folder: name a file in it, such as digit.html")
        check("plan", self.plan, PLANS)
        config = PLANS[self.plan].arms[check("arm", self.arm, PLANS[self.plan].arms)]
        if config.data != "mnist" or len(config.hidden) != 2:
            raise ValueError(
                f"{self.arm} is trained on {config.data} and has {len(config.hidden)} hidden "
                "layers: a page of digits is for arms on mnist with two, such as bibd-16-mnist"
            )


def main(argv: Sequence[str]) -> int:
    """Write the page, and say what is in it."""
    o = flags.read(Options, argv, "python -m mlp page")
    config = PLANS[o.plan].arms[o.arm]
    data = read(config, Job(data_root=o.data_root))
    data = data if config.validation else data.validate(HELD)
    net = with_exit(_net(o, config, data), data, o.seed)
    if o.int8:
        round8(net)
    found = judge(net, data)
    path = write(net, config, found, o.arm, o.out, o.int8)
    kind, right = "int8" if o.int8 else "float32", found.together["accuracy"]
    size = path.stat().st_size
    print(f"{path}: {size:,} bytes, {right:.2%} of the test images right in {kind}")
    return 0


def _net(o: Options, config: Config, data: Data) -> MLP:
    """Return the net of the run, or train it."""
    study = Study("mlp", o.plan, PLANS[o.plan], o.results)
    folder = study.seed_dir(o.arm, o.seed)
    if (folder / weights.FILE).exists():
        found = trained.read(folder, Config)
        net = build(config, data.shape[0], data.classes, o.seed)
        state = saved.alone(found.state, net.state_dict())
        weights.load_state(net, state, str(folder / weights.FILE))
        return net.eval()
    print(f"no weights in {folder}: {o.arm} is trained here", file=sys.stderr)
    return _trained(config, data, o)


def _trained(config: Config, data: Data, o: Options) -> MLP:
    """Train the net of a config as its study does, behind a bar."""
    job = Job(data_root=o.data_root)
    rows = train_stack(config, [o.seed], job)
    for _ in track(rows, "training", config.epochs, console=Console(stderr=True)):
        pass
    net = build(config, data.shape[0], data.classes, o.seed)
    net.load_state_dict(saved.alone(job.parts["net"].state_dict(), net.state_dict()))
    return net.eval()
