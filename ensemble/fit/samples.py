"""The samples that members are trained on: checked and weighted; and what nets answer to them.

A weight enters as a factor of the sample's loss, scaled to mean 1 over all samples: a batch of
heavy samples then moves a net further, which dividing by the batch's own sum would undo.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ensemble.boosting.start import started
from ensemble.checks import tensor
from ensemble.reading import reading
from harness.names import kind_of
from harness.seeding import derive

CHUNK = 500  # samples that are answered at a time
WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def checked(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return samples and targets if they can be trained on.

    Raises:
        ValueError: no samples, other counts, targets that are not whole numbers or negative, NaN.
    """
    for what, value in (("x", x), ("y", y)):
        if not isinstance(value, torch.Tensor):
            raise ValueError(f"{what} is a tensor, got {kind_of(value)}: torch.as_tensor({what})")
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise ValueError(f"targets are numbers of classes, int64, got {y.dtype}: y.long()")
    if tuple(y.shape) != (len(x),) or not len(x):
        raise ValueError(
            f"samples of shape {tuple(x.shape)} need targets of shape ({len(x)},), at least one; "
            f"got shape {tuple(y.shape)}"
        )
    if int(y.min()) < 0:
        raise ValueError(f"targets are numbers of classes from 0 on, got {int(y.min())}")
    if x.is_floating_point() and not bool(x.isfinite().all()):
        at = int((~x.isfinite()).flatten(1).any(1).nonzero()[0])
        raise ValueError(f"sample {at} is not finite (NaN or infinite)")
    return x, y.to(x.device, torch.int64)


def as_given(sample_weight: Any, samples: int) -> np.ndarray:
    """Return weights as a float64 array if there is one per sample."""
    on_cpu = sample_weight.cpu() if isinstance(sample_weight, torch.Tensor) else sample_weight
    w = np.asarray(on_cpu, dtype=np.float64)
    if w.shape != (samples,):
        raise ValueError(f"{samples} samples need a weight each, got weights of shape {w.shape}")
    return w


def weighted(sample_weight: Any, samples: int) -> torch.Tensor:
    """Return weights of mean 1, float64, on the CPU.

    Raises:
        ValueError: another count, or weights that are none (`started`).
    """
    return torch.from_numpy(started(as_given(sample_weight, samples)) * samples)


def indexed(index: Any, members: int, samples: int) -> torch.Tensor:
    """Return which samples each member sees, (members, count), if there are such.

    Raises:
        ValueError: not a row for each member, no whole numbers, or samples that are not there.
    """
    found = torch.as_tensor(index)
    if found.ndim != 2 or len(found) != members or not found.numel() or found.dtype not in WHOLE:
        raise ValueError(
            f"index= is a row of numbers of samples for each of {members} members, got shape "
            f"{tuple(found.shape)} of {found.dtype}"
        )
    low, high = int(found.min()), int(found.max())
    if low < 0 or high >= samples:
        raise ValueError(f"index= has samples {low} to {high}, and there are 0 to {samples - 1}")
    return found.long()


def member_seed(seed: int, member: int) -> int:
    """Return the seed of a member: of its first weights, its order, its samples, its noise."""
    return derive(seed, "member", member)


@torch.no_grad()
def answers(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return what a net answers in eval mode, some hundred samples at a time; its mode is kept."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        return torch.cat([tensor(net(part), "a member") for part in x.split(CHUNK)])
    finally:
        for module, mode in modes:
            module.training = mode


def answerable(nets: Sequence[nn.Module], x: torch.Tensor, y: torch.Tensor) -> None:
    """Raise ValueError if nets answer about different classes, or not about all that y has."""
    shapes = []
    for number, net in enumerate(nets):
        with reading(net, x, f"member {number}"):
            shapes.append(tuple(answers(net, x[:1]).shape))
    wanted, most = shapes[0], int(y.max())
    for number, shape in enumerate(shapes):
        if len(shape) != 2:
            raise ValueError(
                f"member {number} answers one sample with shape {shape}, not with logits (1, "
                "classes), one number for each class"
            )
        if shape != wanted:
            raise ValueError(
                f"member {number} answers one sample with shape {shape}, member 0 with {wanted}: "
                "all members answer (samples, classes), about the same classes"
            )
    if most >= wanted[1]:
        raise ValueError(
            f"y has class {most}, and the members answer about classes 0 to {wanted[1] - 1}: give "
            f"them {most + 1} outputs, or number the classes from 0 on"
        )


def same_classes(nets: Sequence[nn.Module], x: torch.Tensor, classes: int) -> None:
    """Raise ValueError if a net does not answer about that many classes."""
    for number, net in enumerate(nets):
        with reading(net, x, f"member {number}"):
            shape = tuple(answers(net, x[:1]).shape)
        if shape != (1, classes):
            raise ValueError(
                f"member {number} answers one sample with shape {shape}, and y has {classes} "
                f"classes: expected (1, {classes})"
            )
