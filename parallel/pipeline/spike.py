"""What is done to an update after the optimizer's step: its length, and spike compensation.

    rate     w <- w before + rate (w - w before)
    spike    w <- w - lr (a v + b g) in place of w - lr v,
             a = gamma^D,  b = (1 - gamma^D) / (1 - gamma)

A gradient that comes D updates late moves the weights, from then on, as plain SGD with momentum
would have moved them without delay; for D = 1 this is Nesterov's momentum.
"""

import torch

from parallel.pipeline.versions import State, Versions


def compensate(weights: Versions, spike: bool, rate: float) -> None:
    """Change the step that the optimizer has just made.

    Args:
        weights: Of a stage; `newest` is still the version before the step.
        spike: Whether to compensate for the delay of the stage.
        rate: Length of the update, as a share of the optimizer's.
    """
    before = weights.newest
    with torch.no_grad():
        if spike and weights.delay:
            _spike(weights, before)
        if rate != 1:
            for name, p in weights.params.items():
                p.data.copy_(torch.lerp(before[name], p.data, rate))


def _spike(weights: Versions, before: State) -> None:
    for name, p in weights.params.items():
        group = weights.group(name)
        v, gamma = weights.stepper.state[p].get("momentum_buffer"), group["momentum"]
        if v is None or p.grad is None:
            continue
        a = gamma**weights.delay
        g = p.grad.add(before[name], alpha=group["weight_decay"])
        p.data.add_((1 - a) * v - (1 - a) / (1 - gamma) * g, alpha=group["lr"])


def able(optimizer: torch.optim.Optimizer) -> None:
    """Refuse spike compensation where there is no momentum to compensate.

    Raises:
        ValueError: this optimizer is not SGD with plain momentum.
    """
    group = optimizer.param_groups[0]
    plain = "dampening" in group and group["momentum"] and not group["dampening"]
    if not plain or group["nesterov"]:
        raise ValueError(
            f"spike=True goes with torch.optim.SGD(momentum=...), without dampening and Nesterov; "
            f"got {type(optimizer).__name__}({', '.join(f'{k}={group.get(k)}' for k in KEYS)})"
        )


KEYS = "momentum", "dampening", "nesterov"
