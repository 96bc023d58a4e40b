"""The base of coders, which average gradients as `Comm.mean` does and remember what was not sent.

    mean(rows, counts)          the mean; what the memory will be is pending
    settle(mean, nobody, bad)   it becomes that, but for names that no worker has a gradient of;
                                where some worker's is not finite it stays as it was

A worker codes its part of the weighted mean, n c_i / sum(c) times its gradient, plus what it has
kept of earlier steps: so what is sent late counts as it did when it came, and in every step

    n * mean + sum_i kept_i  =  sum_i part_i + sum_i kept_i before
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import torch

from parallel.world.codecs import Codec
from parallel.world.comm import HEADER, Comm, State

C = TypeVar("C", bound=Codec)


class Coder(Generic[C]):
    """A coder for the workers here; this one remembers nothing."""

    def __init__(self, codec: C, comm: Comm, seed: int):
        self.codec, self.comm, self.seed = codec, comm, seed
        self.begin()

    def begin(self) -> None:
        """Forget all, as before the first step."""
        self.memory: dict[str, State] = {}
        self.pending: dict[str, State] = {}

    def mean(self, rows: State, counts: Sequence[float], finite: bool = True) -> State:
        """Return the mean over all workers, and keep in `pending` what the memory is to be."""
        raise NotImplementedError

    def settle(self, mean: State, nobody: Sequence[str], bad: Sequence[int]) -> State:
        """Take over what is pending; return the mean, or NaN where some gradient was not finite."""
        pending, self.pending = self.pending, {}
        if bad:
            return {k: torch.full_like(v, math.nan) for k, v in mean.items()}
        for part, new in pending.items():
            kept = {k: v for k, v in new.items() if k not in nobody}
            self.memory.setdefault(part, {}).update(kept)
        return mean

    def sent(self, rows: State) -> int:
        """Return the bytes that all workers together send for these rows."""
        one = (self.codec.size(v.shape[1:], v.element_size()) for v in rows.values())
        return self.codec.copies(self.comm.workers) * sum(one)

    def parts(self, rows: State, counts: Sequence[float]) -> State:
        """Return what each worker here has for the mean, in rows of numbers."""
        every = shares(counts)
        own = [every[r] for r in self.comm.ranks]
        given = flat(rows).items()
        return {k: v * v.new_tensor(own).unsqueeze(1) for k, v in given}

    def kept(self, part: str, name: str, like: torch.Tensor) -> torch.Tensor:
        """Return what is remembered of a tensor, where it is now (the net may have moved)."""
        known = self.memory.get(part, {})
        return known[name].to(like) if name in known else torch.zeros_like(like)

    def state_dict(self) -> dict[str, Any]:
        """Return what it takes to go on bitwise."""
        memory = {part: dict(state) for part, state in self.memory.items()}
        return {"codec": repr(self.codec), "memory": memory}

    def load_state_dict(self, state: Mapping[str, Any] | None) -> None:
        """Go on from a state; None, as of a strategy without a codec: with nothing kept.

        Raises:
            ValueError: it was kept under another codec.
        """
        self.begin()
        if state is None:
            return
        if state["codec"] != repr(self.codec):
            raise ValueError(f"this state was kept under {state['codec']}, not {self.codec}")
        for part, kept in state["memory"].items():
            self.memory[part] = {name: v.clone() for name, v in kept.items()}


def shares(counts: Sequence[float]) -> list[float]:
    """Return how many times an equal part each worker counts; 1 where nobody has anything."""
    whole = sum(counts)
    return [c * len(counts) / whole for c in counts] if whole else [1.0] * len(counts)


def flat(rows: State) -> State:
    """Return the gradients in rows of numbers, without the header that travels with them.

    Raises:
        ValueError: one is complex.
    """
    for name, value in rows.items():
        if value.is_complex():
            raise ValueError(f"{name} is {value.dtype}, and codecs are for reals: use all_reduce")
    return {k: v.reshape(len(v), -1) for k, v in rows.items() if k != HEADER}


def header(rows: State) -> State:
    """Return the header alone, where there is one."""
    return {k: v for k, v in rows.items() if k == HEADER}
