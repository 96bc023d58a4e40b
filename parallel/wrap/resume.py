"""A `ModelParallel` between two steps, with what its stages have decided ahead, and back.

    state = net.training_state(optimizer)
    net.load_training_state(state, optimizer)      of a wrapper and an optimizer made alike

Stages exist once a batch has come: what they go on from waits for them (`Lates.later`). Versions
that are one object stay one: whether the newest is still in use is asked by identity.
"""

import copy
from typing import Any

import torch

from parallel.wrap.alike import refuse_foreign, refuse_other, same_optimizer
from parallel.wrap.late import Late


def saved_state(net: Any, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Model, optimizer and stages; what comes later does not change it."""
    refuse_foreign(net, optimizer)
    found = {"model": net.model.state_dict(), "optimizer": optimizer.state_dict()}
    return copy.deepcopy(found | {"kind": _kind(net), "layer_split": net.layer_split}) | {
        "stages": _stages(net)
    }


def load_state(net: Any, state: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
    """The inverse.

    Raises:
        ValueError: the state is of another style or optimizer, or of other stages.
    """
    refuse_foreign(net, optimizer)
    refuse_other(state, ("model", "optimizer", "kind", "layer_split"), "ModelParallel")
    kind, split = state["kind"], state["layer_split"]
    if kind != _kind(net) or net.layer_split not in (None, split):
        raise ValueError(
            f"this state is of {kind} and layer_split={split}, and the net is {_kind(net)} with "
            f"layer_split={net.layer_split}: make it as the other was"
        )
    same_optimizer(state["optimizer"], optimizer)
    net.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    if net.pipe is not None and split is not None:
        net.pipe.pipeline.layer_split = list(split)  # (also where nobody had said where)
        if net.pipe.lates:
            net.pipe.lates.later = state["stages"], optimizer


def load_stage(late: Late, state: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
    """Go on from the state of a stage, whose true weights are loaded already."""
    weights, place = late.weights, {n: p.data for n, p in late.weights.params.items()}
    if state["number"] and weights.params:
        weights.step_by(optimizer, late.policy.ahead)
    rest = [{n: w.to(place[n], copy=True) for n, w in one.items()} for one in state["pool"]]
    pool = [weights.newest, *rest]
    weights.number, late.calls = state["number"], state["calls"]
    weights.older.extend(pool[i] for i in state["older"])
    weights.extra = {
        what: {n: w.to(place[n], copy=True) for n, w in one.items()}
        for what, one in state["extra"].items()
    }
    late.queue.extend(pool[i] for i in state["queue"])


def _stage(late: Late) -> dict[str, Any]:
    weights = late.weights
    pool: list[Any] = [weights.newest]
    for one in (*weights.older, *late.queue):
        if not any(one is other for other in pool):
            pool.append(one)
    places = {id(one): i for i, one in enumerate(pool)}
    return {
        "number": weights.number,
        "calls": late.calls,
        "pool": [{n: w.detach().clone() for n, w in one.items()} for one in pool[1:]],
        "older": [places[id(one)] for one in weights.older],
        "queue": [places[id(one)] for one in late.queue],
        "extra": copy.deepcopy(weights.extra),
    }


def _kind(net: Any) -> str:
    """What a wrapper does, in words that differ where it would do something else."""
    if net.pipe is None:
        return f"style={net.style!r}"
    return f"style={net.style!r}, micro={net.pipe.pipeline.micro}"


def _stages(net: Any) -> list[dict[str, Any]]:
    lates = net.pipe.lates if net.pipe is not None else None
    if lates and lates.later:
        return lates.later[0]  # (loaded, and no batch has come since)
    return [_stage(late) for late in lates.row] if lates else []
