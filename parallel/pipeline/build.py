"""From a net and a `Pipeline` to the stages of this rank."""

import inspect
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
from parallel.pipeline.weights import late
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
    total: Callable[[float], float] | None = None,
    replica: int = 0,
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
        total: Adds up a number over all ranks, so that all cut alike.
        replica: Which copy of the stages this is.
    """
    parts = cut(model, pipeline.stages, pipeline.layer_split, x, total)
    here = [k for k in range(pipeline.stages) if comm.alone or table.home[k] == comm.rank]
    last = pipeline.stages - 1
    stages = {}
    for k in here:
        weights = versions(parts.modules[k], k, pipeline, optimizer)
        own = loss if k == last else None
        two = late(pipeline.policy, k, pipeline.stages) and not pipeline.waits
        noise = Noise(seed, k, (replica, pipeline.replicas))
        stages[k] = Stage(parts.modules[k], weights, pipeline.policy, noise, two, own)
    return parts, stages


def versions(
    module: nn.Module, k: int, pipeline: Pipeline, optimizer: Callable[..., Any]
) -> Versions:
    """The true weights of a stage, and their own optimizer."""
    policy, params = pipeline.policy, dict(module.named_parameters())
    stepper = stepping(optimizer, list(params.values())) if params else None
    if stepper and policy.spike:
        spike.able(stepper)
    keep = policy.kept(k, pipeline.stages)
    ahead = policy.ahead if any(policy.reach(k, pipeline.stages)) else ""
    return Versions(k, pipeline.stages, params, stepper, keep, ahead)


def stepping(
    maker: Callable[..., torch.optim.Optimizer], params: list[nn.Parameter]
) -> torch.optim.Optimizer:
    """The optimizer of a stage.

    Raises:
        ValueError: it cannot be made, or its step needs a closure.
    """
    if not callable(maker):
        raise ValueError(
            f"optimizer makes one from parameters, for each stage, such as partial(torch.optim.SGD"
            f", lr=0.1); got {type(maker).__name__}, made already"
        )
    stepper = maker(params)
    closure = inspect.signature(type(stepper).step).parameters.get("closure")
    if closure and closure.default is inspect.Parameter.empty:
        raise ValueError(
            f"{type(stepper).__name__} calls the loss again and again (a closure), and a stage of "
            "a pipeline has no loss of its own: take torch.optim.SGD, AdamW or another whose "
            "step() needs nothing"
        )
    return stepper
