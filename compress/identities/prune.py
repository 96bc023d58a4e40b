"""Identities of pruning: scores against what defines them, masked nets against sparse ones.

The net of the finite differences has no activations and a squared error, so that its loss is a
polynomial of second degree in each single weight: central differences of it are exact. Two orders
of the same sums differ by at most two roundings a term, of the sum of absolute values: that is what
the same net gives with absolute weights, which is how the bounds here are made.
"""

import copy
import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

import bibd
from compress.pruning import densities
from compress.pruning.apply import Masked
from compress.pruning.flow import linear, synflow
from compress.pruning.foreign import from_torch, to_torch
from compress.pruning.freeze import freeze
from compress.pruning.layers import found, layer_of
from compress.pruning.masks import Masks
from compress.pruning.prune import prune
from compress.pruning.scores import Asked, grasp, snip, wanda
from harness.result.identity import ROUNDING, Identity, apart, furthest

INPUTS, CLASSES, SAMPLES, STEPS = 12, 3, 20, 5
SHAPES = {"a": (300, 784), "b": (100, 300), "c": (10, 100), "d": (64, 3, 3, 3), "e": (4, 4, 1, 1)}


def mlp(act: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Return a small net; its start is always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        layers = nn.Linear(INPUTS, 9), act(), nn.Linear(9, 7), act(), nn.Linear(7, CLASSES)
        return nn.Sequential(*layers).double()


def conv() -> nn.Sequential:
    """Return a small convolutional net with groups, a stride and circular padding."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        first = nn.Conv2d(2, 4, 3, padding=1)
        second = nn.Conv2d(4, 6, 3, stride=2, groups=2, padding=1, padding_mode="circular")
        layers = first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), nn.Linear(54, CLASSES)
        return nn.Sequential(*layers).double()


def samples(net: nn.Sequential) -> tuple[torch.Tensor, torch.Tensor]:
    """Return samples as a net takes them, and classes."""
    g = torch.Generator().manual_seed(5)
    shape = (2, 6, 6) if isinstance(net[0], nn.Conv2d | bibd.SparseConv2d) else (INPUTS,)
    x = torch.randn(SAMPLES, *shape, generator=g, dtype=torch.float64)
    return x, torch.randint(CLASSES, (SAMPLES,), generator=g)


KINDS = {"linear": mlp, "conv": conv}


def identities() -> Iterator[Identity]:
    """Yield the identities of pruning."""
    yield Identity("kept of all = the density, rounded, every score", "exact", counted)
    yield Identity("ERK = bisection for the one factor", "rounding", erk_by_bisection)
    yield Identity("ERK counts sum to the density, rounded", "exact", erk_sum)
    for name, make in KINDS.items():
        bound = flow_bound(make())
        title = f"SynFlow: each layer's scores sum to R, {name}"
        yield Identity(title, "rounding", lambda m=make: conserved(m()), bound)
        yield Identity(f"Wanda = plain loops, {name}", "rounding", lambda m=make: by_loops(m()))
        title = f"frozen = masked, answers and gradients, {name}"
        yield Identity(title, "rounding", lambda m=make: frozen(m()), sums_bound(make()))
        title = f"masked training = sparse training, {name}"
        yield Identity(title, "rounding", lambda m=make: trained(m()))
    yield Identity("SynFlow = products of matrices", "rounding", by_products, flow_bound(mlp()))
    yield Identity("SNIP = finite differences, exact for this net", "rounding", differences)
    yield Identity("GraSP = the dense Hessian", "rounding", dense_hessian)
    yield Identity("training without the masks is something else", "negative", unmasked)
    yield Identity("to torch.nn.utils.prune and back = the same masks", "exact", there_and_back)


def counted() -> float:
    """Return how far the counts of masks are from the density, in weights."""
    net, far = mlp(), 0.0
    for score in ("magnitude", "random", "snip", "grasp", "synflow"):
        for density in (0.9, 0.5, 0.33):
            masks = prune(net, density, score, data=samples(net))
            far = furthest(far, abs(masks.kept - math.floor(density * masks.of + 0.5)))
    return far


def erk_by_bisection() -> float:
    """Compare the shares with those of the factor that bisection finds."""
    sizes = {name: math.prod(shape) for name, shape in SHAPES.items()}
    raw = {name: sum(shape) / sizes[name] for name, shape in SHAPES.items()}
    far = 0.0
    for density in (0.02, 0.2, 0.8):
        low, high = 0.0, 1 / min(raw.values())
        for _ in range(100):
            e = (low + high) / 2
            held = sum(min(1.0, e * raw[n]) * sizes[n] for n in raw)
            low, high = (e, high) if held < density * sum(sizes.values()) else (low, e)
        shares = densities.erk(SHAPES, density)
        far = furthest(far, *[abs(shares[n] - min(1.0, low * raw[n])) for n in raw])
    return far


def erk_sum() -> float:
    """Return how far the sum of the counts is from the whole, in weights."""
    of = sum(math.prod(shape) for shape in SHAPES.values())
    every = [0.02, 0.2, 0.8]
    sums = [sum(densities.counts(densities.erk(SHAPES, d), SHAPES).values()) for d in every]
    return furthest(*[abs(s - math.floor(d * of + 0.5)) for s, d in zip(sums, every, strict=True)])


def flow_bound(net: nn.Sequential) -> float:
    """Return how far two sums of the flow may differ: all its terms are positive."""
    x, _ = samples(net)
    with torch.no_grad():
        whole = float(linear(net)(torch.ones_like(x[:1])).sum())
    return 2 * _terms(net) * ROUNDING * whole


def _terms(net: nn.Module) -> int:
    """Return how many numbers are added or multiplied on the way to an answer, and back."""
    return 2 * sum(2 * w.numel() for w in found(net).values())


def conserved(net: nn.Sequential) -> float:
    """Compare the sums of the scores of the layers with the flow of the whole net."""
    x, _ = samples(net)
    scores = synflow(Asked(net, found(net), x))
    with torch.no_grad():
        flow = float(linear(net)(torch.ones_like(x[:1])).sum())
    return furthest(*[abs(float(score.sum()) - flow) for score in scores.values()])


def by_products() -> float:
    """Compare the flow through each weight with products of absolute matrices."""
    net = mlp()
    x, _ = samples(net)
    scores = list(synflow(Asked(net, found(net), x)).values())
    a, b, c = (w.detach().abs() for w in found(net).values())
    ones, out = torch.ones(INPUTS, dtype=torch.float64), torch.ones(CLASSES, dtype=torch.float64)
    first, second = a @ ones, b @ (a @ ones)
    made = (
        a * torch.outer(out @ c @ b, ones),
        b * torch.outer(out @ c, first),
        c * torch.outer(out, second),
    )
    return furthest(*[apart(s, m) for s, m in zip(scores, made, strict=True)])


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
    return 2 * _terms(net) * SAMPLES * ROUNDING * largest


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
