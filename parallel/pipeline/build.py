"""From a net and a `Pipeline` to the stages of this rank."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from parallel.pipeline import spike
from parallel.pipeline.actions import Table
from parallel.pipeline.cut import Parts, cut
from parallel.pipeline.noise import Noise
from parallel.pipeline.pipeline import Pipeline
from parallel.pipeline.stage import Stage
from parallel.pipeline.versions import Versions
from parallel.world.comm import Comm


def built(
    model: nn.Module,
    pipeline: Pipeline,
    table: Table,
    comm: Comm,
    x: torch.Tensor,
    optimizer: Callable[..., torch.optim.Optimizer],
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    seed: int,
) -> tuple[Parts, dict[int, Stage]]:
    """How the net was cut, and the stages here.

    Args:
        model: The net; its stages share its layers.
        pipeline: How it is cut, and with which weights stages work.
        table: Says which stages are here.
        comm: Says which rank this is.
        x: A batch of inputs, to cut by.
        optimizer: Makes one from parameters, for each stage.
        loss: Of the last stage.
        seed: Of noise.
    """
    parts = cut(
        model, pipeline.stages, pipeline.layer_split, x, lambda value: sum(comm.everyone(value))
    )
    here = [k for k in range(pipeline.stages) if comm.alone or table.home[k] == comm.rank]
    last = pipeline.stages - 1
    stages = {}
    for k in here:
        weights = versions(parts.modules[k], k, pipeline, optimizer)
        own = loss if k == last else None
        late = not pipeline.waits and weights.delay > 0
        stages[k] = Stage(parts.modules[k], weights, pipeline.policy, Noise(seed, k), late, own)
    return parts, stages


def versions(
    module: nn.Module, k: int, pipeline: Pipeline, optimizer: Callable[..., Any]
) -> Versions:
    """The true weights of a stage, and their own optimizer."""
    policy, params = pipeline.policy, dict(module.named_parameters())
    stepper = optimizer(list(params.values())) if params else None
    if stepper and policy.spike:
        spike.able(stepper)
    if stepper and hasattr(stepper, "_params") and type(stepper).__name__ == "LBFGS":
        raise ValueError("LBFGS calls the loss again and again: it cannot step a pipeline")
    keep = policy.kept(k, pipeline.stages)
    ahead = policy.ahead if any(policy.reach(k, pipeline.stages)) else ""
    return Versions(k, pipeline.stages, params, stepper, keep, ahead)
