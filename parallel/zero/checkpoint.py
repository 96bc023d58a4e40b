"""Saves slices by torch.distributed.checkpoint (DCP), for any number of ranks to load.

    checkpoint.save(net, optimizer, "step_900")     all ranks together; each writes its own slices
    checkpoint.load(net, optimizer, "step_900")     in a world of any size; each reads what it needs

All in there are tensors, and most a part of a parameter, or what the optimizer keeps of it:

    weight/0/4000/1.bias          numbers 0 to 4000 of the parameter 1.bias
    state/exp_avg/0/4000/1.bias   the optimizer's exp_avg of them
    rest/2/norm.running_mean      what is in no slice, of worker 2
    steps, groups                 what is one for all; options of the optimizer, as bytes
"""

import io
import warnings
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from parallel.zero import resume
from parallel.zero.guard import options
from parallel.zero.room import rest_of
from parallel.zero.slices import Slices

Tensors = dict[str, torch.Tensor]
INDEX = ".metadata"  # DCP's file that says what is where, written last
Places = dict[str, list[tuple[int, int]]]  # what is here of each parameter


def save(net: Any, optimizer: torch.optim.Optimizer, folder: str | PathLike) -> None:
    """Write what it takes to go on; all ranks have to ask together.

    Args:
        net: A DataParallel whose style is zero1, zero2 or zero3.
        optimizer: That of its parameters.
        folder: Where to; it is made. What was saved there before is gone as soon as this begins:
            one that is interrupted cannot be loaded, and is not half of each.

    Raises:
        ValueError: the net's workers hold no slices.
    """
    executor = resume.sliced(net.executor, [{}])
    executor.accept(optimizer)
    groups = io.BytesIO()
    torch.save(options(optimizer, executor.states)["param_groups"], groups)
    found = dict(tensors(executor.states)) | {
        "steps": torch.tensor(net.steps),
        "groups": torch.frombuffer(bytearray(groups.getvalue()), dtype=torch.uint8),
    }
    if executor.comm.rank == 0:  # (nobody writes before all ranks have told rank 0 what they have)
        (Path(folder) / INDEX).unlink(missing_ok=True)
    _quietly(state_dict_saver.save, found, folder)


@torch.no_grad()
def load(net: Any, optimizer: torch.optim.Optimizer, folder: str | PathLike) -> None:
    """Go on from what any number of ranks have saved, under any stage; all ranks ask together.

    Raises:
        ValueError: the net's workers hold no slices, or something of theirs is not there.
    """
    executor = resume.sliced(net.executor, [{}])
    found = _read(executor.states, optimizer, folder)
    net.steps = int(found.pop("steps"))
    resume.load(executor, [team(found)], optimizer)
    net.consensus.forget()


def tensors(slices: Slices) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield what the workers here hold, each with its key."""
    for (i, part), piece in slices.pieces.items():
        name, begin, end = part
        yield f"weight/{begin}/{end}/{name}", piece.detach()
        for key, value in slices.state.get((i, part), {}).items():
            if value is not None:
                yield f"state/{key}/{begin}/{end}/{name}", torch.as_tensor(value)
    for i, model in enumerate(slices.members.modules()):
        for name, value in rest_of(model.state_dict(), model).items():
            yield f"rest/{slices.ranks[i]}/{name}", value


def team(found: Tensors) -> dict[str, Any]:
    """Return them as an executor's state_dict has them: the inverse of `tensors`."""
    rest: dict[str, Tensors] = {"0": {}}
    pieces, state = [], {}
    for key, value in found.items():
        kind, *path = key.split("/", 4 if key.startswith("state/") else 3)
        if kind == "rest":
            rank, name = key.split("/", 2)[1:]
            rest.setdefault(rank, {})[name] = value
        elif kind == "weight":
            pieces.append((0, path[2], int(path[0]), int(path[1]), value))
        elif kind == "state":
            state.setdefault((path[3], int(path[1]), int(path[2])), {})[path[0]] = value
    groups = torch.load(io.BytesIO(found["groups"].numpy().tobytes()), weights_only=True)
    return {
        "members": {"rest": rest, "pieces": pieces},
        "optimizer": {"param_groups": groups},
        "strategy": {"slices": [(0, *part, own) for part, own in state.items()]},
    }


def _read(slices: Slices, optimizer: Any, folder: str | PathLike) -> Tensors:
    """Return all of a checkpoint that has to do with the slices here."""
    mine: Places = {}
    for _, (name, begin, end) in slices.pieces:
        mine.setdefault(name, []).append((begin, end))
    there = FileSystemReader(folder).read_metadata().state_dict_metadata
    counts_there = any(g.get("fused") or g.get("capturable") for g in optimizer.param_groups)
    found = {}
    for key, about in there.items():
        if isinstance(about, TensorStorageMetadata) and _wanted(key, mine):
            away = key == "groups" or not (about.size or counts_there)
            device = torch.device("cpu") if away else slices.device()
            found[key] = torch.empty(about.size, dtype=about.properties.dtype, device=device)
    _quietly(state_dict_loader.load, found, folder)
    return found


def _wanted(key: str, mine: Places) -> bool:
    """Return whether a tensor has a number of a slice here, or is for all."""
    kind, _, path = key.partition("/")
    if kind not in ("weight", "state"):
        return True
    begin, end, name = path.split("/", 3)[1:] if kind == "state" else path.split("/", 2)
    return any(int(begin) < last and first < int(end) for first, last in mine.get(name, ()))


def _quietly(call: Any, found: Tensors, folder: str | PathLike) -> None:
    """Save or load; a simulation is one process, and knows it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is (disabled|unavailable)")
        call(found, checkpoint_id=folder)
