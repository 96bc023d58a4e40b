"""Keeps trained weights beside a run: written whole, loaded whole or not at all.

    results/<folder>/<plan>/<arm>-<hash>/seed-<s>/weights.pt

`load` compares names and shapes first and lists what differs; a model that refuses for a reason of
its own (a sparse layer whose values belong to another pattern) gets back what it had.
"""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from harness.record.checkpoint import load_checkpoint, save_checkpoint

FILE = "weights.pt"
MOST = 8  # differences that are listed


def save(folder: Path, net: nn.Module) -> None:
    """Keep the state of a net in the folder of its run."""
    save_checkpoint(folder / FILE, {"state": net.state_dict()})


def load(path: Path, net: nn.Module, how_to_make: str = "") -> None:
    """Give a net the weights of this file.

    Raises:
        FileNotFoundError: no such file; `how_to_make` says what to type.
        ValueError: a damaged file, or weights of another architecture; the net is as it was.
    """
    load_state(net, read(path, how_to_make), str(path))


def read(path: Path, how_to_make: str = "") -> dict[str, Any]:
    """Return the state dict in this file; only tensors and builtin values are read.

    Raises:
        FileNotFoundError: no such file; `how_to_make` says what to type.
        ValueError: a damaged file.
    """
    found = load_checkpoint(path)
    if found is None:
        raise FileNotFoundError(f"no trained weights at {path}{how_to_make and ': '}{how_to_make}")
    state = found.get("state") if isinstance(found, dict) else None
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds no trained weights of a run (no `state`)")
    return state


def load_state(net: nn.Module, state: dict[str, Any], where: str = "this state") -> None:
    """Give a net the weights of a state dict, or leave it as it was."""
    found = differences(net.state_dict(), state)
    if found:
        raise ValueError(_text(found, where))
    before = copy.deepcopy(net.state_dict())
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        net.load_state_dict(before)
        raise ValueError(f"{where} does not fit this model, nothing was loaded: {error}") from None


def differences(mine: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return one line for each name or shape that is not the same in both."""
    lines = [f"{name}: only in the model" for name in mine if name not in other]
    lines += [f"{name}: only in the file" for name in other if name not in mine]
    for name in mine.keys() & other.keys():
        a, b = (_kind(x[name]) for x in (mine, other))
        if a != b and not (name.endswith("_extra_state") or _judges(name, mine, other)):
            lines.append(f"{name}: {a} in the model, {b} in the file")
    return sorted(lines)


def _judges(name: str, mine: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether the module looks at these values itself: it says whose they are."""
    parent, _, last = name.rpartition(".")
    told = f"{parent}._extra_state".lstrip(".")
    return last == "weight" and told in mine and told in other


def _kind(value: Any) -> str:
    """Return the shape of a value and what sort of numbers it has."""
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    sort = "floats" if value.is_floating_point() else str(value.dtype).removeprefix("torch.")
    return f"{tuple(value.shape)} {sort}"


def _text(found: list[str], where: str) -> str:
    more = f"\n  ... and {len(found) - MOST} more" * (len(found) > MOST)
    lines = "".join(f"\n  {line}" for line in found[:MOST])
    head = f"{where} is of another architecture, nothing was loaded; {len(found)} differences:"
    return head + lines + more
