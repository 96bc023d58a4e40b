"""Finds out what an optimizer looks at in a step: elements, whole parameters, or all of them.

    by_element(optimizer)      a stack of parameters is stepped as each of them alone would be
    by_slice(optimizer)        and a part of a parameter as in the whole
    by_parameter(optimizer)    a parameter's step does not depend on the others

Tried on a few numbers, not looked up in a list, so that an optimizer of one's own is judged too:
with the options of each group, as some step matrices otherwise than the rest, and at one rate, as a
schedule's may be zero for now.
"""

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import torch

Optimizer = torch.optim.Optimizer
RATE = 0.1  # at which something moves
ELSE = ("params", "param_names", "lr", "initial_lr")  # what says nothing of how a group is stepped


def by_element(optimizer: Optimizer) -> bool:
    """Return whether it steps a stack of parameters as it would each of them alone.

    What hooks do to its steps (clipping by a norm, for one) cannot be tried: False.
    """
    if _hooks(optimizer):
        return False
    whole = _numbers()
    return _alike(optimizer, [[whole]], [[whole[0]], [whole[1]]]) is True


def by_slice(optimizer: Optimizer) -> bool:
    """Return whether it steps a part of a parameter, cut anywhere, as it would in the whole."""
    whole = _numbers()
    row = whole.flatten()
    return by_element(optimizer) and _alike(optimizer, [[whole]], [[row[:5], row[5:]]]) is True


def by_parameter(optimizer: Optimizer) -> bool:
    """Return whether it looks at each parameter by itself; True if that is not known.

    A norm over all parameters is a way not to, in a hook before the step as well.
    """
    if optimizer._optimizer_step_pre_hooks:
        return False
    a, b = _numbers()
    return _alike(optimizer, [[a, b]], [[a], [b]]) is not False


def _hooks(optimizer: Optimizer) -> bool:
    return bool(optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks)


def _numbers() -> torch.Tensor:
    return torch.linspace(-1, 1, 12, dtype=torch.float64).view(2, 2, 3)


def _alike(optimizer: Optimizer, *ways: Sequence[Sequence[torch.Tensor]]) -> bool | None:
    """Return whether a few steps give the same numbers however grouped; None: not known."""
    kinds = {repr(sorted(_options(group).items())): group for group in optimizer.param_groups}
    found = [_tried(optimizer, group, *ways) for group in kinds.values()]
    return False if False in found else None if None in found else True


def _options(group: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key not in ELSE}


def _tried(
    optimizer: Optimizer, group: dict[str, Any], *ways: Sequence[Sequence[torch.Tensor]]
) -> bool | None:
    """Return the same of the options of one group."""
    begin = torch.cat([value.flatten() for part in ways[0] for value in part])
    for scale in (1e-3, 1.0, 1e3):
        with torch.random.fork_rng():
            try:
                one, again, other = (
                    torch.cat([_stepped(optimizer, group, part, scale) for part in way])
                    for way in (ways[0], ways[0], ways[1])
                )
            except Exception:  # somebody's own, that needs more than its defaults
                return None
        if torch.equal(one, begin) or not torch.equal(one, again):
            return None  # (nothing moves, or something is drawn)
        if not torch.allclose(one, other, rtol=1e-12, atol=1e-12):
            return False
    return True


def _stepped(
    optimizer: Optimizer, group: dict[str, Any], values: Sequence[torch.Tensor], scale: float
) -> torch.Tensor:
    parameters = [torch.nn.Parameter(v.clone()) for v in values]
    own = fresh(optimizer, parameters, group)
    for one in own.param_groups:
        one["lr"] = _rate(one.get("lr"))
    for k in range(3):
        for p in parameters:
            p.grad = scale * ((p.detach() * (3 + k)).sin() + 0.1 * k)
        own.step()
    return torch.cat([p.detach().flatten() for p in parameters])


def _rate(lr: Any) -> Any:
    return torch.full_like(lr, RATE) if isinstance(lr, torch.Tensor) else RATE


def fresh(
    optimizer: Optimizer,
    parameters: Sequence[torch.nn.Parameter],
    group: dict[str, Any] | None = None,
) -> Optimizer:
    """Make another optimizer of its kind, with the options of a group, by default of its first."""
    known = inspect.signature(type(optimizer)).parameters
    group = group or optimizer.param_groups[0]
    chosen = {**optimizer.defaults, **group}
    options = {k: v for k, v in chosen.items() if k in known and k != "params"}
    made = type(optimizer)(list(parameters), **options)
    rest = {k: copy.deepcopy(v) for k, v in _options(group).items() if k not in known}
    made.param_groups[0].update(rest)
    return made
