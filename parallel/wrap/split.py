"""The layers of a model that a split counts, and where its parts live."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


def layers_of(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the layers of a Sequential, or of a model's Sequential `features` or `stages`.

    Raises:
        ValueError: there are none to count.
    """
    if isinstance(model, nn.Sequential):
        return list(model.named_children())
    for name in ("features", "stages"):
        inner = getattr(model, name, None)
        if isinstance(inner, nn.Sequential):
            return [(f"{name}.{k}", m) for k, m in inner.named_children()]
    raise ValueError(
        f"{type(model).__name__} is no Sequential and has none as `features` or `stages`: "
        "layer_split has no layers to count"
    )


def check(split: list[int], layers: int) -> None:
    """Refuse numbers that are no split points of so many layers.

    Raises:
        ValueError: they do not ascend, or are out of range.
    """
    known = all(isinstance(k, int) and not isinstance(k, bool) for k in split)
    if (
        not known
        or sorted(set(split)) != split
        or (split and not 0 < split[0] <= split[-1] < layers)
    ):
        raise ValueError(
            f"layer_split={split}: expected ascending numbers from 1 to {layers - 1} (the model "
            f"has {layers} layers), such as [{max(1, layers // 2)}]"
        )


def places(devices: Sequence | None, parts: int) -> list[torch.device]:
    """Return the device of each part: those given, or the GPUs in turn, or the CPU.

    Raises:
        ValueError: not one per part.
    """
    if devices is None:
        n = torch.cuda.device_count()
        return [torch.device("cuda", i % n) if n else torch.device("cpu") for i in range(parts)]
    if len(devices) != parts:
        raise ValueError(f"{len(devices)} devices for {parts} parts: name one per part")
    return [torch.device("cuda", d) if isinstance(d, int) else torch.device(d) for d in devices]


def put(
    model: nn.Module,
    layers: dict[str, nn.Module],
    parts: list[tuple[torch.device, list[str]]],
) -> None:
    """Move every layer to its part's device, what is no layer to the last, and inputs after it."""
    where = {name: place for place, names in parts for name in names}
    rest = [(n, m) for n, m in _leaves(model) if not any(_in(n, name) for name in layers)]
    for name, module in [*layers.items(), *rest]:
        place = where.get(name, parts[-1][0])
        module.to(place)
        if len({place for place, _ in parts}) > 1:
            module.register_forward_pre_hook(_carrier(place), with_kwargs=True)


def _leaves(model: nn.Module):
    return [(n, m) for n, m in model.named_modules() if n and not any(True for _ in m.children())]


def _in(name: str, layer: str) -> bool:
    return name == layer or name.startswith(f"{layer}.")


def _carrier(place: torch.device):
    def carry(module: nn.Module, args: tuple, kwargs: dict[str, Any]):
        move = lambda v: v.to(place) if isinstance(v, torch.Tensor) else v  # noqa: E731
        return tuple(move(v) for v in args), {k: move(v) for k, v in kwargs.items()}

    return carry
