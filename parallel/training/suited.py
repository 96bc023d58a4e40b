"""What a pipeline refuses before anything starts: worlds, losses and batches that do not suit."""

import math
from functools import partial
from typing import Any

from parallel.pipeline.pipeline import Pipeline


def reduction(loss: Any) -> str:
    """How a loss says that it sums up its samples; "mean" where it says nothing."""
    words = loss.keywords if isinstance(loss, partial) else getattr(loss, "__dict__", {})
    return words.get("reduction", "mean")


def suited(
    pipeline: Pipeline, loss: Any, workers: int, alone: bool, elastic: bool, batch: int
) -> None:
    """Refuse what a pipeline cannot have.

    Args:
        pipeline: What is asked for.
        loss: A function of outputs and targets.
        workers: Ranks of the world.
        alone: Whether all of them are in this process.
        elastic: Whether the world goes on without those that died.
        batch: Samples of the largest minibatch.

    Raises:
        ValueError: says what does not fit.
    """
    fits(pipeline, workers, batch)
    if pipeline.order is not None and not alone:
        raise ValueError(
            "order draws the turns of a simulation; in processes each rank takes its actions "
            "as they can be taken: leave it out, or take World.sim"
        )
    if (kind := reduction(loss)) != "mean":
        raise ValueError(
            f"the loss has reduction={kind!r}: micro-batches add up to a minibatch for a mean "
            "over the samples only; take reduction='mean' (and a rate that suits it)"
        )
    if elastic:
        raise ValueError("a pipeline cannot go on without a stage: take elastic=False")


def fits(pipeline: Pipeline, workers: int, batch: int) -> None:
    """Check that a world has a rank for all of a pipeline, and a minibatch samples for all.

    Raises:
        ValueError: it has not.
    """
    ranks, replicas = pipeline.ranks, pipeline.replicas
    if workers != ranks:
        times = f", {replicas} replicas of them: {ranks}" * (replicas > 1)
        raise ValueError(
            f"{pipeline.stages} stages on {pipeline.lane} ranks{times}, and this world has "
            f"{workers}: take World.sim({ranks}), World.procs({ranks}) "
            f"or torchrun --nproc-per-node={ranks}"
        )
    most = math.ceil(batch / pipeline.micro)
    if most < replicas:
        raise ValueError(
            f"{replicas} replicas for micro-batches of up to {most} samples (batch_size={batch}, "
            f"micro={pipeline.micro}): some would never have one; take replicas={most} or fewer, "
            "or a larger batch_size"
        )
