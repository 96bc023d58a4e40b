"""What a weight is worth: a number for each, the highest stay.

    magnitude   |w|
    random      a draw, by seed and place of the layer
    snip        |g w|              g the gradient of the loss over the samples
    grasp       w (H g)            H its Hessian in the weights that are scored: how much gradient
                                   would go with w; the lowest are removed
    synflow     w dR/dw            R = 1' prod |W| 1, in float64; no samples but their shape
    wanda       |w_ij| norm(x_j)   x_j what reaches the weight, over samples (and places)

Lee et al. 2019 (SNIP), Wang et al. 2020 (GraSP), Tanaka et al. 2020 (SynFlow), Sun et al. 2024
(Wanda). snip and grasp see the net in its present mode, train or eval; wanda in eval.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

from compress.pruning.asked import Asked, Scores, finite, gradients, undisturbed
from compress.pruning.flow import synflow
from compress.pruning.layers import layer_of
from harness.cost import evaluating
from harness.seeding import generator

Score = Literal["magnitude", "random", "snip", "grasp", "synflow", "wanda"]


@torch.no_grad()
def magnitude(ask: Asked) -> Scores:
    """Return absolute values."""
    return {name: w.detach().abs() for name, w in ask.weights.items()}


def random(ask: Asked) -> Scores:
    """Return uniform draws, which depend on the seed, the place of the layer and its shape."""
    found = {}
    for place, (name, w) in enumerate(ask.weights.items()):
        g = generator(ask.seed, "design", place)
        found[name] = torch.rand(w.shape, generator=g, dtype=torch.float64).to(w.device)
    return found


def snip(ask: Asked) -> Scores:
    """Return how much the loss would change to first order if a weight were scaled."""
    pairs = ask.pairs("snip")
    with undisturbed(ask.net, ask.weights):
        g = _summed(ask, [ask.loss(ask.net(x), y) for x, y in pairs])
    return finite(_times(ask, g, torch.abs), "snip")


def grasp(ask: Asked) -> Scores:
    """Return the part of the gradient's own decrease that goes through each weight."""
    pairs, products = ask.pairs("grasp"), None
    with undisturbed(ask.net, ask.weights):
        g = _summed(ask, [ask.loss(ask.net(x), y) for x, y in pairs])
        for x, y in pairs:
            live = gradients(ask.loss(ask.net(x), y), ask.weights, create_graph=True)
            along = sum((a * b).sum() for a, b in zip(live, g, strict=True))
            product = gradients(torch.as_tensor(along), ask.weights)
            products = product if products is None else _plus(products, product)
    return finite(_times(ask, products or [], lambda score: score), "grasp")


def _summed(ask: Asked, losses: list[torch.Tensor]) -> list[torch.Tensor]:
    total = None
    for loss in losses:
        g = gradients(loss, ask.weights)
        total = g if total is None else _plus(total, g)
    return total or []


def _plus(a: list[torch.Tensor], b: list[torch.Tensor]) -> list[torch.Tensor]:
    return [x + y for x, y in zip(a, b, strict=True)]


def _times(ask: Asked, factors: list[torch.Tensor], then: Callable[..., torch.Tensor]) -> Scores:
    """Return weights times factors, in at least float32: a product of halves has no order left."""
    found = {}
    for (name, w), factor in zip(ask.weights.items(), factors, strict=True):
        wide = torch.promote_types(w.dtype, torch.float32)
        found[name] = then(w.detach().to(wide) * factor.to(wide)).detach()
    return found


def wanda(ask: Asked) -> Scores:
    """Return absolute values times the norm of what reaches them."""
    batches, squares = ask.inputs("wanda"), {}
    hooks = []
    for name in ask.weights:
        layer = ask.net.get_submodule(layer_of(name))
        hooks.append(layer.register_forward_pre_hook(_listener(name, squares)))
    try:
        with torch.no_grad(), evaluating(ask.net):
            for x in batches:
                ask.net(x)
    finally:
        for hook in hooks:
            hook.remove()
    return finite({n: _scaled(n, w.detach(), squares) for n, w in ask.weights.items()}, "wanda")


def _listener(name: str, squares: Scores) -> Callable[..., None]:
    def listen(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        found = reaching(layer, inputs[0])
        squares[name] = squares[name] + found if name in squares else found

    return listen


def reaching(layer: Any, x: torch.Tensor) -> torch.Tensor:
    """Return the sum of squares that reaches each weight of an output: (1 or groups, in, ...)."""
    x = x.double()
    if isinstance(layer, nn.Linear):
        return x.flatten(0, -2).square().sum(0) if x.ndim > 1 else x.square()
    x = x if x.ndim == 4 else x[None]
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    x = F.pad(x, layer._reversed_padding_repeated_twice, mode=mode)
    how = dict(dilation=layer.dilation, stride=layer.stride)
    patches = F.unfold(x, layer.kernel_size, **how).square().sum((0, 2))
    return patches.view(layer.groups, -1, *layer.kernel_size)


def _scaled(name: str, w: torch.Tensor, squares: Scores) -> torch.Tensor:
    if name not in squares:
        raise ValueError(
            f"no sample came to layer {layer_of(name)!r}, so wanda knows no norm for it: its "
            f"module reads the weight itself, or never calls it; exclude={layer_of(name)!r}"
        )
    norms = squares[name].sqrt()
    if w.ndim == 2:
        return w.double().abs() * norms
    return w.double().abs() * norms.repeat_interleave(len(w) // len(norms), 0)


SCORES: dict[Score, Callable[[Asked], Scores]] = {
    "magnitude": magnitude,
    "random": random,
    "snip": snip,
    "grasp": grasp,
    "synflow": synflow,
    "wanda": wanda,
}
ROUNDS = {"synflow": 100}  # of scoring and pruning, where it is not one
