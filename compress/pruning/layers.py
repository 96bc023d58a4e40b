"""Finds the weights that can be pruned: those of Linear and Conv2d layers, by name.

Biases, norms and embeddings are never pruned. What would go wrong later is refused here in words:
weights that two names share, that have no values yet, that are computed from something else, or
that are not finite.
"""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from bibd.layer import SparseLayer
from harness.names import fitting, kind_of, uncalled

KINDS = (nn.Linear, nn.Conv2d)
END = ".weight"


def found(net: nn.Module, exclude: Sequence[str] | str = ()) -> dict[str, nn.Parameter]:
    """Return the weights that can be pruned, by the name of the parameter ("fc1.weight").

    Args:
        net: Any module; a single Linear or Conv2d too.
        exclude: Names of layers that stay as they are, with * and ?.

    Raises:
        ValueError: no such layer; a weight that is shared, lazy, computed or not finite.
    """
    if not isinstance(net, nn.Module):
        raise ValueError(f"expected a net (nn.Module), got {kind_of(net)}{uncalled(net)}")
    every = {n: m for n, m in net.named_modules() if isinstance(m, KINDS) and not _empty(m)}
    words = fitting("layer to exclude", exclude, every)
    left = {n: m for n, m in every.items() if not any(fnmatchcase(n, w) for w in words)}
    if not left:
        raise ValueError(
            f"{type(net).__name__} has no nn.Linear or nn.Conv2d layer left to prune "
            f"(excluded: {', '.join(every) or 'none, there are none'})"
        )
    weights = {parameter_of(name): _plain(name, layer) for name, layer in left.items()}
    _refuse_shared(net, weights)
    for name, weight in weights.items():
        refuse_broken(name, weight)
    return weights


def left_out(net: nn.Module) -> tuple[str, ...]:
    """Return a note that names the sparse layers of a net, which are not pruned; () without any."""
    names = [name for name, module in net.named_modules() if isinstance(module, SparseLayer)]
    note = f"{', '.join(names)}: sparse already, neither pruned nor counted"
    return (note,) * bool(names)


def _empty(layer: nn.Module) -> bool:
    """Return whether a layer has no weights at all, as one without inputs."""
    weight = layer._parameters.get("weight")
    return weight is not None and not is_lazy(weight) and not weight.numel()


def parameter_of(layer: str) -> str:
    """Return the name of a layer's weight; the layer may be the net itself."""
    return f"{layer}{END}".lstrip(".")


def layer_of(parameter: str) -> str:
    """Return the name of the layer that a weight belongs to, "" for the net itself."""
    return parameter.removesuffix("weight").removesuffix(".")


def filters(weight: torch.Tensor) -> torch.Tensor:
    """Return a weight as a table: a row for each output."""
    return weight.flatten(1)


def refuse_broken(name: str, values: torch.Tensor, what: str = "weights") -> None:
    """Raise ValueError if some value is NaN or infinite, which no order can be made of."""
    bad = ~values.detach().isfinite()
    if bad.any():
        place = tuple(bad.nonzero()[0].tolist())
        raise ValueError(
            f"{name}: {int(bad.sum())} of {bad.numel()} {what} are NaN or infinite, the first at "
            f"{place}; a net that has diverged cannot be pruned: take an earlier state of it"
            + (", or net.float() first" if values.dtype in (torch.float16, torch.bfloat16) else "")
        )


def refuse_computed(name: str, layer: nn.Module, leave: str = "") -> None:
    """Raise ValueError if a weight is made by a parametrization, as a shared one is."""
    if parametrize.is_parametrized(layer, "weight"):
        first: Any = layer.parametrizations["weight"][0]  # pyright: ignore
        remove = "torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight')"
        raise ValueError(
            f"the weight of {name!r} is computed from others by a parametrization: call "
            f"{getattr(first, 'undone_by', remove)} first{leave}"
        )


def _plain(name: str, layer: Any) -> nn.Parameter:
    """Return the weight if it is a parameter with values."""
    own = name or "the net"
    leave = f"; or exclude={name!r} leaves it out" * bool(name)
    refuse_computed(own, layer, leave)
    if "weight_orig" in layer._parameters:
        raise ValueError(
            f"{own!r} is masked by torch.nn.utils.prune already: masks = "
            f"compress.from_torch(net, remove=True) reads and ends that{leave}"
        )
    weight = layer._parameters.get("weight")
    if weight is None:
        raise ValueError(f"{own!r} has no parameter `weight` (an old weight_norm?){leave}")
    if is_lazy(weight) or weight.is_meta:
        raise ValueError(
            f"the weight of {own!r} has no values yet: send one batch through the net, or "
            f"give it values (to_empty, load_state_dict), before it is pruned{leave}"
        )
    if not weight.is_floating_point():
        raise ValueError(f"weights of {own!r} are {weight.dtype}, not real numbers{leave}")
    return weight


def _refuse_shared(net: nn.Module, weights: dict[str, nn.Parameter]) -> None:
    for name, others in _users(net, weights):
        if others:
            raise ValueError(
                f"{name} and {' and '.join(others)} are one tensor: a mask of one would prune the "
                f"other; untie them (a copy of its own for each), or leave them out with "
                f"exclude={layer_of(name)!r}"
            )


def _users(net: nn.Module, weights: dict[str, nn.Parameter]) -> Iterator[tuple[str, list[str]]]:
    """Yield each weight with the other names under which the net holds it."""
    held: dict[tuple[int, Any], list[str]] = {}
    for name, p in net.named_parameters(remove_duplicate=False):
        if not is_lazy(p) and not p.is_meta and p.numel():
            held.setdefault((p.data_ptr(), p.device), []).append(name)
    for name, p in weights.items():
        names = held.get((p.data_ptr(), p.device), [])
        yield name, [other for other in names if other != name]
