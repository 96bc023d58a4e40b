"""Scores that ask data against what defines them: differences, the Hessian, loops.

The net of the finite differences has no activations and a squared error, so that its loss is a
polynomial of second degree in each single weight: central differences of it are exact.
"""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from compress.identities.nets import CLASSES, mlp, samples
from compress.pruning.layers import found, layer_of
from compress.pruning.scores import Asked, grasp, snip, wanda
from harness.result.identity import apart, furthest


def differences() -> float:
    """Compare SNIP with central differences in a factor at each weight."""
    net, far = mlp(nn.Identity), 0.0
    x, y = samples(net)
    target = F.one_hot(y, CLASSES).double()
    scores = snip(Asked(net, found(net), (x, target), F.mse_loss))
    for name, w in found(net).items():
        made = torch.empty_like(w)
        for k in range(w.numel()):
            made.view(-1)[k] = abs(_slope(net, w, k, x, target))
        far = furthest(far, apart(scores[name], made.detach()))
    return far


@torch.no_grad()
def _slope(net: nn.Module, w: torch.Tensor, k: int, x: torch.Tensor, y: torch.Tensor) -> float:
    value, losses = float(w.view(-1)[k]), []
    for factor in (1.5, 0.5):
        w.view(-1)[k] = value * factor
        losses.append(float(F.mse_loss(net(x), y)))
    w.view(-1)[k] = value
    return losses[0] - losses[1]


def dense_hessian() -> float:
    """Compare GraSP with the whole Hessian times the gradient."""
    net = mlp(nn.Tanh)
    x, y = samples(net)
    scores = grasp(Asked(net, found(net), [(x[:8], y[:8]), (x[8:], y[8:])]))
    weights = {name: w.detach() for name, w in found(net).items()}
    flat = torch.cat([w.flatten() for w in weights.values()])

    def loss(v: torch.Tensor) -> torch.Tensor:
        parts = zip(weights.items(), v.split([w.numel() for w in weights.values()]), strict=True)
        held = {name: part.view_as(w) for (name, w), part in parts}
        halves = ((x[:8], y[:8]), (x[8:], y[8:]))
        answers = [(torch.func.functional_call(net, held, (a,)), b) for a, b in halves]
        return torch.stack([F.cross_entropy(a, b) for a, b in answers]).sum()

    g = torch.autograd.functional.jacobian(loss, flat)
    h = torch.autograd.functional.hessian(loss, flat)
    return apart(torch.cat([s.flatten() for s in scores.values()]), flat * (h @ g))  # pyright: ignore


def by_loops(net: nn.Sequential) -> float:
    """Compare Wanda with the norm of what is multiplied by each weight, entry by entry."""
    x, _ = samples(net)
    scores, far = wanda(Asked(net, found(net), [x[:8], x[8:]])), 0.0
    for name, w in found(net).items():
        place = int(layer_of(name))
        with torch.no_grad():
            reaching = net[:place](x)
        made = torch.empty_like(w)
        for k in range(w.numel()):
            one = torch.zeros_like(w)
            one.view(-1)[k] = 1.0
            layer: Any = copy.deepcopy(net[place])
            with torch.no_grad():
                layer.weight.copy_(one)
                layer.bias.zero_()
                made.view(-1)[k] = w.view(-1)[k].abs() * layer(reaching).square().sum().sqrt()
        far = furthest(far, apart(scores[name], made.detach()))
    return far
