"""Goes on with another number of workers: pieces of any cut are cut anew.

    states = [torch.load(file, weights_only=True) for file in files]
    net.load_training_state(states, optimizer)

takes the training states of all n ranks (of one simulation: its only one) in a world of m, under
any stage: of zero3 they have weights in pieces, of zero1 and zero2 in models.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch

from parallel.zero.executor import Executor
from parallel.zero.gather import gather
from parallel.zero.layout import Part
from parallel.zero.meter import along
from parallel.zero.slices import Slices

Saved = Sequence[tuple]  # (rank, name, begin, end, what is held of these numbers)


def sliced(executor: Any, states: Sequence[dict[str, Any]]) -> Executor:
    """Return the executor, refusing several states where each worker has its own.

    Raises:
        ValueError: workers hold no slices, or there is no state.
    """
    if not isinstance(executor, Executor) or not states:
        raise ValueError(
            f"{len(states)} training states: only workers that hold slices (zero1, zero2, zero3) "
            "go on from those of all ranks; load each rank's own"
        )
    return executor


def load(executor: Executor, teams: Sequence[dict[str, Any]], optimizer: Any) -> None:
    """Take over what the workers of another world held.

    Args:
        executor: Of the workers here.
        teams: The states of executors, which have every slice once.
        optimizer: Made as the others' was.

    Raises:
        ValueError: a slice is missing.
    """
    executor.accept(optimizer)
    for group, saved in zip(
        optimizer.param_groups, teams[0]["optimizer"]["param_groups"], strict=True
    ):
        group.update({k: v for k, v in saved.items() if k != "params"})
    slices = executor.states
    model(executor, teams)
    saved = [one for team in teams for one in team["strategy"]["slices"]]
    known = {name for _, name, *_ in saved}  # (others have no gradient yet)
    slices.state = {key: cut(saved, key[1]) for key in slices.pieces if key[1].name in known}
    executor.begun, executor.gradients.early = 0, None


@torch.no_grad()
def model(executor: Executor, teams: Sequence[dict[str, Any]]) -> None:
    """Take over weights and statistics, the mean of the latter."""
    slices, divided = executor.states, "rest" in teams[0]["members"]
    found = [one for team in teams for one in team["members"].get("rest", team["members"]).values()]
    whole = dict(found[0])
    for name, value in whole.items():
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            continue  # (what a module keeps beside tensors, and counters, are alike)
        if not all(torch.equal(value, one[name]) for one in found):
            whole[name] = torch.stack([one[name] for one in found]).mean(0)
    for own in executor.members.modules():
        own.load_state_dict({k: v for k, v in whole.items() if _there(own, k)}, strict=False)
    saved = [one for team in teams for one in team["members"].get("pieces", ())]
    if slices.apart and not divided:
        saved = [(0, name, 0, *row(slices, name, whole[name])) for name in slices.layout.names]
    for (_, part), piece in slices.pieces.items() if divided or slices.apart else ():
        piece.copy_(cut([(*one[:-1], {"": one[-1]}) for one in saved], part)[""])
    if divided and not slices.apart:  # (others' weights are wanted, too)
        sent = executor.comm.sent
        gather(slices, executor.comm)
        executor.comm.sent = sent


def row(slices: Slices, name: str, value: torch.Tensor) -> tuple[int, torch.Tensor]:
    """Return how many numbers a whole parameter has, and they in the order of slices' memory."""
    found = value.new_empty(value.numel())
    found.as_strided(value.shape, slices.strides[name]).copy_(value)
    return value.numel(), found


def _there(own: torch.nn.Module, name: str) -> bool:
    """Return whether a model has memory for a tensor of its state now."""
    value = own.state_dict(keep_vars=True)[name]
    return not isinstance(value, torch.Tensor) or value.numel() < 2 or any(value.stride())


def cut(saved: Saved, part: Part) -> dict[str, Any]:
    """Return what is held of a part, from parts that lie otherwise.

    Raises:
        ValueError: some of its numbers are in none of them.
    """
    mine = sorted((one for one in saved if one[1] == part.name), key=lambda one: one[2])
    over = [one for one in mine if one[2] < part.end and one[3] > part.begin]
    there = sum(min(one[3], part.end) - max(one[2], part.begin) for one in over)
    if there != part.end - part.begin:
        raise ValueError(
            f"the states have {there} of the numbers {part.begin} to {part.end} of {part.name}: "
            "expected the training states of all ranks, each once"
        )
    found = {}
    for key, first in over[0][-1].items():
        follows = along(key, first, over[0][3] - over[0][2])
        pieces = (o[-1][key][max(0, part.begin - o[2]) : part.end - o[2]] for o in over)
        # (each has a count of its own: an optimizer adds to it in place)
        found[key] = torch.cat(list(pieces)) if follows else copy.deepcopy(first)
    return found
