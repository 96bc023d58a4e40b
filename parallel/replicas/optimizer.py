"""Makes one optimizer for all workers here from what makes one for a single model.

The maker sees the parameters of one model, as it does in an ordinary script: groups by name, place
or number of axes mean what they mean there. Each parameter is then replaced by the workers' own.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch

from parallel.replicas.replicas import Looped, Stacked

Optimizer = torch.optim.Optimizer


def spread(maker: Callable[..., Optimizer], members: Stacked | Looped) -> Optimizer:
    """Make the optimizer of these workers.

    Raises:
        ValueError: what was made is not an optimizer of the parameters that it was given.
    """
    if isinstance(maker, Optimizer) or not callable(maker):
        raise ValueError(
            f"optimizer is what makes one from parameters, such as partial(SGD, lr=0.1), got a "
            f"{type(maker).__name__}"
        )
    template = dict(members.template.named_parameters())
    made = maker(list(template.values()))
    names = {id(p): name for name, p in template.items()}
    held = [p for group in made.param_groups for p in group["params"]]
    if any(id(p) not in names for p in held):
        raise ValueError(
            "the optimizer has parameters that it was not given: make it from its argument"
        )
    leaves = {id(p): members.leaves_of(names[id(p)]) for p in held}
    for group in made.param_groups:
        group["params"] = [leaf for p in group["params"] for leaf in leaves[id(p)]]
    for p, state in list(made.state.items()):  # (some have one from the start)
        del made.state[p]
        for leaf in leaves[id(p)]:
            made.state[leaf] = {k: _for(leaf, p, k, v) for k, v in state.items()}
    return made


def _for(leaf: torch.Tensor, p: torch.Tensor, key: str, value: Any) -> Any:
    """Turn the state of one model's parameter into that of one worker, of a part, or of a stack."""
    if not isinstance(value, torch.Tensor):
        return value
    if key == "step" or value.shape != p.shape or leaf.shape == p.shape:
        return value.clone()
    if leaf.numel() == len(leaf) * p.numel():
        return value.expand(len(leaf), *p.shape).reshape(leaf.shape).clone()
    return torch.full_like(leaf, float(value.flatten()[0]))


def by_element(optimizer: Optimizer) -> bool:
    """Return whether it steps a stack as it would each worker alone; tried on numbers."""
    whole = _numbers()
    return _alike(optimizer, [[whole]], [[whole[0]], [whole[1]]]) is True


def by_slice(optimizer: Optimizer) -> bool:
    """Return whether it steps a part of a parameter, cut anywhere, as it would in the whole."""
    whole = _numbers()
    row = whole.flatten()
    return by_element(optimizer) and _alike(optimizer, [[whole]], [[row[:5], row[5:]]]) is True


def by_parameter(optimizer: Optimizer) -> bool:
    """Return whether it looks at each parameter by itself; True if that is not known.

    A norm over all parameters is a way not to.
    """
    a, b = _numbers()
    return _alike(optimizer, [[a, b]], [[a], [b]]) is not False


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


def steps_once(optimizer: Any) -> None:
    """Refuse an optimizer that looks at the loss several times in a step.

    Raises:
        ValueError: its step cannot do without a closure.
    """
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ValueError(
            f"{type(optimizer).__name__} needs a closure: between its looks at the loss nobody "
            "could talk. Take one that steps once, such as SGD or Adam"
        )
