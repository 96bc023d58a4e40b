"""What a config of the pipeline studies says of data, optimizer and pipeline, as objects."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from harness.data import Data, load, options
from harness.job import Job
from parallel.pipeline.pipeline import Pipeline
from parallel.pipeline.policies import policy
from parallel.plans.staged import Staged
from parallel.staged.nets import split

TEXTS = ("residual_lstm", "transformer")


def read(config: Staged, job: Job) -> Data:
    """The data, as the net takes it: flat, as normalised images, or as texts."""
    texts = options(config) if config.net in TEXTS else {}
    data = load(config.data, job.data_root, config.test_split, job.device, **texts)
    data = data.first(config.first)
    if config.net in TEXTS:
        return data
    if config.layered:
        return data.amounts().flatten()
    from harness.data.pictures import images

    data = data.images()
    scaled = partial(images, data=data, layout=torch.channels_last)
    return data.map(scaled, ("train_x", "test_x"))


def optimizer(config: Staged) -> Callable[..., torch.optim.Optimizer]:
    """Makes the optimizer of a stage.

    Raises:
        ValueError: this torch has no such optimizer.
    """
    lr, decay, beta = config.lr, config.weight_decay, config.momentum
    if config.optimizer == "sgd":
        return partial(torch.optim.SGD, lr=lr, momentum=beta, weight_decay=decay, fused=True)
    if config.optimizer == "adamw":
        return partial(torch.optim.AdamW, lr=lr, weight_decay=decay)
    if config.optimizer == "nadam":
        both = (beta, 0.999)
        return partial(
            torch.optim.NAdam, lr=lr, betas=both, weight_decay=decay, decoupled_weight_decay=True
        )
    muon: Any = getattr(torch.optim, "Muon", None)
    if muon is None:
        raise ValueError(f"torch {torch.__version__} has no Muon: take 2.9 or later, or adamw")
    return partial(muon, lr=lr, momentum=beta, weight_decay=decay)


def pipeline(config: Staged, net: nn.Module, steps: int) -> Pipeline:
    """How the net is cut, and with which weights its stages work."""
    cuts = split(config, net)
    if config.weights == "sgd":
        return Pipeline(1, layer_split=cuts)
    given: dict[str, Any] = {"spike": config.spike}
    if config.weights == "pipemare":  # (the paper's: a quarter of the phase of constant rate)
        given["warmup"] = steps // 4
    weights = policy(config.weights, **given)
    return Pipeline(config.stages, weights=weights, micro=config.micro, layer_split=cuts)
