"""Adds up the gradients of a stage over its replicas, before its update.

Each replica has the gradients of its own samples, as shares of the mean over the minibatch, so that
their sum is the gradient of the whole. It is added up in the order of the replicas in every world,
which makes all replicas, and all worlds, the same bit for bit. Between processes each replica adds
up a slice of its own:

    replica 0    [a0 b0] ──b0──►    a = a0 + a1    ──a──►    [a b]
    replica 1    [a1 b1] ◄──a0──    b = b0 + b1    ◄──b──    [a b]

So R replicas send 2 (R - 1) times the gradients' bytes, all of them as much. A header says which
weights have a gradient at all: a replica without samples has none.
"""

from collections.abc import Sequence

import torch

from parallel.pipeline.finite import SAMPLES, WEIGHTS, finite
from parallel.pipeline.stage import Stage
from parallel.world import packing
from parallel.world.comm import HEADER, Comm, NotFinite, State, nbytes


class Joint:
    """Called before each update of a stage.

    Args:
        whole: Add up all stages here before the first is updated (the norm of the net needs them).
    """

    def __init__(self, whole: bool):
        self.whole = whole
        self.seen: set[int] = set()  # stages that have asked since the last such sum
        self.sent = 0.0  # bytes of gradients, part of what the world has counted

    def __call__(self, t: int, stage: Stage, here: dict[int, Stage]) -> None:
        """Make the gradients of a stage those of all replicas, for minibatch t."""
        if not self.whole:
            self.add_up(t, [stage])
            return
        if not self.seen:
            self.add_up(t, list(here.values()))
        self.seen.add(stage.weights.stage)
        if len(self.seen) == len(here):
            self.seen = set()

    def add_up(self, t: int, stages: Sequence[Stage]) -> None:
        """Add up the gradients of these stages over the replicas."""
        raise NotImplementedError


class Together(Joint):
    """All replicas in this process; the call of replica 0 is for all of them."""

    def __init__(self, whole: bool, world: Comm, replicas: Sequence[dict[int, Stage]]):
        super().__init__(whole)
        self.world, self.replicas = world, replicas

    def __call__(self, t: int, stage: Stage, here: dict[int, Stage]) -> None:
        """See Joint."""
        if here is self.replicas[0]:
            super().__call__(t, stage, here)

    def add_up(self, t: int, stages: Sequence[Stage]) -> None:
        """Add up, and give each replica a copy."""
        for stage in stages:
            every = [one[stage.weights.stage] for one in self.replicas]
            for r, one in enumerate(every):
                refuse(one, r, t)
            total = added([gradients(one) for one in every])
            had = {name for one in every for name in one.sums}
            for one in every:
                one.sums = {name: g.clone() for name, g in total.items() if name in had}
            sent = 2 * (len(every) - 1) * nbytes(total)
            self.world.sent += sent
            self.sent += sent


class Apart(Joint):
    """A replica in each process, or a part of one."""

    def __init__(self, whole: bool, world: Comm, ranks: int, replicas: int):
        super().__init__(whole)
        self.world, self.replica = world, world.rank // ranks
        self.peers = [r * ranks + world.rank % ranks for r in range(replicas)]
        self.others = [r for r in range(replicas) if r != self.replica]

    def add_up(self, t: int, stages: Sequence[Stage]) -> None:
        """One stage after the other, in one order on all replicas."""
        for stage in stages:
            refuse(stage, self.replica, t)
            own = gradients(stage)
            if own:
                k = stage.weights.stage
                ranks, others = ", ".join(str(self.peers[r]) for r in self.others), self.others
                self.world.at = (
                    f"U of stage {k} of replica {self.replica} for minibatch {t}, waiting for rank "
                    f"{ranks} (stage {k} of replica {', '.join(map(str, others))})"
                )
                stage.sums = self._sum(own, stage.sums)

    def _sum(self, own: State, sums: State) -> State:
        packed = packing.pack(own)
        slices = [_slice(packed, r, len(self.peers)) for r in range(len(self.peers))]
        had = torch.tensor([name in sums for name in own], dtype=torch.uint8)
        had = {HEADER: had.to(packed[0].device)}
        mine = slices[self.replica]
        got = self._exchange({r: slices[r] | had for r in self.others}, mine | had)
        got[self.replica] = mine | had
        every = [got[r] for r in range(len(self.peers))]
        total = added([{k: one[k] for k in mine} for one in every])
        came = self._exchange(dict.fromkeys(self.others, total), slices)
        came[self.replica] = total
        whole = [
            torch.cat([came[r][str(i)] for r in range(len(self.peers)) if str(i) in came[r]])
            for i in range(len(packed))
        ]
        having = torch.stack([one[HEADER] for one in every]).amax(0).tolist()
        found = packing.unpack(whole, own)
        return {name: g for (name, g), any_ in zip(found.items(), having, strict=True) if any_}

    def _exchange(self, out: dict[int, State], like: State | list[State]) -> dict[int, State]:
        """Send to each other replica, and take what it sends: tensors like these."""
        me, before = self.world.rank, self.world.sent
        each = like if isinstance(like, list) else [like] * len(self.peers)
        expect = {(self.peers[r], me): each[r] for r in self.others if each[r]}
        messages = {(me, self.peers[r]): state for r, state in out.items() if state}
        came = self.world.wait(self.world.post(messages, expect))
        sent = sum(nbytes(v) for state in out.values() for k, v in state.items() if k != HEADER)
        self.world.sent = before + sent  # (headers are no part of the training)
        self.sent += sent
        return {r: came.get((self.peers[r], me), {}) for r in self.others}


def _slice(packed: Sequence[torch.Tensor], r: int, replicas: int) -> State:
    """What replica r adds up, of each buffer; none of those that are too short."""
    parts = {str(i): buffer.tensor_split(replicas)[r] for i, buffer in enumerate(packed)}
    return {i: part for i, part in parts.items() if part.numel()}


def gradients(stage: Stage) -> State:
    """Of all weights that are not frozen; zero where there is none."""
    params = stage.weights.params.items()
    return {
        n: stage.sums.get(n, torch.zeros_like(p)).detach() for n, p in params if p.requires_grad
    }


def added(states: Sequence[State]) -> State:
    """The sum, in their order."""
    found = dict(states[0])
    for state in states[1:]:
        found = {name: value + state[name] for name, value in found.items()}
    return found


def refuse(stage: Stage, replica: int, t: int) -> None:
    """Hand on no gradient that is not finite.

    Raises:
        NotFinite: names the stage, the replica and the weights that it belongs to.
    """
    names = [name for name, g in stage.sums.items() if not finite(g)]
    if names:
        own = [name for name, w in stage.weights.newest.items() if not finite(w)]
        raise NotFinite(
            f"stage {stage.weights.stage} of replica {replica} has NaN or infinity in its gradient "
            f"of {', '.join(names)} for minibatch {t}. It was not sent. "
            + (WEIGHTS if own else SAMPLES)
        )
