"""The nets that runs of this study have kept."""

from pathlib import Path

import torch

from harness.data import Data
from harness.job import Job
from harness.record import trained, weights
from mlp.model import MLP, build
from mlp.plans.config import Config
from mlp.trainer import read


def net(folder: Path, data_root: str | None = None) -> tuple[MLP, Config, Data]:
    """Return the net of a run in evaluation, with its config and data.

    Raises:
        FileNotFoundError: the run kept no weights.
        ValueError: no run of this study.
    """
    found = trained.read(folder, Config)
    data = read(found.config, Job(data_root=data_root))
    model = build(found.config, data.shape[0], data.classes, found.seed)
    state = alone(found.state, model.state_dict())
    weights.load_state(model, state, str(folder / weights.FILE))
    return model.eval(), found.config, data


def alone(state: dict[str, torch.Tensor], like: dict[str, torch.Tensor]) -> dict:
    """Return the state of the one member of a stack, as its net has it."""
    return {
        name: value.reshape(like[name].shape) if _same(name, value, like) else value
        for name, value in state.items()
    }


def _same(name: str, value: torch.Tensor, like: dict[str, torch.Tensor]) -> bool:
    return name in like and _sizes(value) == _sizes(like[name]) and value.is_floating_point()


def _sizes(value: torch.Tensor) -> list[int]:
    return [n for n in value.shape if n > 1]
