"""The nets that runs of this study have kept."""

from pathlib import Path

from torch import nn

from harness.data import Data
from harness.job import Job
from harness.record import trained, weights
from resnet.plans.config import Config
from resnet.trainer import build, read


def net(folder: Path, data_root: str | None = None) -> tuple[nn.Module, Config, Data]:
    """Return the net of a run in evaluation, with its config and data.

    Raises:
        FileNotFoundError: the run kept no weights.
        ValueError: no run of this study.
    """
    found = trained.read(folder, Config)
    data = read(found.config, Job(data_root=data_root))
    model = build(found.config, data, found.seed)
    weights.load_state(model, found.state, str(folder / weights.FILE))
    return model.eval(), found.config, data
