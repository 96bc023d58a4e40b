"""What a score may look at: a net that it leaves as it was, and batches of samples."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from compress.pruning.layers import refuse_broken
from harness.names import kind_of

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Weights = dict[str, nn.Parameter]
Scores = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Asked:
    """What scores are made of: a net, its weights, samples, their loss, and a seed.

    `data` is (x, y), one batch, a tuple; or a list of such pairs; x alone, or a list of such, where
    no targets are needed.
    """

    net: nn.Module
    weights: Weights
    data: Any = None
    loss: Loss = F.cross_entropy
    seed: int = 0

    def _is_one(self) -> bool:
        return isinstance(self.data, tuple) and _is_pair(self.data)  # (a list is of batches)

    def pairs(self, score: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return the batches with their targets.

        Raises:
            ValueError: none, batches that are no pairs of tensors, or one without a sample.
        """
        found = [self.data] if self._is_one() else _listed(self.data)
        if not found or not all(_is_pair(pair) for pair in found):
            raise ValueError(
                f"score {score!r} needs samples and their targets: data=(x, y), one batch of "
                f"tensors, or a list of such pairs; got {_said(self.data)}"
            )
        _refuse_empty([x for x, _ in found], score)
        return [(x, y) for x, y in found]

    def inputs(self, score: str) -> list[torch.Tensor]:
        """Return the batches without targets.

        Raises:
            ValueError: none, or, but for synflow, a batch without a sample.
        """
        if isinstance(self.data, torch.Tensor):
            return [self.data]
        found = [self.data[0]] if self._is_one() else _listed(self.data)
        found = [each[0] if _is_pair(each) else each for each in found]
        if not found or not all(isinstance(x, torch.Tensor) for x in found):
            raise ValueError(
                f"score {score!r} needs samples: data=x, a batch as the net takes it, or a list of "
                f"batches; got {_said(self.data)}"
            )
        if score != "synflow":  # (which reads shapes only)
            _refuse_empty(found, score)
        return found


def _is_pair(data: Any) -> bool:
    pair = isinstance(data, tuple | list) and len(data) == 2
    return pair and all(isinstance(part, torch.Tensor) for part in data)


def _listed(data: Any) -> list[Any]:
    return list(data) if isinstance(data, Iterable) and not isinstance(data, str | dict) else []


def _refuse_empty(batches: list[torch.Tensor], score: str) -> None:
    for x in batches:
        if not x.numel():
            raise ValueError(
                f"score {score!r} looks at samples, and a batch of shape {tuple(x.shape)} has "
                "none: what would be pruned by it is chance; give some hundreds"
            )


def _said(data: Any) -> str:
    if data is None:
        return "none"
    fix = ", whose arrays are no tensors yet: torch.from_numpy makes one of each"
    return kind_of(data) + fix * _has_arrays(data)


def _has_arrays(data: Any) -> bool:
    within = isinstance(data, tuple | list) and any(_has_arrays(part) for part in data)
    return within or isinstance(data, np.ndarray)


@contextmanager
def undisturbed(net: nn.Module, weights: Weights) -> Iterator[None]:
    """Let gradients of weights be asked for; buffers, flags and random numbers are put back."""
    buffers = [(b, b.clone()) for b in net.buffers()]
    flags = [(p, p.requires_grad) for p in weights.values()]
    try:
        with torch.random.fork_rng(), torch.inference_mode(False), torch.enable_grad():
            for p, _ in flags:
                p.requires_grad_(True)
            yield
    finally:
        with torch.no_grad():
            for p, flag in flags:
                p.requires_grad_(flag)
            for b, value in buffers:
                b.copy_(value)


def gradients(loss: torch.Tensor, weights: Weights, **how: Any) -> list[torch.Tensor]:
    """Return the gradient of each weight; zeros for one that the loss does not depend on."""
    found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True, **how)
    pairs = zip(found, weights.values(), strict=True)
    return [torch.zeros_like(p) if g is None else g for g, p in pairs]


def finite(scores: Scores, score: str) -> Scores:
    """Return scores if no order is lost in NaN or infinities.

    Raises:
        ValueError: a score that is not finite; names the layer.
    """
    for name, values in scores.items():
        refuse_broken(f"score {score!r} of {name}", values, "values")
    return scores
