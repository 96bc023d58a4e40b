"""`ModelParallel`: layers on several devices, one after the other.

    net = ModelParallel(style="basic", model=net, layer_split=[10, 20])

layers [0, 10) on device 0, [10, 20) on device 1, the rest on device 2. The model's own forward is
used; inputs travel to where a layer lives. With one device, or none, the parts are virtual: the
same numbers, bit for bit.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from harness.names import check, unknown


class ModelParallel(nn.Module):
    """A module that behaves like `model`; its layers live on several devices.

    `parts` says which layer is where.

    Args:
        style: "basic".
        model: A Sequential, or a module with a Sequential `features` or `stages` (what follows
            these lives with the last part).
        layer_split: First layer of the second part, of the third, ...
        devices: One per part; default: the GPUs in turn, or the CPU.
        **options: None; misspelled keywords are named.

    Raises:
        ValueError: unknown names, split points out of order or range, too few devices.
    """

    def __init__(
        self,
        style: str = "basic",
        *,
        model: nn.Module,
        layer_split: Sequence[int],
        devices: Sequence[str | int | torch.device] | None = None,
        **options: Any,
    ):
        check("style", style, ("basic",))
        if isinstance(layer_split, int | str):
            raise ValueError(
                f"layer_split is a list of numbers, such as [10, 20], got {layer_split!r}"
            )
        for key in options:
            known = ("style", "model", "layer_split", "devices")
            raise unknown("keyword of ModelParallel", key, known)
        super().__init__()
        self.model, split = model, list(layer_split)
        layers = _layers(model)
        _check(split, len(layers))
        self.devices = _places(devices, len(split) + 1)
        ends = [*split, len(layers)]
        self.parts: list[tuple[torch.device, list[str]]] = []
        for place, start, end in zip(self.devices, [0, *split], ends, strict=True):
            self.parts.append((place, [name for name, _ in layers[start:end]]))
        self._put(model, dict(layers))

    def _put(self, model: nn.Module, layers: dict[str, nn.Module]) -> None:
        where = {name: place for place, names in self.parts for name in names}
        rest = [(n, m) for n, m in _leaves(model) if not any(_in(n, name) for name in layers)]
        for name, module in [*layers.items(), *rest]:
            place = where.get(name, self.devices[-1])
            module.to(place)
            if len(set(self.devices)) > 1:
                module.register_forward_pre_hook(_carrier(place), with_kwargs=True)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the model's own forward returns."""
        return self.model(*args, **kwargs)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the model's own state."""
        return self.model.state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Load a state of the bare model."""
        return self.model.load_state_dict(state_dict, strict, assign)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        """Load as part of a larger module, whose state has the model's own names."""
        for name in self.model.state_dict():
            if prefix + name in state_dict:
                state_dict[f"{prefix}model.{name}"] = state_dict.pop(prefix + name)


def _layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
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


def _check(split: list[int], layers: int) -> None:
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


def _places(devices: Sequence | None, parts: int) -> list[torch.device]:
    if devices is None:
        n = torch.cuda.device_count()
        return [torch.device("cuda", i % n) if n else torch.device("cpu") for i in range(parts)]
    if len(devices) != parts:
        raise ValueError(f"{len(devices)} devices for {parts} parts: name one per part")
    return [torch.device("cuda", d) if isinstance(d, int) else torch.device(d) for d in devices]


def _leaves(model: nn.Module):
    return [(n, m) for n, m in model.named_modules() if n and not any(True for _ in m.children())]


def _in(name: str, layer: str) -> bool:
    return name == layer or name.startswith(f"{layer}.")


def _carrier(place: torch.device):
    def carry(module, args, kwargs):
        move = lambda v: v.to(place) if isinstance(v, torch.Tensor) else v  # noqa: E731
        return tuple(move(v) for v in args), {k: move(v) for k, v in kwargs.items()}

    return carry
