"""`Pipeline`: layers on several ranks, as a value that says how; a strategy for `parallel.train`.

    train(net, data, strategy=Pipeline(stages=4, schedule="1f1b", weights="spectrain_v1"))

Without `weights` every minibatch waits for the update of the one before (`schedule` gpipe, 1f1b,
interleaved, zb_h1, zbv, naive): the gradient is that of the whole minibatch, and the numbers are
those of one process. With a weight policy nothing waits: 1f1b is never flushed, and updates come as
their gradients do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.names import check, unknown
from parallel.pipeline.actions import Table
from parallel.pipeline.checks import check as check_table
from parallel.pipeline.policies import POLICIES, policy
from parallel.pipeline.schedules import SCHEDULES, schedule
from parallel.pipeline.weights import PipeDream, Policy, TwoBW

SYNCHRONOUS = PipeDream()  # (where nothing is late, it is plain SGD)


@dataclass
class Pipeline:
    """How a net is cut, who does what when, and with which weights.

    Args:
        stages: How many parts the net is cut into.
        schedule: naive, gpipe, 1f1b, interleaved, zb_h1, zbv; or a function of yours that makes a
            Table from stages, minibatches and micro (parallel.pipeline.schedules).
        weights: A policy (parallel.pipeline.weights) or its name; None: synchronous updates.
        micro: Micro-batches that a minibatch is cut into.
        chunks: Stages of each rank (interleaved, zb_h1).
        layer_split: First piece of the second stage, of the third, ...; None: by the work of each
            piece, counted (the same cut each time); "measured": by times, of this machine now.
        clip: Largest norm of the gradient: of the whole net where updates wait, of each stage where
            they do not.
        replicas: Copies of each stage: every minibatch is cut over them, and their gradients are
            added up before an update, so that the numbers are those of one copy.
        order: Seed of a random legal order of actions, in a simulation; changes no number.
    """

    stages: int
    schedule: str | Callable[..., Table] = "1f1b"
    weights: str | Policy | None = None
    micro: int = 1
    chunks: int | None = None
    layer_split: Sequence[int] | str | None = None
    clip: float | None = None
    order: int | None = None
    replicas: int = 1

    def __new__(cls, *_: Any, **options: Any) -> "Pipeline":
        """Say which keyword was meant, where there is no such."""
        for name in options:
            if name in ("spike", "ahead", "warmup", "drift"):
                raise ValueError(
                    f"{name} is an option of a weight policy: Pipeline(..., weights=policy("
                    f'"pipedream", {name}=...)) with parallel.pipeline.policies.policy'
                )
            if name not in cls.__dataclass_fields__:
                raise unknown("keyword of Pipeline", name, cls.__dataclass_fields__)
        return super().__new__(cls)

    def __post_init__(self):
        for name in ("stages", "micro", "replicas"):
            got = getattr(self, name)
            if not isinstance(got, int) or got < 1:
                raise ValueError(f"{name} is a whole number, 1 or more, got {got!r}")
        if self.clip is not None and not (isinstance(self.clip, int | float) and self.clip > 0):
            raise ValueError(f"clip is a norm above 0, or None for no clipping, got {self.clip!r}")
        if isinstance(self.weights, str):
            check("weight policy", self.weights, POLICIES)
        elif self.weights is not None and not isinstance(self.weights, Policy):
            made = f", made: {self.weights.__name__}()" if isinstance(self.weights, type) else ""
            raise ValueError(f"weights is a policy or its name, got {self.weights!r}{made}")
        names = [name for name in SCHEDULES if name != "async_1f1b"]
        if isinstance(self.schedule, str) and (self.schedule != "async_1f1b" or self.waits):
            check("schedule", self.schedule, names)
        if self.chunks is not None and self.schedule not in ("interleaved", "zb_h1"):
            raise ValueError(
                f"chunks={self.chunks} stages a rank go with schedule='interleaved' or 'zb_h1', "
                f"got {self.schedule!r}"
            )
        if self.weights is not None and self.schedule not in ("1f1b", "async_1f1b"):
            raise ValueError(
                f"schedule={self.schedule!r} waits for each update, so weights={self.weights!r} "
                "has nothing to choose: take schedule='1f1b' with it, or weights=None"
            )
        if isinstance(self.policy, TwoBW) and self.micro < self.stages - 1:
            raise ValueError(
                f"two_bw with {self.stages} stages needs micro={self.stages - 1} or more, got "
                f"{self.micro}: with fewer, more than one update is under way"
            )
        self.table(1)

    @property
    def policy(self) -> Policy:
        """With which weights stages work."""
        return SYNCHRONOUS if self.weights is None else policy(self.weights)

    @property
    def waits(self) -> bool:
        """Whether every minibatch waits for the update of the one before."""
        return self.weights is None

    @property
    def lane(self) -> int:
        """Ranks of one replica."""
        return len(self.table(1).ranks)

    @property
    def ranks(self) -> int:
        """Processes that it needs."""
        return self.replicas * self.lane

    def table(self, minibatches: int) -> Table:
        """Who does what, for so many minibatches."""
        options: dict[str, Any] = {} if self.chunks is None else {"chunks": self.chunks}
        if callable(self.schedule):
            found = self.schedule(self.stages, minibatches, self.micro, **options)
            check_table(found)
            return found
        name = self.schedule if self.waits else "async_1f1b"
        return schedule(name, self.stages, minibatches, self.micro, **options)
