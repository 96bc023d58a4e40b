"""Makes one optimizer for all workers here from what makes one for a single model.

The maker sees the parameters of one model, as it does in an ordinary script: groups by name, place
or number of axes mean what they mean there. Each parameter is then replaced by the workers' own.
"""

import inspect
from collections.abc import Callable
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
