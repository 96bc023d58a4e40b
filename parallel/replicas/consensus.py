"""Says what workers agree on: one model for all, how far they are from it, one start."""

import math
from collections.abc import Iterator

import torch
from torch import nn

from parallel.replicas.replicas import Looped, Stacked, float_buffers
from parallel.replicas.states import States
from parallel.world.comm import Comm, State, nbytes


def mean(states: States, comm: Comm, centre: bool) -> dict[str, torch.Tensor]:
    """Return the mean's state dict: parameters, running statistics, and worker 0's counters.

    With a centre, what it holds is its own; where workers have masses, it is the mean by these.
    """
    members = states.members
    found = dict(members.template.state_dict()) | members.counters()
    rows = averaged(members.get("params")) | members.get("float_buffers")
    means = comm.mean(rows, _masses(states, comm), counted=False)
    found |= {k: v[0].clone() for k, v in means.items() if k in found}
    if centre:
        own = {k.split(":", 1)[1]: v for k, v in (states.centre or {}).items()}
        found |= {k: v.clone() for k, v in _from_0(states, comm, own, rows).items() if k in found}
    return found | {k: found[first] for k, first in _aliases(members).items() if k in found}


def averaged(rows: State) -> State:
    """Return what has a mean: whole numbers have none, and nobody trains them."""
    return {k: v for k, v in rows.items() if v.is_floating_point() or v.is_complex()}


def _aliases(members: Stacked | Looped) -> dict[str, str]:
    """Return the further names of shared weights, with the first name of each."""
    firsts: dict[int, str] = {}
    every = members.template.named_parameters(remove_duplicate=False)
    return {k: firsts[id(p)] for k, p in every if firsts.setdefault(id(p), k) != k}


def _from_0(states: States, comm: Comm, own: State, like: State) -> State:
    """Return the centre, which lives with rank 0, on every rank."""
    kept = {w.split(":", 1)[0] for w in states.kinds}
    names = [k for what in kept for k in states.members.get(what, states.optimizer)]
    here = comm.rank
    out = {(0, r): own for r in range(comm.workers)} if here == 0 else {}
    expect = {(0, here): {k: like[k][0] for k in names if k in like}}
    return comm.wait(comm.post(out, expect, counted=False))[0, here]


def _masses(states: States, comm: Comm) -> list[float]:
    return states.mass.each if states.mass else [1.0] * comm.workers


def distance(states: States, comm: Comm) -> float:
    """Return the root of the mean over the workers of |w_i - mean|^2."""
    rows = averaged(states.members.get("params"))
    means = comm.mean(rows, _masses(states, comm), counted=False)
    own = sum(float((rows[k] - means[k]).double().square().sum()) for k in rows)
    each = comm.everyone(own)
    return math.sqrt(sum(each) / (comm.workers if comm.alone else len(each)))


@torch.no_grad()
def broadcast(model: nn.Module, comm: Comm) -> None:
    """Give this rank's model the weights and running statistics of rank 0's."""
    if comm.alone:
        return
    every = {k: p.detach() for k, p in model.named_parameters()} | float_buffers(model)
    for own in _portions(every):
        out = {(0, r): own for r in range(comm.workers)} if comm.rank == 0 else {}
        got = comm.wait(comm.post(out, {(0, comm.rank): own}, counted=False))
        for name, value in got[0, comm.rank].items():
            own[name].copy_(value)


def _portions(state: State, most: int = 2**22) -> Iterator[State]:
    """Cut a state into some of so many bytes or of one tensor: what is sent at once is copied."""
    found: State = {}
    for name, value in state.items():
        if found and nbytes(found) + nbytes(value) > most:
            yield found
            found = {}
        found[name] = value
    if found:
        yield found
