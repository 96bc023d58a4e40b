"""Asynchronous pipelines as one sequential loop: no engine, no autograd, no optimizer of torch.

Everything that happened is at hand: w[k][i] are the weights of stage k after i updates, v[k][i]
its momentum then. In a full pipeline stage k has made t-d updates when minibatch t comes down
(d = N-1-k) and t when it comes back, so for each policy one line says which weights its two passes
see.

Stages are rows of linear layers with tanh between; gradients are written out by hand, in float64:

    forward     a' = tanh(a F^T + c)          backward    dz = da' (1 - a'^2),  da = dz B
                                                           dF = dz^T a,  dc = sum of dz
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

Layer = tuple[torch.Tensor, torch.Tensor]  # matrix and bias
Layers = list[Layer]
State = list[torch.Tensor]


@dataclass
class Rule:
    """SGD, and what a policy adds to it."""

    policy: str
    lr: float
    momentum: float
    decay: float = 0.0
    spike: bool = False
    warmup: int = 0
    drift: float = 0.0


@dataclass
class Past:
    """All weights that a stage has had, and all momenta."""

    w: list[State]
    v: list[State] = field(default_factory=list)
    delta: list[State] = field(default_factory=list)


def run(
    stages: Sequence[Layers], batches: Sequence[tuple[torch.Tensor, torch.Tensor]], rule: Rule
) -> list[State]:
    """Train on minibatches in turn; the weights of each stage at the end.

    Args:
        stages: The layers of each, in float64.
        batches: Inputs and targets (classes).
        rule: The policy, and SGD's numbers.
    """
    past = [Past([[t.clone() for layer in stage for t in layer]]) for stage in stages]
    for one in past:
        one.v.append([torch.zeros_like(t) for t in one.w[0]])
        one.delta.append([torch.zeros_like(t) for t in one.w[0]])
    for t, (x, y) in enumerate(batches):
        seen = [forward_weights(rule, past[k], k, len(past), t) for k in range(len(past))]
        acts: list[list[torch.Tensor]] = []
        for k, weights in enumerate(seen):
            acts.append(forward(weights, x, k == len(past) - 1))
            x = acts[-1][-1]
        da = loss_gradient(x, y)
        for k in reversed(range(len(past))):
            back = backward_weights(rule, past[k], k, len(past), t, seen[k])
            if rule.policy == "recomputed":
                acts[k] = forward(back, acts[k][0], k == len(past) - 1)
                if k == len(past) - 1:
                    da = loss_gradient(acts[k][-1], y)
            da, grads = backward(back, acts[k], da, k == len(past) - 1)
            _update(rule, past[k], grads, k, len(past), t)
    return [one.w[-1] for one in past]


def forward_weights(rule: Rule, past: Past, k: int, n: int, t: int) -> State:
    """One line for each policy."""
    d = n - 1 - k
    now = max(0, t - d)
    match rule.policy:
        case "vertical_sync":
            return past.w[max(0, t - (n - 1))]
        case "two_bw":
            return past.w[max(0, t - min(1, n - 1))]
        case "spectrain_v1":
            return _ahead(past, now, d + k // 2, rule.lr)
        case "spectrain_v2" | "pipeoptim":
            return _ahead(past, now, d, rule.lr)
        case "lwp":
            before = past.w[max(0, now - 1)]
            return [w + d * (w - b) for w, b in zip(past.w[now], before, strict=True)]
        case _:
            return past.w[now]


def backward_weights(rule: Rule, past: Past, k: int, n: int, t: int, seen: State) -> State:
    """One line for each policy."""
    match rule.policy:
        case "vanilla" | "pipeoptim" | "recomputed":
            return past.w[t]
        case "spectrain_v1":
            return _ahead(past, t, k // 2, rule.lr)
        case "pipemare":
            return [w - (n - 1 - k) * m for w, m in zip(past.w[t], past.delta[t], strict=True)]
        case _:
            return seen


def _ahead(past: Past, i: int, s: int, lr: float) -> State:
    return [w - s * lr * v for w, v in zip(past.w[i], past.v[i], strict=True)]


def loss_gradient(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Of the mean cross-entropy, by the outputs z."""
    return (torch.softmax(z, 1) - torch.nn.functional.one_hot(y, z.shape[1])) / len(y)


def forward(weights: State, x: torch.Tensor, last: bool) -> list[torch.Tensor]:
    """The inputs of each layer of a stage, and its output."""
    acts, layers = [x], len(weights) // 2
    for i in range(layers):
        z = acts[-1] @ weights[2 * i].T + weights[2 * i + 1]
        acts.append(z if last and i == layers - 1 else torch.tanh(z))
    return acts


def backward(weights: State, acts: list[torch.Tensor], da: torch.Tensor, last: bool):
    """The gradient of the inputs of a stage, and those of its weights."""
    grads: State = []
    layers = len(weights) // 2
    for i in reversed(range(layers)):
        dz = da if last and i == layers - 1 else da * (1 - acts[i + 1] ** 2)
        grads = [dz.T @ acts[i], dz.sum(0), *grads]
        da = dz @ weights[2 * i]
    return da, grads


def _update(rule: Rule, past: Past, grads: State, k: int, n: int, t: int) -> None:
    d, w = n - 1 - k, past.w[-1]
    g = [dw + rule.decay * old for dw, old in zip(grads, w, strict=True)]
    v = [rule.momentum * m + one for m, one in zip(past.v[-1], g, strict=True)]
    a, b = 1.0, 0.0
    if rule.spike:
        a = rule.momentum**d
        b = sum(rule.momentum**i for i in range(d))
    lr = rule.lr * length(rule, k, n, t)
    new = [o - lr * (a * m + b * one) for o, m, one in zip(w, v, g, strict=True)]
    share = rule.drift ** (1 / d) if d and rule.drift else 0.0
    moved = zip(past.delta[-1], new, w, strict=True)
    past.delta.append([(share * m + (1 - share) * (x - o)) * bool(share) for m, x, o in moved])
    past.w.append(new)
    past.v.append(v)


def length(rule: Rule, k: int, n: int, t: int) -> float:
    """Of update t, as a share of the optimizer's."""
    d = n - 1 - k
    if rule.policy == "spectrain_v2_official":
        return n - k
    if rule.policy == "pipemare" and d and t < rule.warmup:
        return 1 / d ** (1 - t / rule.warmup)
    return 1.0
