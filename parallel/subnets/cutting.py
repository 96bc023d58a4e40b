"""Cuts a fully connected net into independent subnets, and puts it together again.

    Linear 0   rows: part of hidden layer 1     columns: all inputs
    Linear l   rows: part of layer l + 1        columns: part of layer l      1 / W^2 of the matrix
    last       rows: all outputs                columns: part of the last hidden layer

Biases and norm layers of a hidden layer go with its neurons. What belongs to no neuron - layers
before the first Linear, the bias of the last, what follows it - is shared: everyone has a copy, and
the copies are averaged.

The chain of Linear layers is found in: the model itself if it is a Sequential, else its attribute
`classifier` or `stages`, if that is a Sequential. Its forward is used as it is.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from harness.nets.dropout import KeyedDropout
from harness.stack import StackedLinear

BETWEEN = (  # act on each neuron for itself
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Hardtanh, nn.Hardswish, nn.Identity),
    *(nn.Dropout, nn.AlphaDropout, KeyedDropout),
)
NORMS = (nn.BatchNorm1d, nn.LayerNorm)
Parts = list[torch.Tensor]  # of one worker: its neurons of each hidden layer, in order
Cut = tuple[int | None, int | None]  # which hidden layer cuts axis 0, and axis 1


@dataclass
class Chain:
    """How a model is cut: names of parameters and buffers, and the hidden layers that cut them."""

    widths: list[int]
    cuts: dict[str, Cut]
    linears: list[str]
    normed: list[bool]  # whether a norm follows the linear layer
    norms: dict[str, int]  # names of norm layers, and the hidden layer that cuts them


def chain(model: nn.Module) -> Chain:
    """Find out how a model is cut.

    Raises:
        ValueError: names what cannot be cut.
    """
    names = [name for name, _ in model.named_parameters()]
    twice = [n for n, _ in model.named_parameters(remove_duplicate=False) if n not in names]
    if twice:
        raise ValueError(f"ist: {twice[0]} shares its weight with another layer: nobody owns it")
    prefix, row = _row(model)
    modules = list(_flat(prefix, row))
    at = [i for i, (_, m) in enumerate(modules) if type(m) is nn.Linear]
    if len(at) < 2:
        raise ValueError(
            f"ist: needs two or more Linear layers in a row to cut, found {len(at)} in "
            f"{prefix or type(model).__name__}"
        )
    found = Chain([], {}, [], [], {})
    for layer, (i, j) in enumerate(zip(at, [*at[1:], None], strict=True)):
        name, linear = modules[i]
        last = j is None
        rows, columns = (None if last else layer), (layer - 1 if layer else None)
        found.linears.append(name)
        found.cuts[f"{name}.weight"] = rows, columns
        if linear.bias is not None:
            found.cuts[f"{name}.bias"] = rows, None
        if not last:
            found.widths.append(len(linear.weight))  # pyright: ignore
            found.normed.append(_between(modules[i + 1 : j], layer, found))
    found.normed.append(any(isinstance(m, NORMS) for _, m in modules[at[-1] + 1 :]))
    return found


def _row(model: nn.Module) -> tuple[str, nn.Sequential]:
    if isinstance(model, nn.Sequential):
        return "", model
    for name in ("classifier", "stages"):
        inner = getattr(model, name, None)
        if isinstance(inner, nn.Sequential):
            return name, inner
    raise ValueError(
        f"ist: {type(model).__name__} is no Sequential and has none as `classifier` or `stages`: "
        "it is not known in which order its layers come. Put the fully connected layers into an "
        "nn.Sequential called `classifier`"
    )


def _flat(prefix: str, row: nn.Sequential):
    for name, module in row.named_children():
        full = f"{prefix}.{name}".lstrip(".")
        if isinstance(module, nn.Sequential):
            yield from _flat(full, module)
        else:
            yield full, module


def _between(modules: Sequence[tuple[str, nn.Module]], layer: int, found: Chain) -> bool:
    """Return whether a norm follows a hidden layer in these modules; its tensors go with it."""
    normed = False
    for name, module in modules:
        if isinstance(module, NORMS):
            normed, found.norms[name] = True, layer
            tensors = dict(module.named_parameters()) | dict(module.named_buffers())
            for key, value in tensors.items():
                if value.dim() == 1:
                    found.cuts[f"{name}.{key}"] = layer, None
        elif not isinstance(module, BETWEEN):
            raise ValueError(
                f"ist: {name} ({type(module).__name__}) between Linear layers cannot be cut by "
                "neurons; activations, dropout, BatchNorm1d and LayerNorm can"
            )
    return normed


def partition(widths: Sequence[int], workers: int, draw) -> list[Parts]:
    """Draw disjoint parts that cover each hidden layer: by worker, neurons in ascending order."""
    for width in widths:
        if width < workers:
            raise ValueError(f"ist: a hidden layer of {width} neurons for {workers} workers")
    cut = [
        [p.sort().values for p in torch.from_numpy(draw.permutation(width)).tensor_split(workers)]
        for width in widths
    ]
    return [[layer[w] for layer in cut] for w in range(workers)]


def take(value: torch.Tensor, cut: Cut, parts: Parts) -> torch.Tensor:
    """Return a copy of a worker's piece of a tensor."""
    rows, columns = cut
    if rows is not None:
        value = value.index_select(0, parts[rows].to(value.device))
    if columns is not None:
        value = value.index_select(1, parts[columns].to(value.device))
    return value.clone()


def give(whole: torch.Tensor, piece: torch.Tensor, cut: Cut, parts: Parts) -> None:
    """Put a piece back in its place."""
    rows, columns = (None if c is None else parts[c].to(whole.device) for c in cut)
    if rows is not None and columns is not None:
        whole[rows.unsqueeze(1), columns] = piece
    elif rows is not None:
        whole[rows] = piece
    elif columns is not None:
        whole[:, columns] = piece
    else:
        whole.copy_(piece)


class ScaledLinear(nn.Linear):
    """A linear layer that is scaled up for the neurons that are not there: s W x + b.

    A step of rate r then moves the sum by s (r s g x) x, which is s^2 times what it is without the
    scale: a rate that suits the plain net throws the subnet off. `steady` lets the step mean what
    it meant: dL/dW = g x / s, as if V = s W were trained, and layers below hear W g, not s W g.
    """

    scale = 1.0
    steady = False

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return scale W x + b."""
        if self.steady:
            return grown(F.linear(input, quiet(self.weight, self.scale)), self.scale, self.bias)
        return F.linear(input * self.scale, self.weight, self.bias)

    @classmethod
    def stack(cls, modules: "Sequence[ScaledLinear]") -> nn.Module:
        """Make one layer of many, with a leading axis, as for Linear layers."""
        both = _ScaledStack(modules)
        both.scale, both.steady = modules[0].scale, modules[0].steady
        return both


class _ScaledStack(StackedLinear):
    scale = 1.0
    steady = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.steady:
            return super().forward(x * self.scale)
        sums = torch.bmm(quiet(self.weight, self.scale), x.mT)
        return grown(sums, self.scale, self.bias).mT


def quiet(weight: torch.Tensor, scale: float) -> torch.Tensor:
    """Return the weight; a gradient of it comes back divided by the scale."""
    part = weight / scale
    return part + (weight - part).detach()


def grown(sums: torch.Tensor, scale: float, bias: torch.Tensor | None) -> torch.Tensor:
    """Return `scale` times the sums, and the bias; a gradient comes back as it is."""
    scaled = sums + ((scale - 1) * sums).detach()
    return scaled if bias is None else scaled + bias


def subnet(model: nn.Module, how: Chain, parts: Parts, rescale: bool | str) -> nn.Module:
    """Make a worker's model: the same forward on smaller layers, which its parts decide."""
    small = copy.deepcopy(model)
    values = dict(model.named_parameters()) | dict(model.named_buffers())
    for name, cut in how.cuts.items():
        path, _, key = name.rpartition(".")
        module = small.get_submodule(path)
        piece = take(values[name].detach(), cut, parts)
        if key in module._parameters:
            setattr(module, key, nn.Parameter(piece, values[name].requires_grad))
        else:
            module._buffers[key] = piece
    for layer, name in enumerate(how.linears):
        _resize(small, name, layer, how, parts, rescale)
    for name, layer in how.norms.items():
        norm, width = small.get_submodule(name), len(parts[layer])
        if isinstance(norm, nn.BatchNorm1d):
            norm.num_features = width
        else:
            norm.normalized_shape = (width,)  # pyright: ignore
    return small


def _resize(small: nn.Module, name: str, layer: int, how: Chain, parts: Parts, rescale: bool | str):
    linear = small.get_submodule(name)
    assert isinstance(linear, nn.Linear)
    linear.out_features, linear.in_features = linear.weight.shape
    scale = how.widths[layer - 1] / len(parts[layer - 1]) if layer else 1.0
    if scale != 1 and rescale and not how.normed[layer]:
        linear.__class__ = ScaledLinear
        linear.scale, linear.steady = scale, rescale == "auto"  # pyright: ignore
