"""Where a net is cut into stages: pieces in a row with one tensor between them.

    nn.Sequential        its children
    net.stages           those, where they in a row are the net (all nets of this house)
    any other            torch.fx, behind every operation after which one tensor alone is alive

`layer_split=[10, 20]` counts pieces, as ModelParallel does. Without it the work of each piece is
counted on a batch, forward and backward, and cut so that the stage with most has as little as can
be: the same cut wherever and whenever it is made. layer_split="measured" times the pieces instead,
which balances this machine, and may cut elsewhere the next time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from parallel.pipeline.measure import balanced, tried
from parallel.pipeline.norms import no_old_norms
from parallel.pipeline.trace import is_row, pieces, segments

MEASURED = "measured"
Split = Sequence[int] | str | None


@dataclass
class Parts:
    """The stages of a net; they share its layers.

    Args:
        modules: One for each stage.
        split: First piece of the second stage, of the third, ...
        pieces: How many there were to cut between.
    """

    modules: list[nn.Sequential]
    split: list[int]
    pieces: int


def free(split: Any) -> bool:
    """Whether a layer_split leaves it open where to cut."""
    return split is None or timed(split)


def timed(split: Any) -> bool:
    """Whether a layer_split asks for measured times."""
    return isinstance(split, str) and split == MEASURED


def cut(model: nn.Module, stages: int, layer_split: Split, x: torch.Tensor, total=None) -> Parts:
    """Cut a net into stages.

    Args:
        model: The net.
        stages: How many.
        layer_split: First piece of the second stage, of the third, ...; None: by counted work;
            "measured": by times.
        x: Inputs: a few are enough to trace, a batch is needed to balance.
        total: Adds up a number over all ranks, so that all cut alike.

    Raises:
        ValueError: says what does not fit.
    """
    row = [model] if stages == 1 else pieces(model, x)
    split = _placed(model, row, stages, layer_split)
    given, costs = tried(row, x, times=1 if split else 3 * timed(layer_split))
    check_given(split, given, stages)
    if not split:
        costs = [total(cost) if total else cost for cost in costs]
        split = balanced(costs, stages, [k for k in range(1, len(row)) if not given[k - 1]])
    return Parts(_modules(model, row, split), split, len(row))


def fits(model: nn.Module, stages: int, layer_split: Split) -> None:
    """Refuse at once what `cut` would refuse once it has inputs, as far as the net alone shows it.

    Raises:
        ValueError: says what does not fit.
    """
    no_old_norms(model)
    if stages == 1 or not model.training or isinstance(getattr(model, "stages", None), nn.Module):
        return  # (which pieces such a net has, inputs will show)
    row = list(model) if isinstance(model, nn.Sequential) and is_row(model) else segments(model)
    split = _placed(model, row, stages, layer_split)
    if split:
        _modules(model, row, split)


def _placed(model: nn.Module, row: list[nn.Module], stages: int, layer_split: Any) -> list[int]:
    """Where it shall be cut; nothing if nobody has said it."""
    if stages > len(row):
        raise ValueError(
            f"{stages} stages for {len(row)} layers: {type(model).__name__} has {len(row)} pieces "
            f"to cut between, so take stages={len(row)} or fewer"
        )
    return check_split(layer_split, len(row), stages)


def _modules(model: nn.Module, row: list[nn.Module], split: list[int]) -> list[nn.Sequential]:
    ends = zip([0, *split], [*split, len(row)], strict=True)
    modules = [nn.Sequential(*row[a:b]) for a, b in ends]
    untied(model, modules)
    return modules


def check_split(split: Any, layers: int, stages: int) -> list[int]:
    """Ascending numbers, one fewer than there are stages; None or "measured": none yet.

    Raises:
        ValueError: they are not.
    """
    if free(split):
        return []
    several = isinstance(split, Iterable) and not isinstance(split, str)
    found: list[Any] = list(split) if several else [split]
    whole = all(isinstance(k, int) and not isinstance(k, bool) for k in found)
    inside = whole and all(0 < k < layers for k in found)
    if not inside or sorted(set(found)) != found or len(found) != stages - 1:
        even = [round(layers * k / stages) for k in range(1, stages)]
        raise ValueError(
            f"layer_split={split!r}: expected {stages - 1} ascending numbers from 1 to "
            f"{layers - 1} for {stages} stages (the net has {layers} pieces), such as {even}"
            + ', or None, or "measured"'
            * isinstance(split, str)
        )
    return found


def check_given(split: list[int], given: list[str], stages: int) -> None:
    """Cuts are behind pieces that give one tensor.

    Args:
        split: First piece of the second stage, of the third, ...; empty: still to be found.
        given: For each piece, what it gives if that cannot be handed on.
        stages: How many there shall be.

    Raises:
        ValueError: names the nearest cuts that can be.
    """
    able = [k for k in range(1, len(given)) if not given[k - 1]]
    for k in split:
        if k not in able:
            near = sorted(sorted(able, key=lambda other: abs(other - k))[:2])
            where = " or ".join(map(str, near)) or "nowhere (stages=1)"
            raise ValueError(
                f"layer_split={split}: at {k} the net cannot be cut, as {given[k - 1]}, and one "
                "tensor of floating-point numbers can be handed on: the nearest place is "
                f"{where}"
            )
    if stages > len(able) + 1:
        bad = next(text for text in given if text)
        raise ValueError(
            f"{stages} stages: the net can be cut at {len(able)} places ({able}; elsewhere no "
            f"single tensor of floating-point numbers is handed on: {bad}), so take "
            f"stages={len(able) + 1} or fewer"
        )


def untied(model: nn.Module, modules: list[nn.Sequential]) -> None:
    """Refuse a weight that two stages use.

    Raises:
        ValueError: names both places.
    """
    owner: dict[int, int] = {}
    for k, module in enumerate(modules):
        for held in [*module.parameters(), *module.buffers()]:
            first = owner.setdefault(id(held), k)
            if first != k:
                names = _names(model, held)
                are = f"{' and '.join(names)} {'are' if len(names) > 1 else 'is'}"
                raise ValueError(
                    f"{are} one tensor, in stages {first} and "
                    f"{k}: cut the net so that both are in one stage, or give each its own"
                )


def _names(model: nn.Module, held: torch.Tensor) -> list[str]:
    """All names that a weight or a running statistic has in a net."""
    named = [
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ]
    return [name for name, one in named if one is held]
