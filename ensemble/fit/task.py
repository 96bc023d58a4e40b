"""What members learn, how long and by what: all that those trained side by side have in common."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, fields
from typing import Any, Protocol

import torch
from torch import nn

from bibd.pattern import check_whole
from harness.names import kind_of, unknown

MakeOptimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
MakeSchedule = Callable[[torch.optim.Optimizer, int], torch.optim.lr_scheduler.LRScheduler]


class Batches(Protocol):
    """Draws batches, augmented if it likes; harness.data.pictures.Batches is one."""

    def begin(self, epoch: int) -> None:
        """Make ready for an epoch."""

    def draw(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return these samples and their targets."""
        ...


class Way(Protocol):
    """Makes the steps of one member; compress.Moving is one."""

    def __enter__(self) -> Any:
        """Begin the forward and backward pass of a step."""
        ...

    def __exit__(self, *error: Any) -> None:
        """End it."""

    def step(self) -> Any:
        """Update the weights, or do what takes the place of an update."""

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""


MakeWay = Callable[[nn.Module, torch.optim.Optimizer, int, int], Way]


def sgd(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the optimizer that is taken where none is asked for: SGD .1, momentum .9."""
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)


@dataclass(frozen=True)
class Task:
    """What members have in common: the samples, and how long and by what they are trained.

    Args:
        x: Samples, on the device where the nets are.
        y: Their classes, int64.
        epochs: Passes over the samples, per member.
        batch_size: Samples per step and member.
        optimizer: Makes one from parameters.
        schedule: Makes one from (optimizer, steps in all); it is stepped after each batch.
        batches: Makes from a member's seed what draws its batches; None: x and y as they are.
        shuffle: Whether each epoch has another order.
        way: Makes from (net, optimizer, steps in all, the member's seed) what makes its steps, such
            as connections that move; None: each step is an update.
    """

    x: torch.Tensor
    y: torch.Tensor
    epochs: int
    batch_size: int = 32
    optimizer: MakeOptimizer = sgd
    schedule: MakeSchedule | None = None
    batches: Callable[[int], Batches] | None = None
    shuffle: bool = True
    way: MakeWay | None = None

    def __post_init__(self):
        for name in ("epochs", "batch_size"):
            check_whole(name, getattr(self, name), 1)
        if not callable(self.optimizer):
            raise ValueError(f"{MAKES_ONE}; got {kind_of(self.optimizer)}")
        for name in ("schedule", "batches", "way"):
            if not (getattr(self, name) is None or callable(getattr(self, name))):
                got = kind_of(getattr(self, name))
                raise ValueError(f"{name}= is a function or None (see {Task.__name__}); got {got}")

    def made_optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimizer of these parameters.

        Raises:
            ValueError: what was to make one gave something else, or one of other parameters only.
        """
        given = list(parameters)
        found = self.optimizer(given)
        if not isinstance(found, torch.optim.Optimizer):
            raise ValueError(f"{MAKES_ONE}; this one gave {kind_of(found)}")
        held = {id(p) for group in found.param_groups for p in group["params"]}
        if held.isdisjoint(map(id, given)):
            raise ValueError(
                f"{MAKES_ONE}; this one holds none of the {len(given)} that it was given, so "
                "nothing would be trained"
            )
        return found


MAKES_ONE = (
    "optimizer= is a function that makes one from parameters, such as "
    "lambda parameters: torch.optim.Adam(parameters, lr=.001)"
)
RATES = ("lr", "momentum", "weight_decay", "betas", "nesterov")  # which are the optimizer's


def refuse_unknown(given: Iterable[str], own: Iterable[str], without: Collection[str] = ()) -> None:
    """Refuse options that neither a training has itself nor a task has.

    Args:
        given: The names that came.
        own: Those that the training has itself.
        without: Those of a task that it sets by itself.

    Raises:
        ValueError: names the first one, the nearest, and how an optimizer is given its rate.
    """
    set_apart = ("x", "y", "epochs", *without)
    known = [*own, *(f.name for f in fields(Task) if f.name not in set_apart)]
    for name in given:
        if name not in known:
            hint = f"; {name} is for the optimizer: {MAKES_ONE}" if name in RATES else ""
            raise ValueError(f"{unknown('option', name, known)}{hint}")
