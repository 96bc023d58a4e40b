"""With which weights a stage works: one small object for each policy.

A policy answers three questions, for a stage k of N and minibatch t (which is also its update):

    forward(weights, t)    what the forward pass sees
    backward(weights, t)   what the backward pass sees; None: what the forward pass saw
    rate(weights, t)       by how much the update is longer or shorter than the optimizer's

In an asynchronous 1F1B pipeline d = N-1-k updates of the stage lie between the two passes of a
minibatch, so the newest weights are w(t-d) in the first and w(t) in the second.

    name                 forward                       backward
    vanilla              newest                        newest                  the two differ
    pipedream            newest                        the same                N-k versions
    vertical_sync        w(t-(N-1)) at every stage     the same                N versions
    two_bw               w(t-1) at every stage         the same                2 versions
    spectrain_v1         d + k//2 ahead                k//2 ahead              1, and what is ahead
    spectrain_v2         d ahead                       the same                N-k, and the newest
    pipeoptim            d ahead                       newest                  1, and what is ahead
    lwp                  d x the last displacement     the same                N-k, and the newest
    pipemare             newest                        newest - d x mean displacement
    recomputed           newest                        newest, and the forward pass done again
"""

from dataclasses import dataclass
from typing import Any

from parallel.pipeline.answers import check_answers
from parallel.pipeline.versions import State, Versions


@dataclass(frozen=True)
class Policy:
    """Newest weights in both passes; others differ where they say so.

    Args:
        spike: Spike compensation, for SGD with momentum: a gradient that comes D updates late moves
            the weights as if its D missed shares of momentum came with it.
    """

    spike: bool = False

    swaps = True  # whether the backward pass sees other weights than the forward pass
    recompute = False  # whether it does the forward pass again
    ahead = ""  # direction of prediction (parallel.pipeline.ahead); "": none

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        check_answers(cls, Policy)  # (a name that nobody asks for is a typo)

    def kept(self, stage: int, stages: int) -> int:
        """How many older versions a stage has to keep at hand."""
        return 0

    def forward(self, weights: Versions, t: int) -> State:
        """What the forward pass of minibatch t sees."""
        return weights.newest

    def backward(self, weights: Versions, t: int) -> State | None:
        """What its backward pass sees; None: the same."""
        return weights.newest if self.swaps else None

    def rate(self, weights: Versions, t: int) -> float:
        """Length of update t, as a share of the optimizer's."""
        return 1.0

    def applied(self, weights: Versions) -> None:
        """After each update."""

    def theory(self, stage: int, stages: int) -> dict[str, Any]:
        """Delay and look-ahead (forward, backward) of a stage, and what it holds of its weights."""
        return {
            "delay": stages - 1 - stage,
            "ahead": self.reach(stage, stages),
            "versions": self.held(stage, stages),
            "beside": self.beside(stage, stages),
        }

    def reach(self, stage: int, stages: int) -> tuple[int, int]:
        """How many updates ahead the two passes look."""
        return 0, 0

    def held(self, stage: int, stages: int) -> int:
        """Versions of the weights in memory at a time, true or predicted, once all is full."""
        return 1 if self.swaps else stages - stage

    def beside(self, stage: int, stages: int) -> int:
        """What else is held of the size of the weights, such as a mean of their displacements."""
        return 0


def late(policy: Policy, stage: int, stages: int) -> bool:
    """Whether the two passes of a minibatch may see different weights, where nothing waits.

    On the last stage no update comes between them. Ours see the same there if they look as far
    ahead; of answers of somebody's own nobody knows.
    """
    both = (getattr(type(policy), name) for name in ("forward", "backward"))
    ours = all(answer.__module__.startswith(f"{__package__}.") for answer in both)
    first, second = policy.reach(stage, stages)
    return stage < stages - 1 or (policy.swaps and not (ours and first == second))


class Vanilla(Policy):
    """The newest weights in each pass."""


class PipeDream(Policy):
    """Weight stashing: the backward pass sees what the forward pass saw."""

    swaps = False


class VerticalSync(Policy):
    """The version that the first stage had, at every stage."""

    swaps = False

    def kept(self, stage: int, stages: int) -> int:
        """As far back as a forward pass looks; all of these are in flight, once all is full."""
        return stages - 1

    def forward(self, weights: Versions, t: int) -> State:
        """w(t-(N-1))."""
        return weights.version(t - (weights.stages - 1))

    def theory(self, stage: int, stages: int) -> dict[str, Any]:
        """As many versions everywhere."""
        return {"delay": stages - 1, "ahead": (0, 0), "versions": stages}


class TwoBW(Policy):
    """One version older than the newest, for all of a minibatch's N-1 or more micro-batches."""

    swaps = False

    def kept(self, stage: int, stages: int) -> int:
        """One, where there is more than one stage."""
        return min(1, stages - 1)

    def forward(self, weights: Versions, t: int) -> State:
        """w(t-1); one stage alone is never late."""
        return weights.version(t - min(1, weights.stages - 1))

    def theory(self, stage: int, stages: int) -> dict[str, Any]:
        """One update late at every stage."""
        return {"delay": min(1, stages - 1), "ahead": (0, 0), "versions": min(2, stages)}


@dataclass(frozen=True)
class Predicting(Policy):
    """Looks ahead along the last updates; `ahead`: auto, velocity, decaying, displacement, adam."""

    ahead: str = "auto"  # pyright: ignore[reportIncompatibleVariableOverride]

    def forward(self, weights: Versions, t: int) -> State:
        """As far ahead as `reach` says."""
        return weights.ahead(self.reach(weights.stage, weights.stages)[0])

    def backward(self, weights: Versions, t: int) -> State | None:
        """The same, for its own reach."""
        if not self.swaps:
            return None
        return weights.ahead(self.reach(weights.stage, weights.stages)[1])

    def held(self, stage: int, stages: int) -> int:
        """The true weights, what a displacement begins at, and what was predicted for each flight.

        What only a forward pass sees is not held.
        """
        if not self.reach(stage, stages)[0]:
            return 1
        flights = 0 if self.swaps and late(self, stage, stages) else stages - stage
        return 1 + (self.ahead == "displacement") + flights


class SpecTrain1(Predicting):
    """Both passes see the weights of the moment at which the minibatch leaves the pipeline."""

    def reach(self, stage: int, stages: int) -> tuple[int, int]:
        """Updates until then."""
        return stage // 2 + stages - 1 - stage, stage // 2


class SpecTrain2(Predicting):
    """Both passes see the weights to which the gradient will be added, as far as predicted."""

    swaps = False

    def reach(self, stage: int, stages: int) -> tuple[int, int]:
        """The delay."""
        return stages - 1 - stage, stages - 1 - stage


class PipeOptim(Predicting):
    """The forward pass sees them predicted, the backward pass as they then are."""

    def reach(self, stage: int, stages: int) -> tuple[int, int]:
        """The delay, and none."""
        return stages - 1 - stage, 0


@dataclass(frozen=True)
class LWP(SpecTrain2):
    """Linear weight prediction by the last displacement."""

    ahead: str = "displacement"


class Recomputed(Policy):
    """The backward pass does the forward pass again, with the newest weights."""

    recompute = True


class SpecTrain2Official(PipeDream):
    """What the published code of SpecTrain v2 does: stashing, and rate N-k, not prediction."""

    def rate(self, weights: Versions, t: int) -> float:
        """N-k."""
        return float(weights.stages - weights.stage)
