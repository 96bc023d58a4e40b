"""What the stages here took and held while they trained: seconds, delays, versions, activations.

It listens to the calls of each stage. Seconds are those of the calls on the processor, without
waiting for other ranks; a first call, which does what is done only once, is left out. Listening
takes some 30 us a stage and micro-batch: where nobody waits, in a simulation, it is done on demand.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch

from parallel.pipeline.kept import address
from parallel.pipeline.stage import Stage

CALLS = {
    "F": "forward",
    "B": "backward",
    "I": "backward_inputs",
    "W": "backward_weights",
    "U": "update",
}


class Ear:
    """What is heard of one stage.

    Args:
        stage: Whose calls are listened to, from now on.
    """

    def __init__(self, stage: Stage):
        self.stage = stage
        self.seconds = dict.fromkeys(CALLS, 0.0)
        self.calls = dict.fromkeys(CALLS, -1)
        self.delays: Counter[int] = Counter()
        self.versions = self.stash = self.held = 0  # most at a time; stash: bytes of versions
        self.kinds: list[torch.Tensor] = []  # of the largest micro-batch, without memory
        self.made: dict[Any, int] = {}  # updates at the forward passes in flight
        for op, name in CALLS.items():
            setattr(stage, name, partial(self._call, op, getattr(stage, name)))

    def _call(self, op: str, call: Callable, *args: Any) -> Any:
        made, begin = self.stage.weights.number, time.perf_counter()
        found = call(*args)
        if self.calls[op] >= 0:
            self.seconds[op] += time.perf_counter() - begin
        self.calls[op] += 1
        if op == "F":
            self.made[args[0]] = made
            self._look(args)
        elif op in "BI":
            self.delays[made - self.made.pop(args[0], made)] += 1
        return found

    def _look(self, args: tuple[Any, ...]) -> None:
        """Count what is held, which is most behind a forward pass."""
        flights, weights = self.stage.flights, self.stage.weights
        if len(flights) > self.held:
            self.held = len(flights)
        own = {id(f.seen) for f in flights.values() if f.seen}
        own.update(map(id, weights.older))
        own.add(id(weights.newest))
        if len(own) > self.versions:
            self.versions = len(own)
            every = [f.seen for f in flights.values()] + weights.at_hand()
            tensors = {address(w): w for one in every for w in one.values()}
            self.stash = sum(w.untyped_storage().nbytes() for w in tensors.values())
        if not self.kinds or len(args[1]) > len(self.kinds[0]):
            given = [v for v in args if isinstance(v, torch.Tensor)]
            self.kinds = [torch.empty_like(v, device="meta") for v in given]

    def cost(self, op: str) -> float:
        """Mean seconds of a call; 0 without any."""
        return self.seconds[op] / max(self.calls[op], 1)


class Meter:
    """Of all stages here, by their numbers.

    Args:
        stages: Those to listen to: of the first replica, which never has fewer samples than others.
    """

    def __init__(self, stages: Iterable[Stage]):
        self.ears = {stage.weights.stage: Ear(stage) for stage in stages}
        self.elapsed = 0.0  # seconds of steps

    def of(self, what: str) -> dict[int, Any]:
        """Something of each stage: versions, stash, held, kinds, delays."""
        return {k: getattr(ear, what) for k, ear in self.ears.items()}

    def costs(self, op: str) -> dict[int, float]:
        """Mean seconds of a call of each stage."""
        return {k: ear.cost(op) for k, ear in self.ears.items()}

    def pace(self, micro: int) -> float:
        """Seconds that the stages here work for one minibatch of so many micro-batches."""
        times = {op: 1 if op == "U" else micro for op in CALLS}
        return sum(ear.cost(op) * n for ear in self.ears.values() for op, n in times.items())

    @property
    def busy(self) -> float:
        """Seconds that the stages here have worked."""
        return sum(sum(ear.seconds.values()) for ear in self.ears.values())
