"""Masked nets against nets of sparse layers: answers, gradients, training.

Two orders of the same sums differ by at most two roundings a term, of the sum of absolute values:
that is what the same net gives with absolute weights, which is how the bounds here are made.
"""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

import bibd
from compress.identities.nets import SAMPLES, conv, mlp, samples, terms
from compress.pruning.apply import Masked
from compress.pruning.foreign import from_torch, to_torch
from compress.pruning.freeze import freeze
from compress.pruning.masks import Masks
from compress.pruning.prune import prune
from harness.result.identity import ROUNDING, apart, furthest

STEPS = 5


def masks_of(net: nn.Sequential) -> Masks:
    """Return masks that a sparse layer can hold: whole kernels, the last layer dense."""
    found = prune(net, 0.4, "random", "layer", seed=7, exclude=str(len(net) - 1))
    return Masks({n: _kernels(m) if m.ndim > 2 else m for n, m in found.items()})


def _kernels(mask: torch.Tensor) -> torch.Tensor:
    return mask[:, :, :1, :1].expand_as(mask).contiguous()


def sparse_of(net: nn.Sequential, masks: Masks) -> nn.Sequential:
    """Return a frozen copy that multiplies only what it holds, also where dense is faster."""
    sparse = copy.deepcopy(net)
    freeze(sparse, masks)
    layers: list[Any] = [m for m in sparse if isinstance(m, bibd.SparseLinear)]
    for layer in layers:
        layer.backend = "bag"
    return sparse


def sums_bound(net: nn.Sequential) -> float:
    """Return how far answers and gradients of sums in another order may be apart."""
    twin = copy.deepcopy(net)
    with torch.no_grad():
        for p in twin.parameters():
            p.abs_()
    x = samples(net)[0].abs().requires_grad_(True)
    answers = twin(x)
    found = torch.autograd.grad(answers.sum(), [x, *twin.parameters()])
    largest = furthest(*[float(value.detach().max()) for value in (answers, *found)])
    return 2 * terms(net) * SAMPLES * ROUNDING * largest


def frozen(net: nn.Sequential) -> float:
    """Compare answers and gradients of a masked net with those of a frozen one."""
    masks = masks_of(net)
    sparse = sparse_of(net, masks)
    Masked(net, masks)
    x, _ = samples(net)
    pairs = []
    for each in (net, sparse):
        inputs = x.clone().requires_grad_(True)
        answers = each(inputs)
        answers.sum().backward()
        pairs.append([answers.detach(), inputs.grad, *_held(each, masks, "grad")])
    return furthest(*[apart(a, b) for a, b in zip(*pairs, strict=True)])


def _held(net: nn.Sequential, masks: Masks, what: str = "data") -> list[torch.Tensor]:
    """Return what weights and biases hold, of masked ones what stays."""
    out = []
    for name, p in net.named_parameters():
        value = getattr(p, what)
        sparse = isinstance(net[int(name.split(".")[0])], bibd.SparseLinear | bibd.SparseConv2d)
        out.append(value.flatten() if sparse or name not in masks else value[masks[name]])
    return out


def _train(net: nn.Sequential, masks: Masks | None) -> nn.Sequential:
    x, y = samples(net)
    how: dict[str, Any] = dict(lr=0.05, momentum=0.9, weight_decay=0.01)
    optimizer = torch.optim.SGD(net.parameters(), **how)
    if masks is not None:
        Masked(net, masks, optimizer)
    for _ in range(STEPS):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.05)
        optimizer.step()
    return net


def trained(net: nn.Sequential) -> float:
    """Compare masked training, with momentum, decay and clipping, with that of sparse layers."""
    masks = masks_of(net)
    sparse = sparse_of(net, masks)
    a, b = (_held(_train(n, m), masks) for n, m in ((net, masks), (sparse, None)))
    return furthest(*[apart(x, y) for x, y in zip(a, b, strict=True)])


def unmasked() -> float:
    """Return how far the weights that should be zero have grown where nothing holds the masks."""
    net = mlp()
    masks = masks_of(net)
    Masked(net, masks).detach()
    _train(net, None)
    return furthest(
        *[float(net.get_parameter(n).detach()[~m].abs().max()) for n, m in masks.items()]
    )


def there_and_back() -> float:
    """Count the places at which masks differ after a visit to torch.nn.utils.prune."""
    net = conv()
    masks = prune(net, 0.3)
    again = from_torch(to_torch(copy.deepcopy(net), masks))
    return furthest(*[int((again[n] != m).sum()) for n, m in masks.items()])
