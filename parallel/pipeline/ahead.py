"""Where weights will be some updates from now: the directions of weight prediction.

    velocity       w - s lr v                  v: SGD's momentum buffer (SpecTrain)
    decaying       w - s' lr v                 s' = gamma + ... + gamma^s: the momentum decays
    displacement   w + s (w - w before)        any optimizer; a new rate is followed a step late
    adam           w - s lr m^ / (sqrt(v^) + eps)

`displacement` is `velocity` exactly for SGD with momentum and coupled decay at a constant rate. SGD
without momentum goes along its last gradient, which is its last displacement.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import nn

from harness.names import check

State = dict[str, torch.Tensor]
Group = dict[str, Any]  # of an optimizer's parameters: lr, momentum, ...


class Moving(Protocol):
    """What a direction is asked about: the weights of a stage (parallel.pipeline.versions)."""

    params: dict[str, nn.Parameter]
    newest: State
    number: int
    rows: list[list[str]]  # the names in each of the optimizer's groups

    @property
    def stepper(self) -> torch.optim.Optimizer:
        """Their optimizer."""
        ...

    def version(self, number: int) -> State:
        """The weights after so many updates."""
        ...


def velocity(weights: Moving, steps: int) -> State:
    """Straight on, along SGD's momentum."""
    return _along(weights, _momentum, lambda group: steps)


def decaying(weights: Moving, steps: int) -> State:
    """Along a momentum that gets no new gradients, so that each update is shorter by gamma."""
    return _along(
        weights, _momentum, lambda g: sum(g["momentum"] ** i for i in range(1, steps + 1))
    )


def adam(weights: Moving, steps: int) -> State:
    """Along the last update of Adam, AdamW or NAdam, without their decay."""
    return _along(weights, _adam, lambda group: steps)


def displacement(weights: Moving, steps: int) -> State:
    """As far again as the last update went, for each step."""
    before = weights.version(weights.number - 1)
    return {k: w + steps * (w - before[k]) for k, w in weights.newest.items()}


def _along(
    weights: Moving,
    way: Callable[[Moving, nn.Parameter, Group], torch.Tensor | None],
    length: Callable[[Group], float],
) -> State:
    """W - length x lr x way; where an optimizer knows no way yet, w itself."""
    found, params = dict(weights.newest), weights.params
    for group, own in zip(weights.stepper.param_groups, weights.rows, strict=True):
        steps = {name: way(weights, params[name], group) for name in own}
        known = {name: step for name, step in steps.items() if step is not None}
        if known:
            now, alpha = [found[name] for name in known], -length(group) * group["lr"]
            moved = torch._foreach_add(now, [*known.values()], alpha=alpha)  # pyright: ignore
            found |= zip(known, moved, strict=True)
    return found


def _momentum(weights: Moving, p: nn.Parameter, group: Group) -> torch.Tensor | None:
    return weights.stepper.state[p].get("momentum_buffer")


def _adam(weights: Moving, p: nn.Parameter, group: Group) -> torch.Tensor | None:
    state = weights.stepper.state[p]
    if not state:
        return None
    step, (first, second) = float(state["step"]), group["betas"]
    mean = state["exp_avg"] / (1 - first**step)
    square = state["exp_avg_sq"] / (1 - second**step)
    return mean / (square.sqrt() + group["eps"])


DIRECTIONS: dict[str, Callable[[Moving, int], State]] = {
    "velocity": velocity,
    "decaying": decaying,
    "displacement": displacement,
    "adam": adam,
}


def suitable(name: str, optimizer: torch.optim.Optimizer) -> str:
    """The direction of this name, as this optimizer has it; "auto" takes the optimizer's own.

    Raises:
        ValueError: unknown, or not to be had from this optimizer.
    """
    check("direction", name, ("auto", *DIRECTIONS))
    kind, sgd = type(optimizer).__name__, "dampening" in optimizer.param_groups[0]
    momentum = sgd and all(g["momentum"] for g in optimizer.param_groups)
    adaptive = kind in ("Adam", "AdamW", "NAdam")
    own = "velocity" if momentum else "adam" if adaptive else "displacement"
    if name == "auto" or (name in ("velocity", "decaying") and sgd and not momentum):
        return own
    if (name in ("velocity", "decaying") and not sgd) or (name == "adam" and not adaptive):
        raise ValueError(
            f"ahead={name!r} goes along the state of {'Adam' if name == 'adam' else 'SGD'}, and "
            f"this is {kind}: take ahead='displacement', which goes with any optimizer, or 'auto'"
        )
    return name
