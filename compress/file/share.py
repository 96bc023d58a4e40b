"""Weights that share a few values: k-means on a line, and the training of its centroids.

    weight   .21 -.48  .19  0  .52        index   1 0 1 . 2        centroids  -.48 .20 .52

Zeros stay zeros and belong to no cluster. The gradient of a centroid is the sum of the gradients of
its weights (Han, Mao, Dally, arXiv 1510.00149), whose linear start between the least and the
largest value is used too: large weights are rare, and matter. A sum over thousands of weights is
too much for the rate that a single one takes. Its mean over them is not: SGD of centroids is then
SGD of the weights, each step followed by the nearest weights that share.

    names = share(net, 4, gradient="mean")  # each layer's weight is now made of its centroids
    optimizer = SGD(net.parameters(), lr)   # made after that: it trains centroids, biases, norms
    ...
    bake(net)                               # plain weights again, which pack stores as they are
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Literal, get_args

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize

from bibd import SparseConv2d, SparseLinear
from bibd.dynamic import replace
from harness.names import check, fitting

Gradient = Literal["sum", "mean"]
GRADIENTS = get_args(Gradient)
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, SparseLinear, SparseConv2d)
MOST_BITS = 8
ROUNDS = 300


def kmeans(values: np.ndarray, clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ascending centroids (float64) and the cluster of each value.

    There are fewer centroids than asked for where clusters are empty or values are few; with at
    most as many distinct values as clusters, these are the centroids.

    Args:
        values: Finite numbers.
        clusters: How many at most.
    """
    values = np.asarray(values, dtype=np.float64).ravel()
    distinct, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(distinct) <= clusters:
        return distinct, index
    found = np.linspace(distinct[0], distinct[-1], clusters)
    ends = np.empty(0, dtype=np.int64)
    for _ in range(ROUNDS):
        edges = np.searchsorted(distinct, (found[:-1] + found[1:]) / 2, "right")
        before, ends = ends, np.unique(np.concatenate([[0], edges, [len(distinct)]]))
        if np.array_equal(before, ends):
            break
        found = _means(distinct, counts, ends)
    return found, np.searchsorted(ends[1:-1], index, "right")


def _means(distinct: np.ndarray, counts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the mean of each run of values, which no rounding takes out of the run."""
    sums, often = (np.add.reduceat(x, ends[:-1]) for x in (counts * distinct, counts))
    return np.clip(sums / often, distinct[ends[:-1]], distinct[ends[1:] - 1])


class Gather(nn.Module):
    """Makes a weight of its centroids; a parametrization of torch."""

    index: torch.Tensor
    places: torch.Tensor
    undone_by = "compress.bake(net)"  # (what prune, freeze and Moving say, which want plain ones)

    def __init__(self, weight: torch.Tensor, clusters: int, gradient: str = "sum"):
        super().__init__()
        flat = weight.detach().reshape(-1)
        places = flat.nonzero().squeeze(1)
        found, index = kmeans(flat[places].double().cpu().numpy(), clusters)
        self.shape, self.start = weight.shape, torch.from_numpy(found).to(weight)
        self.mean = gradient == "mean"
        self.register_buffer("places", places)
        self.register_buffer("index", torch.from_numpy(index).to(places))

    def forward(self, centroids: torch.Tensor) -> torch.Tensor:
        """Return the weight; autograd adds up the gradients of each centroid's weights."""
        if self.mean:
            many = torch.bincount(self.index, minlength=len(centroids))
            still = centroids.detach()
            centroids = still + (centroids - still) / many  # (to the bit, what is added is zero)
        flat = centroids.new_zeros(self.shape.numel())
        return flat.index_put((self.places,), centroids[self.index]).view(self.shape)

    def right_inverse(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the centroids of a weight: of its own, those that k-means has found."""
        if self.start is not None:
            found, self.start = self.start, None
            return found
        values = weight.reshape(-1)[self.places]
        count = int(self.index.max()) + 1 if len(self.index) else 0
        sums = values.new_zeros(count).index_add(0, self.index, values)
        return sums / torch.bincount(self.index, minlength=count)


def bits_of(bits: int | Mapping[str, int | None] | None, name: str) -> int | None:
    """Return the bits of the layer of this name: one number, or that of the first name that fits.

    Raises:
        ValueError: no name fits, or a number that is none of 1 to 8, 16 and None.
    """
    if isinstance(bits, Mapping):
        found = [value for key, value in bits.items() if fnmatchcase(name, key)]
        if not found:
            raise ValueError(f'bits= says nothing of layer {name!r}: add {{"*": 4}} at its end')
        return bits_of(found[0], name)
    whole = isinstance(bits, int) and not isinstance(bits, bool)
    if bits is None or (whole and (1 <= bits <= MOST_BITS or bits == 16)):
        return bits
    raise ValueError(
        f"bits must be 1 to {MOST_BITS} (shared values), 16 (each a half) or None (as they are), "
        f"got {bits!r}"
    )


def share(
    net: nn.Module, bits: int | Mapping[str, int | None] = 4, skip: Sequence[str] | str = (), *,
    gradient: Gradient = "sum",
) -> list[str]:  # fmt: skip
    """Let the weights of each linear and convolutional layer share 2^bits values, in place.

    The optimizer is made after it: what is trained now are other parameters, the shared values, of
    which one that was made before knows nothing; it would go on with biases and norms alone.
    Batch norms that shall be folded are folded before (compress.fold): that scales every channel.

    Args:
        net: Any net, also with layers of bibd; zeros in its weights stay zeros.
        bits: Of all layers, or a mapping of names (with * and ?); 16 and None leave a layer be.
        skip: Names of layers that stay as they are, with * and ?.
        gradient: Of a shared value: the "sum" of those of its weights, or their "mean", with which
            the rate that has trained the net goes on.

    Returns:
        The names of the layers.

    Raises:
        ValueError: a weight that is not finite, or that two layers hold; a name of no layer.
    """
    check("gradient of shared values", gradient, GRADIENTS)
    layers = [name for name, module in net.named_modules() if isinstance(module, LAYERS)]
    skip = fitting("layer to skip", skip, layers)
    if isinstance(bits, Mapping):
        fitting("layer with bits", tuple(bits), _holders(net))
    chosen, holders = {}, _by_weight(net)
    for name, module in net.named_modules():
        some = isinstance(module, LAYERS) and not any(fnmatchcase(name, key) for key in skip)
        width = bits_of(bits, name) if some else None
        if width is not None and width <= MOST_BITS:
            _check(name, module, holders)
            chosen[name] = (module, 1 << width)
    for module, clusters in chosen.values():
        gather = Gather(module.weight, clusters, gradient)
        # (a hook of the old one, such as a mask's, knows nothing of centroids; zeros stay anyway)
        module.weight = nn.Parameter(module.weight.detach().clone(), module.weight.requires_grad)
        parametrize.register_parametrization(module, "weight", gather)
    return list(chosen)


def _holders(net: nn.Module) -> list[str]:
    """Return the names of modules with parameters of their own: pack and share take one mapping."""
    return [
        n for n, m in net.named_modules() if next(m.parameters(recurse=False), None) is not None
    ]


def _by_weight(net: nn.Module) -> dict[int, list[str]]:
    """Return the names of all modules that hold a parameter, by the parameter."""
    found: dict[int, list[str]] = {}
    for name, module in net.named_modules():
        for p in module._parameters.values():
            found.setdefault(id(p), []).append(name)
    return found


def _check(name: str, module: nn.Module, holders: dict[int, list[str]]) -> None:
    weight: torch.Tensor = getattr(module, "weight")  # noqa: B009
    if parametrize.is_parametrized(module, "weight"):
        raise ValueError(f"{name}.weight is parametrized already: bake(net), or skip=({name!r},)")
    if not bool(torch.isfinite(weight).all()):
        raise ValueError(f"{name}.weight has values that are NaN or infinite, no clusters")
    first, *others = holders.get(id(weight), [name])
    if others:
        other = others[0]
        raise ValueError(
            f"{first} and {other} hold one and the same weight, which would come apart: leave both "
            f"out, skip=({first!r}, {other!r}) (pack stores such a weight once)"
        )


def bake(net: nn.Module) -> list[str]:
    """Make plain weights of shared ones again, of the same values; returns the layers' names."""
    found = []
    for name, module in net.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            (first, *_) = module.parametrizations["weight"]  # pyright: ignore
            if isinstance(first, Gather):
                # (copies of a net share the class that torch has made, which removal changes)
                kind = type(module)
                own = type(kind.__name__, kind.__bases__, dict(vars(kind)))
                object.__setattr__(module, "__class__", own)
                weight = module.weight.detach()  # pyright: ignore
                parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
                # (gradients of centroids, and graphs that add them up, do not fit a weight)
                replace(module.weight, weight)  # pyright: ignore
                found.append(name)
    return found
