"""What a style of `ModelParallel` means: how the net is cut, and who does what when."""

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import nn

from harness.names import unknown
from parallel.pipeline.cut import fits, free
from parallel.pipeline.pipeline import Pipeline
from parallel.pipeline.policies import POLICIES, policy
from parallel.pipeline.schedules import SCHEDULES
from parallel.pipeline.weights import Policy, TwoBW

WAITING = [name for name in SCHEDULES if name != "async_1f1b"]
STYLES = ["basic", *WAITING, *POLICIES]
CHUNKED = {"interleaved": 2, "zb_h1": 1, "zbv": 2}  # stages of a rank, where nobody says it
OWN = ["style", "model", "layer_split", "devices", "stages", "micro"]
ELSEWHERE = {
    "replicas": "it holds one copy of each stage; train(net, data, strategy=Pipeline(stages, "
    "schedule, replicas=...)) cuts minibatches over several",
    "schedule": f'its style names the schedule, such as style="1f1b": {", ".join(WAITING)}',
    "weights": f'its style names the policy, such as style="pipedream": {", ".join(POLICIES)}',
}


def described(
    style: str | Policy,
    model: nn.Module,
    layer_split: Sequence[int] | str | None,
    devices: int | None,
    options: dict[str, Any],
) -> tuple[Pipeline, int]:
    """Return the pipeline that a style and its keywords mean, and the seed of its noise.

    Args:
        style: Name of a schedule or policy, or a policy.
        model: What is to be cut.
        layer_split: Where, as far as it is known.
        devices: How many were given, if any.
        options: Further keywords: stages, micro, chunks, seed, and the policy's own.

    Raises:
        ValueError: unknown keywords, numbers that do not fit each other or the model.
    """
    _known(style, options)
    given = {key: options.pop(key, None) for key in ("stages", "micro", "chunks", "seed")}
    waits = style in WAITING
    chunks = given["chunks"] or CHUNKED.get(str(style), 1)
    stages = _stages(given["stages"], layer_split, devices, chunks)
    weights = None if waits else policy(style, **options)
    micro = given["micro"]
    if micro is None:
        least = stages - 1 if isinstance(weights, TwoBW) else 1
        micro = stages if waits and style != "naive" else max(1, least)
    schedule = str(style) if waits else "1f1b"
    found = Pipeline(stages, schedule, weights, micro, given["chunks"], layer_split)
    fits(model, stages, layer_split)
    return found, given["seed"] or 0


def _known(style: str | Policy, options: dict[str, Any]) -> None:
    """Name a keyword that this style does not have."""
    if isinstance(style, Policy):
        own, name = ["seed"], type(style).__name__
    elif style in POLICIES:
        own, name = ["seed", *POLICIES[style].__dataclass_fields__], repr(style)
    else:
        own, name = ["chunks"] if style in ("interleaved", "zb_h1") else [], repr(style)
    refuse(f"ModelParallel(style={name})", options, [*OWN, *own])


def refuse(what: str, options: Collection[str], known: Sequence[str]) -> None:
    """Refuse keywords that are not known, also those of relatives.

    Raises:
        ValueError: says what is near, or who has it.
    """
    for key in options:
        if key in ELSEWHERE and key not in known:
            raise ValueError(f"{what} has no {key}: {ELSEWHERE[key]}")
        if key not in known:
            raise unknown(f"keyword of {what}", key, known)


def _stages(
    stages: int | None, layer_split: Sequence[int] | str | None, devices: int | None, chunks: int
) -> int:
    """The number of stages, as the keywords say it."""
    if not free(layer_split):
        assert layer_split is not None
        parts = len(layer_split) + 1
        if stages not in (None, parts):
            raise ValueError(
                f"layer_split={list(layer_split)} makes {parts} parts, and stages={stages}: leave "
                "out one of the two"
            )
        return parts
    if stages is not None:
        return stages
    return (devices or max(2, torch.cuda.device_count())) * chunks
