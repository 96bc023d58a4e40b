"""Early exits for any net that follows the stages protocol, and that really leave.

    x -> stage 0 -> stage 1 -> stage 2 -----------> stage 3 -> logits of the last exit
                       `-> head: sure enough?  yes: answer, leave the batch
                                               no: go on, in a smaller batch

`attach(net, after, shape, classes)` puts heads after stages; `model.early(x, thresholds)` answers.
A sample leaves at the first exit whose score lies above the threshold; the batch shrinks as samples
leave, so time falls at any batch size, and the answers come back in the order of the input.
A threshold of 0 lets everything leave, one of 1 nothing. No model is imported here.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from math import log
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from harness import cost
from harness.cost import Cost
from harness.exits.words import HEADS, check_exits
from harness.names import check

Thresholds = float | Sequence[float]
CHANNELS = 32  # of a head's convolution
PROTOCOL = "an nn.Sequential that is the whole net; its last stage gives the logits"


def max_probability(logits: torch.Tensor) -> torch.Tensor:
    """The largest probability."""
    return F.softmax(logits, -1).amax(-1)


def entropy(logits: torch.Tensor) -> torch.Tensor:
    """1 - entropy / log(classes): 1 is sure, 0 knows nothing."""
    log_p = F.log_softmax(logits, -1)
    return 1 + (log_p.exp() * log_p).sum(-1) / log(logits.shape[-1])


def margin(logits: torch.Tensor) -> torch.Tensor:
    """The largest probability minus the second."""
    first, second = F.softmax(logits, -1).topk(2, -1).values.unbind(-1)
    return first - second


CRITERIA: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "max_probability": max_probability,
    "entropy": entropy,
    "margin": margin,
}


def leaves(score: torch.Tensor, threshold: float) -> torch.Tensor:
    """Which samples are sure enough; all at 0, none at 1, whatever the rounding."""
    if threshold <= 0:
        return torch.ones_like(score, dtype=torch.bool)
    return (score.double() > threshold) & (threshold < 1)


class Answers(NamedTuple):
    """In the order of the input: logits, number of the exit (0 is the first), score there."""

    logits: torch.Tensor
    exit: torch.Tensor
    score: torch.Tensor


class EarlyExit(nn.Module):
    """A net with heads after some of its stages; called as such, it is the net.

    Args:
        net: Follows the stages protocol.
        after: Numbers of stages (from 0), ascending; not the last, which ends in an exit anyhow.
        heads: One per number; takes what that stage gives, returns logits.
        shape: Of one input.
        criterion: One of CRITERIA.
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
        self.after = check_exits(after, len(net.stages))
        if len(heads) != len(self.after):
            raise ValueError(f"{len(self.after)} exits need as many heads, got {len(heads)}")
        self.net, self.heads, self.shape = net, nn.ModuleList(heads), tuple(shape)
        self.criterion = check("criterion", criterion, CRITERIA)

    @property
    def stages(self) -> nn.Sequential:
        """Those of the net."""
        return self.net.stages

    @property
    def exits(self) -> int:
        """How many, with the last."""
        return len(self.heads) + 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of the net: the last exit."""
        return self.net(x)

    def forward_exits(self, x: torch.Tensor, frozen: bool = False) -> list[torch.Tensor]:
        """Logits of all exits; `frozen` keeps the heads' gradients from the stages."""
        self._check(x)
        found = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in self.after:
                found.append(self._head(i)(x.detach() if frozen else x))
        return [*found, x]

    def score(self, logits: torch.Tensor) -> torch.Tensor:
        """How sure these are, by the criterion; in [0, 1]."""
        return CRITERIA[self.criterion](logits.double())

    def early(self, x: torch.Tensor, thresholds: Thresholds) -> Answers:
        """The answers of the first exits that are sure enough; later stages see the rest only.

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
                x, rest = _keep(x, stay), rest[stay]
        parts.append(_answers(rest, x, len(self.heads), self.score(x)))
        return _in_order(parts)

    def costs(self) -> list[Cost]:
        """What it costs to leave at each exit: all stages and heads up to there."""
        return _costs(self)

    def trunk(self) -> Cost:
        """What the net costs without its heads."""
        return cost.total(self.net, self.shape)

    def cost(self, input_shape, output_shape) -> dict[str, int]:
        """All stages and heads, for one sample: the cost protocol."""
        return asdict(self.costs()[-1])

    def extra_repr(self) -> str:
        """Where one can leave, and how that is decided."""
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
    """A net with new heads.

    Args:
        net: Has `stages`, an nn.Sequential that is the whole net; the last one gives the logits.
        after: Stages, counted from 0, after which a head answers.
        shape: Of one input.
        classes: Number of logits.
        head: "conv" (3 x 3 to 32 channels, ReLU, linear: the original study's), "linear", or
            "pool" (global average, linear).
        criterion: One of CRITERIA.

    Raises:
        ValueError: a stage that does not exist, or a head that does not fit what it gives.
    """
    if not isinstance(getattr(net, "stages", None), nn.Sequential):
        raise ValueError(f"{type(net).__name__} has no `stages`, {PROTOCOL}")
    numbers = check_exits(after, len(net.stages))
    try:
        inner = _shapes(net.stages, shape)
    except RuntimeError as error:
        raise ValueError(f"an input of shape {shape} does not go through: {error}") from None
    if inner[-1] != (classes,):
        raise ValueError(f"the last stage gives {inner[-1]}, expected ({classes},): {PROTOCOL}")
    heads = [make_head(head, inner[i], classes) for i in numbers]
    return EarlyExit(net, numbers, heads, shape, criterion)


def make_head(kind: str, shape: tuple[int, ...], classes: int) -> nn.Module:
    """A head for inputs of this shape (no batch axis)."""
    check("head", kind, HEADS)
    if kind != "linear" and len(shape) != 3:
        raise ValueError(f"head {kind!r} needs images, this stage gives {shape}: use head='linear'")
    if kind == "linear":
        return nn.Sequential(nn.Flatten(), nn.Linear(torch.Size(shape).numel(), classes))
    if kind == "pool":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(shape[0], classes))
    conv = nn.Conv2d(shape[0], CHANNELS, 3, padding=1)
    linear = nn.Linear(CHANNELS * shape[1] * shape[2], classes)
    for layer in (conv, linear):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)  # pyright: ignore
    return nn.Sequential(conv, nn.ReLU(inplace=True), nn.Flatten(), linear)


def check_thresholds(thresholds: Thresholds, heads: int) -> tuple[float, ...]:
    """One per head; a single number stands for all."""
    if hasattr(thresholds, "tolist"):  # of numpy or torch
        thresholds = thresholds.tolist()  # pyright: ignore
    one = isinstance(thresholds, int | float)
    bounds = (thresholds,) * heads if one else tuple(thresholds or ())
    numbers = all(isinstance(b, int | float) and 0 <= b <= 1 for b in bounds)
    if len(bounds) != heads or not numbers:
        raise ValueError(
            f"expected a threshold in [0, 1] for each of {heads} early exits (or one for all), got "
            f"{thresholds}; 0 lets every sample leave there, 1 none"
        )
    return tuple(float(b) for b in bounds)


def losses(outputs: Sequence[torch.Tensor], y: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of each exit. Their weighted sum is the joint loss."""
    return torch.stack([F.cross_entropy(logits.float(), y) for logits in outputs])


def _keep(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """These samples, in the memory layout they had."""
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
    """What each stage gives for one input of this shape."""
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
