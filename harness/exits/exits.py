"""Early exits for any net that is a row of stages, and that really leave.

    x -> stage 0 -> stage 1 -> stage 2 -----------> stage 3 -> logits of the last exit
                       `-> head: sure enough?  yes: answer, leave the batch
                                               no: go on, in a smaller batch

`attach(net, after, shape, classes)` puts heads after stages; `model.early(x, thresholds)` answers.
The net is an nn.Sequential, whose members are the stages, or a module that has one as `stages`.
A sample leaves at the first exit whose score lies above the threshold; the batch shrinks as samples
leave, so later stages see fewer, and the answers come back in the order of the input.
A threshold of 0 lets everything leave, one of 1 nothing. No model is imported here.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from harness import cost
from harness.cost import Cost
from harness.exits.criteria import CRITERIA
from harness.exits.heads import make_head
from harness.exits.leaving import Thresholds, check_thresholds, leaves
from harness.exits.words import check_exits
from harness.names import check

PROTOCOL = "an nn.Sequential that is the whole net; its last stage gives the logits"


def stages_of(net: Any) -> nn.Sequential:
    """Return the stages of a net, one after the other from the input to the logits.

    Raises:
        ValueError: the net neither has stages nor is a row of them.
    """
    stages = getattr(net, "stages", net)
    if not isinstance(stages, nn.Sequential):
        raise ValueError(f"{type(net).__name__} has no `stages`, {PROTOCOL}")
    return stages


class Answers(NamedTuple):
    """Logits, the number of the exit (0 is the first) and the score there, in input order."""

    logits: torch.Tensor
    exit: torch.Tensor
    score: torch.Tensor


class Said(NamedTuple):
    """What an exit says of a batch, and what flows on from there to the next stage."""

    logits: torch.Tensor
    score: torch.Tensor
    leaves: torch.Tensor
    on: torch.Tensor


class EarlyExit(nn.Module):
    """A net with heads after some of its stages; called as such, it is the net.

    Args:
        net: An nn.Sequential, or a module with one as `stages`, that is the whole net.
        after: Numbers of stages (from 0), ascending; not the last, which ends in an exit anyhow.
        heads: One per number; takes what that stage gives, returns logits.
        shape: The shape of one input, without the batch axis.
        criterion: How sure logits are: "max_probability", "entropy" or "margin".

    Raises:
        ValueError: stages that do not exist, another number of heads, an unknown criterion.
    """

    def __init__(
        self,
        net: Any,
        after: Sequence[int],
        heads: Sequence[nn.Module],
        shape: Sequence[int],
        criterion: str = "max_probability",
    ):
        super().__init__()
        self.after = check_exits(after, len(stages_of(net)))
        if len(heads) != len(self.after):
            raise ValueError(f"{len(self.after)} exits need as many heads, got {len(heads)}")
        self.net, self.heads, self.shape = net, nn.ModuleList(heads), tuple(shape)
        self.criterion = check("criterion", criterion, CRITERIA)

    @property
    def stages(self) -> nn.Sequential:
        """The stages of the net."""
        return stages_of(self.net)

    @property
    def exits(self) -> int:
        """The number of exits, the last one included."""
        return len(self.heads) + 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of the net, which are those of its last exit."""
        return self.net(x)

    def forward_exits(self, x: torch.Tensor, frozen: bool = False) -> list[torch.Tensor]:
        """Return all exits' logits; `frozen` keeps the heads' gradients off the stages."""
        self._check(x)
        found = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in self.after:
                found.append(self._head(i)(x.detach() if frozen else x))
        return [*found, x]

    def score(self, logits: torch.Tensor) -> torch.Tensor:
        """Return how sure these logits are by the net's criterion, from 0 to 1."""
        return CRITERIA[self.criterion](logits.double())

    def early(self, x: torch.Tensor, thresholds: Thresholds) -> Answers:
        """Answer each sample at its first sure exit; later stages see only the others.

        Args:
            x: A batch of inputs.
            thresholds: One per early exit, or one for all; `fit` finds good ones.

        Raises:
            ValueError: thresholds outside [0, 1], inputs of another size, a net in training.
        """
        if self.training:
            raise ValueError("a net in training leaves nobody out: call eval() before early()")
        self._check(x)
        bounds = check_thresholds(thresholds, len(self.heads))
        rest = torch.arange(len(x), device=x.device)
        parts: list[tuple[torch.Tensor, ...]] = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i not in self.after:
                continue
            number = self.after.index(i)
            logits = self._head(i)(x)
            score = self.score(logits)
            gone = leaves(score, bounds[number])
            parts.append(_answers(rest[gone], logits[gone], number, score[gone]))
            stay = (~gone).nonzero().flatten()
            if len(stay) == 0:
                return _in_order(parts)
            if len(stay) < len(rest):
                x, rest = keep(x, stay), rest[stay]
        parts.append(_answers(rest, x, len(self.heads), self.score(x)))
        return _in_order(parts)

    def at_exits(self, x: torch.Tensor, thresholds: Thresholds) -> list[Said]:
        """Return what each exit says of all samples: for exporters, whose graphs cannot shrink.

        At the last all leave, and what flows on is their logits.
        """
        bounds = check_thresholds(thresholds, len(self.heads))
        found = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in self.after:
                logits = self._head(i)(x)
                score = self.score(logits)
                bound = torch.tensor(bounds[len(found)], dtype=score.dtype, device=x.device)
                found.append(Said(logits, score, leaves(score, bound), x))
        score = self.score(x)
        return [*found, Said(x, score, torch.ones_like(score, dtype=torch.bool), x)]

    def costs(self) -> list[Cost]:
        """Return what it costs to leave at each exit: all stages and heads up to there."""
        return _costs(self)

    def trunk(self) -> Cost:
        """Return what the net costs without its heads."""
        return cost.total(self.net, self.shape)

    def cost(self, input_shape, output_shape) -> dict[str, int]:
        """Return what all stages and heads cost for one sample, by the cost protocol."""
        return asdict(self.costs()[-1])

    def extra_repr(self) -> str:
        """Return, for print(model), after which stages a sample can leave and how it is judged."""
        return f"after={self.after}, criterion={self.criterion}"

    def _head(self, stage: int) -> nn.Module:
        return self.heads[self.after.index(stage)]

    def _check(self, x: torch.Tensor) -> None:
        if tuple(x.shape[1:]) != self.shape:
            raise ValueError(
                f"expected a batch of samples of shape {self.shape}, got {tuple(x.shape)}: the "
                "heads are made for one size of input"
            )
        if hasattr(self.net, "check"):
            self.net.check(x)


def attach(
    net: Any,
    after: Sequence[int],
    shape: Sequence[int],
    classes: int,
    head: str = "conv",
    criterion: str = "max_probability",
) -> EarlyExit:
    """Put new heads after some stages of a net; the net itself is kept, not copied.

    Args:
        net: An nn.Sequential, or a module with one as `stages`, that is the whole net; its last
            stage gives the logits.
        after: Stages, counted from 0, after which a head answers.
        shape: The shape of one input, without the batch axis.
        classes: The number of logits.
        head: "conv" (3 x 3 to 32 channels, ReLU, linear: the original study's), "linear", or
            "pool" (global average, linear).
        criterion: How sure logits are: "max_probability", "entropy" or "margin".

    Raises:
        ValueError: a stage that does not exist, or a head that does not fit what it gives.
    """
    stages = stages_of(net)
    numbers = check_exits(after, len(stages))
    try:
        inner = _shapes(stages, shape)
    except RuntimeError as error:
        raise ValueError(f"an input of shape {shape} does not go through: {error}") from None
    if inner[-1] != (classes,):
        raise ValueError(f"the last stage gives {inner[-1]}, expected ({classes},): {PROTOCOL}")
    like = next(stages.parameters(), torch.zeros(()))
    heads = [make_head(head, inner[i], classes).to(like.device, like.dtype) for i in numbers]
    return EarlyExit(net, numbers, heads, shape, criterion)


def losses(outputs: Sequence[torch.Tensor], y: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy of each exit; their weighted sum is the joint loss."""
    return torch.stack([F.cross_entropy(logits.float(), y) for logits in outputs])


def keep(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Return a batch of the samples with these numbers, in the memory layout that they had."""
    kept = x.index_select(0, index)
    if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last):
        return kept.contiguous(memory_format=torch.channels_last)
    return kept


def _answers(rest, logits, number: int, score) -> tuple[torch.Tensor, ...]:
    return rest, logits, torch.full_like(rest, number), score


def _in_order(parts: list[tuple[torch.Tensor, ...]]) -> Answers:
    rest, logits, number, score = (torch.cat(pieces) for pieces in zip(*parts, strict=True))
    back = torch.empty_like(rest)
    back[rest] = torch.arange(len(rest), device=rest.device)
    return Answers(logits[back], number[back], score[back])


@torch.no_grad()
def _shapes(stages: nn.Sequential, shape: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the shape of what each stage gives for one input of this shape."""
    like = next(stages.parameters(), torch.zeros(()))
    x, found = torch.zeros(1, *shape, device=like.device, dtype=like.dtype), []
    with cost.evaluating(stages):
        for stage in stages:
            x = stage(x)
            found.append(tuple(x.shape[1:]))
    return found


def _costs(model: EarlyExit) -> list[Cost]:
    inner = _shapes(model.stages, model.shape)
    so_far, found = Cost(), []
    for i, stage in enumerate(model.stages):
        so_far += cost.total(stage, inner[i - 1] if i else model.shape)
        if i in model.after:
            so_far += cost.total(model._head(i), inner[i])
            found.append(so_far)
    return [*found, so_far]
