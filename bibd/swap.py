"""`sparsify(model, pattern)`: put sparse layers in the place of a model's Linear and Conv2d layers.

    report = bibd.sparsify(torchvision.models.resnet18(), "bibd", skip=("conv1", "fc"))
    print(report)

The model is changed in place, so make its optimizer afterwards. A layer stays as it is where a swap
would change what others see: subclasses of Linear and Conv2d, layers whose weight another module
shares or its parent reads by itself, layers with hooks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from bibd.conv import SparseConv2d
from bibd.design import Design
from bibd.layer import SparseLayer, one_of
from bibd.linear import SparseLinear
from bibd.pattern import group_seed

MAKERS: dict[type, Any] = {nn.Linear: SparseLinear, nn.Conv2d: SparseConv2d}
NAMES = {  # of the arguments that the old and the new class share, beside bias
    nn.Linear: ("in_features", "out_features"),
    nn.Conv2d: (
        *("in_channels", "out_channels", "kernel_size", "stride", "padding"),
        *("dilation", "groups", "padding_mode"),
    ),
}
WEIGHTS = ("new", "keep")
# These read the weights of their layers themselves instead of calling them.
READERS = (nn.MultiheadAttention, nn.TransformerEncoderLayer)


@dataclass(frozen=True)
class Line:
    """What became of one layer.

    `kept` is the share of the old squared weight that is still there, None where values were drawn
    anew; `note` says why a layer stayed.
    """

    name: str
    size: str
    before: int
    after: int
    pattern: str = ""
    label: str = ""
    kept: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Report:
    """The lines of a model; print it for the table."""

    lines: tuple[Line, ...]

    @property
    def before(self) -> int:
        """Connections of all Linear and Conv2d layers before."""
        return sum(line.before for line in self.lines)

    @property
    def after(self) -> int:
        """And now."""
        return sum(line.after for line in self.lines)

    def __str__(self):
        rows = [("layer", "size", "before", "after", "pattern")]
        for x in self.lines:
            kept = "" if x.kept is None else f", keeps {x.kept:.1%} of the weight"
            what = x.note or f"{x.pattern} [{x.label}]{kept}"
            rows.append((x.name, x.size, f"{x.before:,}", f"{x.after:,}", what))
        share = f"{self.after / self.before:.1%} of the weights" if self.before else "no layers"
        rows.append(("all", "", f"{self.before:,}", f"{self.after:,}", share))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        return "\n".join(
            f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}  {e}".rstrip()
            for a, b, c, d, e in rows
        )


def sparsify(
    model: nn.Module,
    pattern: str | Design = "bibd",
    skip: Sequence[str | type] | str = (),
    weights: str = "new",
    seed: int | None = None,
    init: str = "true",
) -> Report:
    """Swap the layers of `model` for sparse ones, in place.

    Args:
        model: Any model; torchvision's too.
        pattern: Name of a family; or a Design, for the layers of its size (others stay).
        skip: Names of layers that stay, with * and ?, such as "fc" or "*.downsample.*"; or classes
            whose insides stay.
        weights: "new" draws them by the true fan-in; "keep" takes those that lie on the pattern.
        seed: Each layer gets a pattern of its own from it. None: the canonical order.
        init: As in the layers, for new weights.

    Raises:
        ValueError: a name in `skip` that no layer has; a model that is itself a layer.
    """
    one_of("weights", weights, WEIGHTS)
    if type(model) in MAKERS:
        raise ValueError(
            f"the model is a single {type(model).__name__}: use "
            f"{MAKERS[type(model)].__name__}.from_dense(model.weight, model.bias, strict=False)"
        )
    skip = (skip,) if isinstance(skip, str | type) else tuple(skip)
    lines, done = [], {}
    for number, (name, layer, parents) in enumerate(_layers(model)):
        reason = _stays(model, name, layer, parents, skip, pattern)
        if not reason:
            own = None if seed is None else group_seed(seed, number)
            done[layer] = _swap(layer, pattern, own, weights, init)
            if done[layer].weight.numel() == layer.weight.numel():
                reason = "stays: the pattern would leave nothing out"
                del done[layer]
        lines.append(_line(name, layer, done.get(layer), weights, reason))
    _check_skips(skip, model)
    for parent in model.modules():
        for child, module in parent._modules.items():
            if module in done:
                parent._modules[child] = done[module]
    return Report(tuple(lines))


def _layers(model: nn.Module) -> Iterator[tuple[str, Any, list[nn.Module]]]:
    """Every Linear and Conv2d once, with its parents from the model down."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            parts = name.split(".")
            yield (
                name,
                module,
                [model.get_submodule(".".join(parts[:i])) for i in range(len(parts))],
            )


def _stays(model, name: str, layer: Any, parents, skip, pattern) -> str:
    """Why this layer stays as it is; empty if it does not."""
    if any(isinstance(s, str) and fnmatchcase(name, s) for s in skip):
        return "skipped"
    if any(isinstance(s, type) and isinstance(p, s) for s in skip for p in (*parents, layer)):
        return "skipped"
    if type(layer) not in MAKERS:
        return f"stays: {type(layer).__name__} is a class of its own"
    if isinstance(parents[-1], READERS):
        return f"stays: {type(parents[-1]).__name__} reads its weight itself"
    if layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks:
        return "stays: it has hooks"
    if torch.nn.parameter.is_lazy(layer.weight):
        return "stays: its size is not known yet"
    owners = [m for m in model.modules() for p in m._parameters.values() if p is layer.weight]
    if len(owners) > 1:
        return "stays: another module shares its weight"
    size = layer.weight.shape[1], _filters(layer)
    if isinstance(pattern, Design) and (pattern.v, pattern.b) != size:
        return f"stays: {pattern.name} is for {pattern.v} inputs and {pattern.b} outputs"
    return ""


def _filters(layer: Any) -> int:
    return layer.weight.shape[0] // getattr(layer, "groups", 1)


def _swap(layer: Any, pattern, seed: int | None, weights: str, init: str) -> SparseLayer:
    old, bias = layer.weight, layer.bias
    options = dict(seed=seed, init=init, device=old.device, dtype=old.dtype)
    new = MAKERS[type(layer)](**_arguments(layer), pattern=pattern, **options)
    if weights == "keep":
        new.load_dense(old, bias, strict=False)
    new.weight.requires_grad_(old.requires_grad)
    if bias is not None and new.bias is not None:
        new.bias.requires_grad_(bias.requires_grad)
    return new.train(layer.training)


def _arguments(layer: Any) -> dict[str, Any]:
    """What both the old and the new class take."""
    found = {name: getattr(layer, name) for name in NAMES[type(layer)]}
    return found | {"bias": layer.bias is not None}


def _line(name: str, layer: Any, new: SparseLayer | None, weights: str, reason: str) -> Line:
    size, before = "x".join(map(str, layer.weight.shape)), layer.weight.numel()
    if new is None:
        return Line(name, size, before, before, note=reason)
    kept = None
    if weights == "keep":
        whole = float(layer.weight.detach().double().square().sum())
        kept = float(new.weight.detach().double().square().sum()) / whole if whole else 1.0
    return Line(name, size, before, new.weight.numel(), str(new.pattern), new.pattern.label, kept)


def _check_skips(skip: Sequence[str | type], model: nn.Module) -> None:
    names = [name for name, _, _ in _layers(model)]
    for word in skip:
        if isinstance(word, str) and not any(fnmatchcase(name, word) for name in names):
            raise ValueError(
                f"skip={word!r} fits no Linear or Conv2d layer; there are {', '.join(names)} "
                "(a * stands for anything: 'layer1.*')"
            )
