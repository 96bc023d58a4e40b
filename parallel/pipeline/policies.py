"""The policies by name."""

from typing import Any

from harness.names import check, unknown
from parallel.pipeline.pipemare import PipeMare
from parallel.pipeline.weights import (
    LWP,
    PipeDream,
    PipeOptim,
    Policy,
    Recomputed,
    SpecTrain1,
    SpecTrain2,
    SpecTrain2Official,
    TwoBW,
    Vanilla,
    VerticalSync,
)

POLICIES: dict[str, type[Policy]] = {
    "vanilla": Vanilla,
    "pipedream": PipeDream,
    "vertical_sync": VerticalSync,
    "two_bw": TwoBW,
    "spectrain_v1": SpecTrain1,
    "spectrain_v2": SpecTrain2,
    "pipeoptim": PipeOptim,
    "lwp": LWP,
    "pipemare": PipeMare,
    "recomputed": Recomputed,
    "spectrain_v2_official": SpecTrain2Official,
}


def policy(name: str | Policy, **options: Any) -> Policy:
    """A policy by name, with its options; a Policy is taken as it is.

    Raises:
        ValueError: unknown name or option.
    """
    if isinstance(name, Policy):
        return name
    kind = POLICIES[check("weight policy", name, POLICIES)]
    known = kind.__dataclass_fields__
    for key in options:
        if key not in known:
            raise unknown(f"option of {name}", key, known)
    return kind(**options)
