"""Refuses, before anything is loaded, a training state that a wrapper cannot go on from.

A state says what its wrapper was: {"style": "local_sgd", "workers": 2, "period": 40, ...}. Older
ones do not say it, and are judged by what they have.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import torch

from harness.names import kind_of
from parallel.strategy import STRATEGIES

PLAIN = (bool, int, float, str, tuple, type(None))
# What a list of slices may differ in.
CUT = ("style", "divided", "workers", "replicas_here", "rank")
# What schedulers and users add to groups.
ADDED = {"params", "param_names", "name", "initial_lr", "max_lr", "min_lr"}
ADDED |= {"max_momentum", "base_momentum", "swa_lr"}


def made(net: Any) -> dict[str, Any]:
    """Return how a DataParallel was made, as far as a state depends on it; in builtin types."""
    strategy, comm = net.executor.strategy, net.comm
    kind = type(strategy)
    style = next((name for name, maker in STRATEGIES.items() if maker is kind), kind.__name__)
    found = {"style": style, "holds": strategy.holds, "workers": comm.workers}
    found["replicas_here"] = len(comm.ranks)
    if not comm.alone and (strategy.holds != "replicas" or strategy.centre):
        found["rank"] = comm.rank  # (others hold something else)
    options = {f.name: getattr(strategy, f.name) for f in dataclasses.fields(strategy)}
    return found | {k: str(v) for k, v in options.items() if isinstance(v, PLAIN)}


def fits(net: Any, states: list[Any], optimizer: Any, whole: bool = False) -> None:
    """Check states for `load_training_state`.

    Args:
        net: A DataParallel.
        states: What it is to load.
        optimizer: Of its parameters.
        whole: Whether they are those of all ranks, to be cut anew.

    Raises:
        ValueError: says what came, what was expected, and what to do.
    """
    refuse_foreign(net, optimizer)
    for state in states:
        refuse_other(state, ("steps", "team"), "DataParallel")
        _same_team(net, state, CUT if whole else ())
        same_optimizer(state["team"]["optimizer"], optimizer)
    if len({(s["steps"], "rest" in s["team"]["members"]) for s in states}) > 1:
        raise ValueError(
            f"states after {sorted({s['steps'] for s in states})} steps, or of several stages: "
            "expected those of all ranks of one training, after the same step"
        )


def refuse_foreign(net: Any, optimizer: Any) -> None:
    """Refuse an optimizer of other parameters.

    Raises:
        ValueError: it has none of the wrapper's.
    """
    mine = {id(p) for p in net.parameters()}
    groups: Iterable[dict[str, Any]] = getattr(optimizer, "param_groups", ())
    if not any(id(p) in mine for group in groups for p in group["params"]):
        raise ValueError(
            f"expected the optimizer of net.parameters(), got {kind_of(optimizer)} that has none "
            "of them: give the one that steps them, such as SGD(net.parameters(), lr=0.1)"
        )


def refuse_other(state: Any, keys: tuple[str, ...], wrapper: str) -> None:
    """Refuse what is no training state of this wrapper.

    Raises:
        ValueError: says what it is, and where that goes.
    """
    if isinstance(state, dict) and all(key in state for key in keys):
        return
    what = kind_of(state)
    if isinstance(state, dict):
        what = f"a dictionary with {', '.join(map(str, list(state)[:4])) or 'nothing'}"
        if any(isinstance(value, torch.Tensor) for value in state.values()):
            what += " (of weights: they go to net.load_state_dict(state))"
    raise ValueError(
        f"expected what net.training_state(optimizer) of a {wrapper} gave, got {what}: save that, "
        "and load it with a wrapper and an optimizer made alike"
    )


def same_optimizer(saved: dict[str, Any], optimizer: Any) -> None:
    """Refuse the state of an optimizer of another kind, or with other groups.

    Raises:
        ValueError: each has options that the other has not.
    """
    groups, here = saved["param_groups"], len(optimizer.param_groups)
    theirs = {key for group in groups for key in group} - ADDED
    mine, name = set(optimizer.defaults), type(optimizer).__name__
    if theirs - mine and mine - theirs:
        raise ValueError(
            f"the state's optimizer has {_listed(theirs - mine)}, and {name} does not, but has "
            f"{_listed(mine - theirs)}: make the optimizer as the other was"
        )
    if len(groups) != here:
        raise ValueError(
            f"the state's optimizer has {len(groups)} groups of parameters, and {name} has {here}: "
            "make the optimizer as the other was"
        )


def _same_team(net: Any, state: dict[str, Any], free: tuple[str, ...]) -> None:
    """Refuse a state of another style, of other options, or of other workers."""
    theirs, strategy = state.get("made") or _looks(state["team"]), net.executor.strategy
    mine = made(net)
    looks = {"outer": bool(strategy.outer), "divided": getattr(strategy, "stage", 0) == 3}
    looks["centre"] = getattr(net.executor.states, "centre", None) is not None
    both = {**looks, **mine}
    other = [k for k in theirs if k in both and k not in free and theirs[k] != both[k]]
    if {mine["style"], theirs.get("style")} <= {"zero1", "zero2"}:
        other = [k for k in other if k != "style"]  # (which keep the same)
    if not other:
        return
    first = "style" if "style" in theirs else "holds"
    other = [k for k in other if k not in ("style", "holds")]
    got = _in_words(theirs, [first, *other])
    expected = _in_words(both, ["style", *other] if first == "style" else ["style", first, *other])
    more = ""
    if mine["holds"] == theirs["holds"] == "slices" and not free:
        more = (
            ", or load the states of all its ranks as a list, net.load_training_state([state, ...],"
            " optimizer), which may be of any stage and number of workers"
        )
    raise ValueError(
        f"this state is of {got}, and the net is {expected}: make it as the other was{more}"
    )


def _looks(team: dict[str, Any]) -> dict[str, Any]:
    """Return what a state that does not say it must have come from."""
    members, kept = team["members"], team["strategy"]
    holds = "slices" if "slices" in kept else "subnets" if "master" in kept else "replicas"
    return {
        "holds": holds,
        "workers": len(team["seen"]),
        "replicas_here": len(members.get("rest", members)),
        "outer": bool(team.get("outer")),
        "centre": team.get("centre") is not None,
        "divided": "rest" in members,
    }


def _in_words(team: dict[str, Any], keys: Iterable[str]) -> str:
    said = (f"workers that hold {team[k]}" if k == "holds" else f"{k}={team[k]}" for k in keys)
    return ", ".join(said)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
