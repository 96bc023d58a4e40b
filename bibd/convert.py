"""`sparsify(model, pattern)`: put sparse layers in the place of a model's Linear and Conv2d layers.

    report = bibd.sparsify(torchvision.models.resnet18(), "bibd", skip=("conv1", "fc"))
    print(report)

The model is changed in place, so make its optimizer afterwards. A layer stays as it is where a swap
would change what others see: subclasses of Linear and Conv2d, layers whose weight another module
shares or reads by itself (bibd.readers), layers with hooks. Each gets a line in the report, and so
do layers of other kinds that hold a matrix.
"""

import difflib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from bibd import advice
from bibd.conv import SparseConv2d
from bibd.design import Design
from bibd.layer import SparseLayer, one_of
from bibd.linear import SparseLinear
from bibd.pattern import Pattern, check_whole, group_seed
from bibd.readers import reader_of

MAKERS: dict[type, Any] = {nn.Linear: SparseLinear, nn.Conv2d: SparseConv2d}
NAMES = {  # of the arguments that the old and the new class share, beside bias
    nn.Linear: ("in_features", "out_features"),
    nn.Conv2d: (
        *("in_channels", "out_channels", "kernel_size", "stride", "padding"),
        *("dilation", "groups", "padding_mode"),
    ),
}
WEIGHTS = ("new", "keep")
Named = str | Design | Pattern


@dataclass(frozen=True)
class Line:
    """The fate of one layer in a conversion.

    `kept` is the share of the old squared weight that is still there, None where values were drawn
    anew; `note` says why a layer stayed; `unread` counts inputs that no output reads any more.
    """

    name: str
    size: str
    before: int
    after: int
    pattern: str = ""
    label: str = ""
    kept: float | None = None
    note: str = ""
    unread: int = 0


@dataclass(frozen=True)
class Report:
    """The lines of all layers of a model; print it for the table."""

    lines: tuple[Line, ...]
    warnings: tuple[str, ...] = ()

    @property
    def before(self) -> int:
        """The number of connections of all listed layers before the swap."""
        return sum(line.before for line in self.lines)

    @property
    def after(self) -> int:
        """The number of connections of all listed layers after the swap."""
        return sum(line.after for line in self.lines)

    def __str__(self):
        rows = [("layer", "size", "before", "after", "pattern")]
        for x in self.lines:
            kept = "" if x.kept is None else f", keeps {x.kept:.1%} of the weight"
            unread = f", {x.unread} inputs unread" if x.unread else ""
            what = x.note or f"{x.pattern} [{x.label}]{kept}{unread}"
            rows.append((x.name, x.size, f"{x.before:,}", f"{x.after:,}", what))
        share = f"{self.after / self.before:.1%} of the weights" if self.before else "no layers"
        rows.append(("all", "", f"{self.before:,}", f"{self.after:,}", share))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        table = [
            f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}  {e}".rstrip()
            for a, b, c, d, e in rows
        ]
        return "\n".join([*table, *self.warnings])


def sparsify(
    model: nn.Module,
    pattern: str | Design | Mapping[str, Named] = "bibd",
    skip: Sequence[str | type | nn.Module] | str | type | nn.Module = (),
    weights: str = "new",
    seed: int | None = None,
    init: str = "true",
) -> Report:
    """Swap the layers of `model` for sparse ones, in place.

    Args:
        model: Any model; torchvision's too.
        pattern: Name of a family; or a Design, for the layers of its size (others stay); or one
            of them, or a Pattern, for each layer by its name (those that are not named stay).
        skip: Names of layers that stay, with * and ?, such as "fc" or "*.downsample.*"; or modules
            or classes of modules, which stay with all that is in them (a module of your own that
            reads the weights of its layers itself has to be named here).
        weights: "new" draws them by the true fan-in; "keep" takes those that lie on the pattern.
        seed: Each layer gets a pattern of its own from it. None: the canonical order.
        init: How new weights are drawn, as in the layers.

    Returns:
        What became of each layer. Where nothing was swapped, or where the last layer is sparse now
        and leaves inputs unread, it ends with a warning, which Python shows too.

    Raises:
        ValueError: a name in `skip` or `pattern` that no layer has; a model that is itself a
            layer; a pattern that does not suit a layer (which is named). The model is then as it
            was.
    """
    one_of("weights", weights, WEIGHTS)
    if seed is not None:
        check_whole("seed", seed, 0)
    if type(model) in MAKERS:
        raise ValueError(
            f"the model is a single {type(model).__name__}: use "
            f"{MAKERS[type(model)].__name__}.from_dense(model.weight, model.bias, strict=False)"
        )
    skip = (skip,) if isinstance(skip, str | type | nn.Module) else tuple(skip)
    _check_skips(skip, model)
    if isinstance(pattern, Mapping):
        _check_named(pattern, model)
    lines, done = [], {}
    for number, (name, layer, parents) in enumerate(_layers(model)):
        own_pattern = pattern.get(name) if isinstance(pattern, Mapping) else pattern
        reason = _stays(model, name, layer, parents, skip, own_pattern)
        if not reason:
            own = None if seed is None else group_seed(seed, number)
            try:
                with warnings.catch_warnings():  # (the report has a line for each)
                    warnings.simplefilter("ignore", advice.UnreadInputs)
                    done[layer] = _swap(layer, own_pattern, own, weights, init)
            except ValueError as error:
                raise ValueError(f"layer {name!r}: {error}; skip={name!r} leaves it") from None
            if done[layer].weight.numel() == layer.weight.numel():
                reason = "stays: the pattern would leave nothing out"
                del done[layer]
        lines.append(_line(name, layer, done.get(layer), weights, reason))
    for parent in model.modules():
        for child, module in parent._modules.items():
            if module in done:
                parent._modules[child] = done[module]
    told = tuple(_warnings(lines))
    for text in told:
        advice.warn(text)
    return Report(tuple(lines), told)


def _warnings(lines: list[Line]) -> Iterator[str]:
    if all(line.note for line in lines):
        what = "has no Linear or Conv2d layer" if not lines else "keeps all of its layers"
        yield f"sparsify swapped nothing: the model {what} (print the report for the reasons)"
    elif lines[-1].unread:
        last = lines[-1]
        yield (
            f"the last layer {last.name!r} is sparse now, and {last.unread} of its inputs are read "
            f"by no output: skip={last.name!r} leaves it dense"
        )


def _layers(model: nn.Module) -> Iterator[tuple[str, Any, list[nn.Module]]]:
    """Yield every layer that holds a matrix once, with its parents from the model down."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d) or _holds_a_matrix(module):
            parts = name.split(".")
            yield (
                name,
                module,
                [model.get_submodule(".".join(parts[:i])) for i in range(len(parts))],
            )


def _holds_a_matrix(module: nn.Module) -> bool:
    """Return True for layers of other kinds that hold a matrix, and for sparse ones.

    GPT-2's Conv1D is such a kind.
    """
    if isinstance(module, SparseLayer):
        return True
    weight = module._parameters.get("weight")
    table = isinstance(module, nn.Embedding | nn.EmbeddingBag)
    return weight is not None and not is_lazy(weight) and weight.ndim > 1 and not table


def _stays(model, name: str, layer: Any, parents, skip, pattern) -> str:
    """Return why this layer stays as it is, or an empty text if it does not."""
    if any(_skips(word, model, name, (*parents, layer)) for word in skip):
        return "skipped"
    if isinstance(layer, SparseLayer):
        return "stays: it is sparse already"
    if pattern is None:
        return "stays: no pattern is named for it"
    if type(layer) not in MAKERS:
        own = isinstance(layer, tuple(MAKERS))
        why = "is a class of its own" if own else "is neither nn.Linear nor nn.Conv2d"
        return f"stays: {type(layer).__name__} {why}"
    if reader := reader_of(name, parents):
        return f"stays: {reader} reads its weight itself"
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    if any(getattr(layer, name) for name in hooks) or "forward" in vars(layer):
        return "stays: it has hooks"
    for own in (layer.weight, layer.bias):
        users = [m for m in model.modules() for p in m._parameters.values() if p is own]
        if own is not None and len(users) > 1:
            return "stays: another module shares its weight or bias"
    size = layer.weight.shape[1], _filters(layer)
    if isinstance(pattern, Design) and (pattern.v, pattern.b) != size:
        return f"stays: {pattern.name} is for {pattern.v} inputs and {pattern.b} outputs"
    return ""


def _skips(word: Any, model: nn.Module, name: str, modules: Sequence[nn.Module]) -> bool:
    if isinstance(word, str):
        same = model.get_submodule(name)
        names = [n for n, m in model.named_modules(remove_duplicate=False) if m is same]
        return any(fnmatchcase(n, word) for n in names)
    if isinstance(word, type):
        return any(isinstance(m, word) for m in modules)
    return any(m is word for m in modules)


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
    """Return the arguments that both the old and the new class take."""
    found = {name: getattr(layer, name) for name in NAMES[type(layer)]}
    return found | {"bias": layer.bias is not None}


def _line(name: str, layer: Any, new: SparseLayer | None, weights: str, reason: str) -> Line:
    if is_lazy(layer.weight):
        return Line(name, "not known yet", 0, 0, note=reason)
    size, before = "x".join(map(str, layer.weight.shape)), layer.weight.numel()
    if isinstance(layer, SparseLayer):
        size, p = "x".join(map(str, layer.shape)), layer.pattern
        return Line(name, size, before, before, str(p), p.label, note=reason, unread=p.unread)
    if new is None:
        return Line(name, size, before, before, note=reason)
    kept = None
    if weights == "keep" and layer.weight.device.type != "meta":
        whole = float(layer.weight.detach().double().square().sum())
        kept = float(new.weight.detach().double().square().sum()) / whole if whole else 1.0
    p, after = new.pattern, new.weight.numel()
    return Line(name, size, before, after, str(p), p.label, kept, unread=p.unread)


def _check_named(patterns: Mapping[str, Any], model: nn.Module) -> None:
    names = [name for name, *_ in _layers(model)]
    for name in patterns:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1) or names[:3]
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "it has none"
            raise ValueError(f"a pattern for {name!r}, but no layer has that name; {hint}")


def _check_skips(skip: Sequence[Any], model: nn.Module) -> None:
    every = model.named_modules(remove_duplicate=False)
    kinds = nn.Linear | nn.Conv2d
    names = [name for name, m in every if isinstance(m, kinds) or _holds_a_matrix(m)]
    for word in skip:
        if not isinstance(word, str | type | nn.Module):
            raise ValueError(f"skip takes names, classes and modules, got {word!r}")
        if not isinstance(word, str) or any(fnmatchcase(name, word) for name in names):
            continue
        near = difflib.get_close_matches(word, names, n=3)
        if any(name.startswith(f"{word}.") for name in names):
            near = [f"{word}.*"]
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "* stands for anything"
        raise ValueError(f"skip={word!r} fits no layer of the model that holds a matrix; {hint}")
