"""Finds out what an optimizer looks at in a step: elements, whole parameters, or all of them.

    by_element(optimizer)      a stack of parameters is stepped as each of them alone would be
    by_slice(optimizer)        and a part of a parameter as in the whole
    by_parameter(optimizer)    a parameter's step does not depend on the others

Tried on a few numbers, not looked up in a list, so that an optimizer of one's own is judged too.
"""

import inspect
from collections.abc import Sequence

import torch

Optimizer = torch.optim.Optimizer


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
    begin = torch.cat([value.flatten() for part in ways[0] for value in part])
    for scale in (1e-3, 1.0, 1e3):
        with torch.random.fork_rng():
            try:
                one, again, other = (
                    torch.cat([_stepped(optimizer, part, scale) for part in way])
                    for way in (ways[0], ways[0], ways[1])
                )
            except Exception:  # somebody's own, that needs more than its defaults
                return None
        if torch.equal(one, begin) or not torch.equal(one, again):
            return None  # (nothing moves, or something is drawn)
        if not torch.allclose(one, other, rtol=1e-12, atol=1e-12):
            return False
    return True


def _stepped(optimizer: Optimizer, values: Sequence[torch.Tensor], scale: float) -> torch.Tensor:
    parameters = [torch.nn.Parameter(v.clone()) for v in values]
    own = fresh(optimizer, parameters)
    for k in range(3):
        for p in parameters:
            p.grad = scale * ((p.detach() * (3 + k)).sin() + 0.1 * k)
        own.step()
    return torch.cat([p.detach().flatten() for p in parameters])


def fresh(optimizer: Optimizer, parameters: Sequence[torch.nn.Parameter]) -> Optimizer:
    """Make another optimizer of its kind, with the options of its first group."""
    known = inspect.signature(type(optimizer)).parameters
    chosen = {**optimizer.defaults, **optimizer.param_groups[0]}
    options = {k: v for k, v in chosen.items() if k in known and k != "params"}
    return type(optimizer)(list(parameters), **options)
