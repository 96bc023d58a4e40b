"""What an optimizer remembers of the values of a layer, carried along when these change places.

momentum, averages of squares, ...   of the shape of the values: survivors keep theirs, new get 0
the step of each value (Rprop)       the same, but new ones begin at the rate, as in a first step
the number of steps, ...             one number: stays
anything else                        refused: whose numbers they are cannot be known
"""

from typing import Any

import torch


def carried(values: torch.Tensor, source: torch.Tensor, new: float = 0.0) -> torch.Tensor:
    """Return values by their new places; `new` where source is -1."""
    behind = torch.cat([values, values.new_full((1, *values.shape[1:]), new)])  # (it comes last)
    return behind.index_select(0, torch.where(source < 0, len(values), source))


def held(optimizer: torch.optim.Optimizer | None, weight: torch.Tensor) -> dict[str, Any]:
    """Return what an optimizer holds of a parameter, if all of it can be carried along.

    Raises:
        ValueError: no optimizer of torch's kind, one of other parameters, or a state that has
            neither the shape of the parameter nor is one number.
    """
    if optimizer is None:
        return {}
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise ValueError(f"expected a torch.optim optimizer or None, got {_kind(optimizer)}")
    if not any(p is weight for group in optimizer.param_groups for p in group["params"]):
        raise ValueError(
            f"this {_kind(optimizer)} does not hold the layer's weight: pass the one that was made "
            "with this layer's parameters, or None if none remembers anything of them"
        )
    if any(isinstance(v, list | tuple) for s in optimizer.state.values() for v in s.values()):
        raise ValueError(JOINT.format(_kind(optimizer)))
    if isinstance(optimizer, torch.optim.LBFGS):
        raise ValueError(JOINT.format("LBFGS"))
    state = optimizer.state.get(weight, {})
    for name, value in state.items():
        if not fits(value, weight):
            shape = tuple(value.shape) if isinstance(value, torch.Tensor) else _kind(value)
            raise ValueError(
                f"{_kind(optimizer)} remembers {name!r} ({shape}) of these {tuple(weight.shape)} "
                "values, which cannot follow single connections: take one that works element by "
                "element, such as SGD or AdamW, or pass None and clear optimizer.state[weight]"
            )
    return state


JOINT = (
    "{} remembers directions of all values together, which cannot follow single connections: take "
    "one that works element by element, such as SGD or AdamW, or pass None and clear "
    "optimizer.state"
)


def fits(value: Any, weight: torch.Tensor) -> bool:
    """Whether a remembered value is of the parameter's shape, one number, or nothing."""
    if isinstance(value, torch.Tensor):
        return value.shape == weight.shape or value.numel() == 1
    return value is None or isinstance(value, int | float)


def carry(
    state: dict[str, Any], weight: torch.Tensor, source: torch.Tensor, rate: float = 0.0
) -> None:
    """Carry along what is remembered of a parameter, before the parameter itself is changed."""
    for name, value in state.items():
        if isinstance(value, torch.Tensor) and value.shape == weight.shape:
            new = rate if name == "step_size" else 0.0
            state[name] = carried(value, source.to(value.device), new)


def rate_of(optimizer: torch.optim.Optimizer | None, weight: torch.Tensor) -> float:
    """Return the learning rate of a parameter; 0 without an optimizer."""
    groups = optimizer.param_groups if optimizer is not None else ()
    rates = [g["lr"] for g in groups if "lr" in g and any(p is weight for p in g["params"])]
    return float(rates[0]) if rates else 0.0


def _kind(thing: Any) -> str:
    return type(thing).__name__
