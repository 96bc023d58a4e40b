"""Checks what is to be scored, and says in words what is wrong with it.

The currency of this package are log-probabilities: `logp`, a tensor (members, samples, classes), or
(samples, classes) of one answer, in float64 wherever something is scored. They are made from logits
by `log_probabilities`, not from probabilities: a float32 probability of 1 has lost its logarithm.
Minus infinity is allowed (a class without a vote). Targets are whole numbers, one per sample.

What a score stands on has a name too: nothing is chosen on the samples that a net was trained on.
"""

import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from harness.names import kind_of, uncalled

# How far the probabilities of a sample may be from 1 in sum: bfloat16 moves a log-probability of 7
# (one of 1000 classes) by up to 2^-9 of it. Logits that were never normalised miss by far more.
NORMALISED = 0.05
REMEDY = "from logits: ensemble.log_probabilities(logits)"


def log_probabilities(logits: torch.Tensor | Sequence[torch.Tensor]) -> torch.Tensor:
    """Return float64 log-probabilities of logits, of one net or of several.

    Args:
        logits: A tensor whose last axis are the classes, or a list of such, one per member.

    Raises:
        ValueError: members that know other classes or saw other samples, whole numbers, logits of
            which no probabilities can be made (NaN, plus infinity, minus infinity everywhere).
    """
    if not isinstance(logits, torch.Tensor):
        if not isinstance(logits, Sequence):
            raise ValueError(f"logits are a tensor or a list of such, got {kind_of(logits)}")
        logits = torch.stack(_alike(logits))
    if not logits.is_floating_point():
        raise ValueError(f"logits are floating-point numbers, got {logits.dtype}")
    warn_of_probabilities(logits.double())
    found = torch.log_softmax(logits.double(), -1)
    refuse_nan(found, "logits that are NaN or infinite")
    return found


def warn_of_probabilities(logits: torch.Tensor) -> None:
    """Warn where every row is what a softmax gives: not negative, and 1 in sum to rounding."""
    each = torch.finfo(torch.float32).eps * logits.shape[-1]
    if logits.numel() and (logits >= 0).all() and ((logits.sum(-1) - 1).abs() <= each).all():
        warnings.warn(
            "these logits look like probabilities (not negative, 1 in sum): give what the net "
            "answers before its softmax; of probabilities alone: p.log()",
            stacklevel=3,
        )


def _alike(parts: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Return the logits of all members, in float64, if they are of one shape."""
    parts = list(parts)
    if not parts:
        raise ValueError("no members: an ensemble has at least one")
    for number, part in enumerate(parts):
        tensor(part, f"member {number}")
        if part.shape != parts[0].shape:
            raise ValueError(
                f"member {number} gives answers of shape {tuple(part.shape)}, member 0 of "
                f"{tuple(parts[0].shape)}: all members answer the same samples in the same classes"
            )
    return [part if not part.is_floating_point() else part.double() for part in parts]


def tensor(found: Any, who: str) -> torch.Tensor:
    """Return what a net answered if it is one tensor.

    Raises:
        ValueError: a tuple, a dict or something else.
    """
    if not isinstance(found, torch.Tensor):
        raise ValueError(
            f"{who} answers with {kind_of(found)}, and logits are one tensor (samples, classes): "
            "wrap the net in a module whose forward returns them alone"
        )
    return found


def module(net: Any, who: str) -> nn.Module:
    """Return a net if it is one.

    Raises:
        ValueError: a class, a list or something else.
    """
    if not isinstance(net, nn.Module):
        raise ValueError(f"{who} is a torch.nn.Module, got {kind_of(net)}{uncalled(net)}")
    return net


def choosing(logits: torch.Tensor) -> torch.Tensor:
    """Return logits (..., samples, classes) of one net or (members, samples, classes) of several.

    Raises:
        ValueError: more or fewer axes, or a single class, which is always chosen.
    """
    if logits.ndim not in (2, 3) or logits.shape[-1] < 2:
        raise ValueError(
            "a net answers each sample with logits of two classes or more, (samples, classes); got "
            f"shape {tuple(logits.shape)}"
        )
    return logits


def refuse_inputs(x: torch.Tensor, bad: torch.Tensor, who: str) -> None:
    """Raise ValueError where each sample of `bad` (samples,) has an input that is not finite."""
    if not x[bad].isfinite().flatten(1).all(1).any():
        raise ValueError(
            f"{who} answered NaN because of these inputs: sample {int(bad.nonzero()[0])} is not "
            f"finite itself (NaN or infinite), {int(bad.sum())} of {len(x)} are not"
        )


def nan_members(logp: torch.Tensor) -> list[int]:
    """Return the numbers of the members that answered NaN to some sample."""
    return logp.isnan().flatten(1).any(1).nonzero().flatten().tolist()


def refuse_nan(logp: torch.Tensor, what: str = "log-probabilities that are NaN") -> None:
    """Raise ValueError that names the first member and sample of which something is NaN."""
    bad = logp.isnan().any(-1)
    if not bad.any():
        return
    *member, sample = bad.nonzero()[0].tolist() or [0]
    who = f"member {member[0]}, " if member else ""
    raise ValueError(
        f"{who}sample {sample}: {what}, in {int(bad.sum())} of {bad.numel()} answers; look at the "
        "net and at these inputs, or leave that member out"
    )


def checked(logp: torch.Tensor, axes: int = 2) -> torch.Tensor:
    """Return log-probabilities in float64 if they are such, on (samples, classes) or three axes.

    Raises:
        ValueError: other axes, no samples, whole numbers, NaN, rows that are not normalised.
    """
    names = ("members", "samples", "classes")[-axes:]
    if not isinstance(logp, torch.Tensor) or not logp.is_floating_point():
        got = logp.dtype if isinstance(logp, torch.Tensor) else kind_of(logp)
        raise ValueError(f"log-probabilities are a floating-point tensor, got {got}")
    if logp.ndim != axes or 0 in logp.shape:
        raise ValueError(
            f"log-probabilities have the axes ({', '.join(names)}), none of them empty; got shape "
            f"{tuple(logp.shape)}"
        )
    logp = logp.detach().double()
    refuse_nan(logp)
    total = logp.exp().sum(-1)
    if not ((total - 1).abs() <= NORMALISED).all():
        worst = float(total.flatten()[(total - 1).abs().argmax()])
        raise ValueError(
            f"the probabilities of a sample are 1 in sum, got {worst:.4g}: these are no "
            f"log-probabilities ({REMEDY})"
        )
    return logp


def targets(y: Any, logp: torch.Tensor) -> torch.Tensor:
    """Return the targets as int64 on the device of `logp`, if they fit its samples and classes.

    Raises:
        ValueError: targets that are not whole numbers, another count, or a class that is not there.
    """
    samples, classes = logp.shape[-2:]
    if not isinstance(y, torch.Tensor):
        found = np.asarray(y)
        if found.dtype.kind not in "biufc":
            raise ValueError(
                f"targets are numbers of classes, int64, got {found.dtype} such as "
                f"{found.ravel()[:1].tolist()}: np.unique(y, return_inverse=True)[1]"
            )
        y = torch.as_tensor(found)
    if not y.numel():
        raise ValueError(f"{samples} samples need as many targets, got none")
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise ValueError(f"targets are numbers of classes, int64, got {y.dtype}: y.long()")
    if tuple(y.shape) != (samples,):
        raise ValueError(
            f"{samples} samples need targets of shape ({samples},), the number of each one's "
            f"class; got shape {tuple(y.shape)}"
        )
    y = y.to(logp.device, torch.int64)
    if bool(((y < 0) | (y >= classes)).any()):
        wrong = int(y[(y < 0) | (y >= classes)][0])
        raise ValueError(f"target {wrong}, but the answers are about classes 0 to {classes - 1}")
    return y


def held_out(split: str, what: str) -> str:
    """Return the name of a part of the data if `what` may be chosen on it.

    Raises:
        ValueError: its name begins with train or test, also as in x_train, or it has none.
    """
    if not isinstance(split, str):
        raise ValueError(f'{what} without the name of a part, such as "validation"; got {split!r}')
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", split).lower())
    word = next((word for word in words if len(word) > 1), "")  # ("x_train": train)
    advice = 'keep some samples apart for it and say which, such as split="validation"'
    if word.startswith("train") or word == "fit":
        raise ValueError(
            f"{what} on {split!r}: a net is surer of the samples that it was trained on than of "
            f"any other, so what fits them fits nothing else; {advice}"
        )
    if word.startswith("test") or words == ["official"]:
        raise ValueError(f"{what} on {split!r}: the test set chooses nothing; {advice}")
    if not words:
        raise ValueError(f"{what} on samples without a name, got split={split!r}; {advice}")
    return split
