"""What is to be made int8: a net that can be exported, and the samples that show its ranges."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from compress.int8.plain import Plain
from harness.names import kind_of, uncalled

FEW = 64  # samples below which ranges are more chance than measurement
WANTED = "a batch as the net takes it, x; or (x, y); or a list or DataLoader of such"


@dataclass(frozen=True)
class Asked:
    """A net and its samples.

    Attributes:
        net: A copy in evaluation with dense layers; answers a tuple, the logits of each exit.
        x: All samples.
        y: Their classes, where they were given.
        classes: Number of logits at each exit.
        notes: What a user should know.
    """

    net: Plain
    x: torch.Tensor
    y: torch.Tensor | None
    classes: tuple[int, ...]
    notes: tuple[str, ...]

    @property
    def example(self) -> torch.Tensor:
        """Two samples, also where there is but one: an exporter takes a batch of 1 for a size."""
        return self.x[[0, -1]]


def ask(net: nn.Module, calibration: Any) -> Asked:
    """Check a net and its samples.

    Raises:
        ValueError: says what cannot be made int8 and what to do.
    """
    _check_net(net)
    x, y = gathered(calibration)
    plain = Plain(net)
    classes = _classes(plain, net, x)
    few = f"ranges come from {len(x)} samples only: take some hundreds"
    notes = (*plain.notes, *([few] if len(x) < FEW else []))
    return Asked(plain, x, y, classes, notes)


def _check_net(net: nn.Module) -> None:
    if not isinstance(net, nn.Module):
        raise ValueError(f"quantize takes a net, got {kind_of(net)}{uncalled(net)}")
    name = type(net).__name__
    if net.training:
        raise ValueError(
            f"{name} is in training, where dropout and batch norms answer otherwise: call "
            "net.eval() first"
        )
    tensors = [*net.named_parameters(), *net.named_buffers()]
    if not any(t.is_floating_point() for _, t in tensors):
        raise ValueError(f"{name} has no weights: nothing to make int8")
    for key, t in tensors:
        if t.device.type != "cpu":
            raise ValueError(
                f"{key} is on {t.device}: int8 runs on the CPU here, call net.cpu() first"
            )
        if t.is_floating_point() and t.dtype != torch.float32:
            raise ValueError(f"{key} is {t.dtype}: int8 is made from float32, net.float()")
        if t.is_floating_point() and not t.detach().isfinite().all():
            raise ValueError(f"{key} has values that are NaN or infinite: take an earlier state")


def gathered(calibration: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return all samples, and their classes where there are some.

    Raises:
        ValueError: no samples, or some that cannot be used.
    """
    pairs = [_pair(each) for each in _listed(calibration)]
    if not pairs:
        raise ValueError(f"no samples to take ranges from: calibration is {WANTED}")
    for x, _ in pairs:
        _check_batch(x, pairs[0][0])
    x = torch.cat([x.detach() for x, _ in pairs])
    if not len(x):
        raise ValueError("no samples to take ranges from: the batch is empty; some hundreds do")
    ys = [y for _, y in pairs if y is not None]
    y = torch.cat([y.detach() for y in ys]) if len(ys) == len(pairs) else None
    if y is not None and (y.ndim != 1 or len(y) != len(x)):
        raise ValueError(f"{len(x)} samples need as many classes, got y of {tuple(y.shape)}")
    return x, y


def _listed(calibration: Any) -> list[Any]:
    if isinstance(calibration, torch.Tensor) or _is_pair(calibration):
        return [calibration]
    if isinstance(calibration, Iterable) and not isinstance(calibration, str | bytes | dict):
        return list(calibration)
    raise ValueError(f"calibration is {WANTED}; got {kind_of(calibration)}")


def _is_pair(value: Any) -> bool:
    pair = isinstance(value, tuple) and len(value) == 2
    return pair and all(isinstance(part, torch.Tensor) for part in value)


def _pair(batch: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    batch = tuple(batch) if isinstance(batch, list) else batch
    if isinstance(batch, torch.Tensor):
        return batch, None
    if _is_pair(batch):
        return batch
    raise ValueError(f"calibration is {WANTED}; got {kind_of(batch)} among them")


def _check_batch(x: torch.Tensor, first: torch.Tensor) -> None:
    shape = tuple(x.shape)
    if x.device.type != "cpu":
        raise ValueError(f"samples are on {x.device}: int8 runs on the CPU here, x.cpu()")
    if x.dtype != torch.float32:
        raise ValueError(f"samples are {x.dtype}: give them as the net was trained, in float32")
    if x.ndim < 2:
        raise ValueError(f"samples of shape {shape} have no batch axis: x[None] for a single one")
    if x.shape[1:] != first.shape[1:]:
        raise ValueError(f"samples differ in shape: {tuple(first.shape)} and {shape}")
    if not x.isfinite().all():
        raise ValueError("samples hold NaN or infinities, which have no range: leave them out")


@torch.no_grad()
def _classes(plain: Plain, net: nn.Module, x: torch.Tensor) -> tuple[int, ...]:
    name, shape = type(net).__name__, tuple(x.shape)
    try:
        found = plain(x[[0, -1]])
    except (RuntimeError, ValueError, TypeError) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{name} does not take samples of shape {shape}: {text}") from None
    for y in found:
        if not isinstance(y, torch.Tensor) or y.ndim != 2:
            got = tuple(y.shape) if isinstance(y, torch.Tensor) else kind_of(y)
            raise ValueError(f"{name} answers {got}, expected logits (samples, classes)")
    return tuple(y.shape[1] for y in found)
