"""Gossip: workers talk to one other at a time (the thesis of S. Pramod, arXiv:1812.02407).

In an eligible step (step % period == 0) each worker starts a talk with probability `probability`
and picks another by chance. With w as before the step:

    gossip_pull      an initiator becomes     w_i - (w_i - w_peer) / 2         (the peer does not)
    gossip_push      a receiver becomes       (w_i + all that it got) / (1 + how many)
    elastic_gossip   both ends of each talk   w_i - sum_k a_ik (w_i - w_k)     (the sum is kept)

Elastic weights: "thesis": a_ik = alpha. All four starting at once may all pick one worker, which
then moves by three times alpha. "metropolis" divides by who is busier of the two:
a_ik = 2 alpha / (1 + max degree), which is alpha for a couple. A round I - L contracts only where
the largest eigenvalue of L is below 2; rounds where it is not are counted, and told at the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from harness.names import check
from parallel.strategy.base import Mixing, Strategy, every, fraction, random
from parallel.world.ops import Exchange, Op, Push, Round, messages


@dataclass
class Gossip(Strategy):
    """The base of gossip: decides who talks to whom, and when.

    Args:
        period: Only steps that it divides.
        probability: That a worker starts a talk in such a step.
        penalty: Pick near workers more often: with weight 1 / (distance + 1e-5) ** penalty between
            random points of the unit square. None: all alike.
    """

    period: int = 1
    probability: float = 1.0
    penalty: float | None = None

    def init(self, workers: int) -> None:
        """Check the numbers."""
        super().init(workers)
        every("period", self.period)
        fraction("probability", self.probability)
        if self.penalty is not None and not 0 < self.penalty <= 100:
            raise ValueError(f"penalty must be in (0, 100], got {self.penalty}")

    def picks(self, seed: int, step: int) -> dict[int, int]:
        """Return the workers that start a talk in this step, with the peer of each."""
        if step % self.period or self.workers < 2:
            return {}
        draw = random(seed, step)
        starts = np.flatnonzero(draw.random(self.workers) < self.probability).tolist()
        shots = draw.random(self.workers)
        shares = _shares(seed, self.workers, self.penalty)
        return {i: int(np.searchsorted(shares[i], shots[i], side="right")) for i in starts}

    @property
    def rate(self) -> float:
        """Return how many talks a worker starts in an eligible step, on average."""
        return self.probability if self.workers > 1 else 0.0


@dataclass
class GossipPull(Gossip):
    """Gossip in which a worker that starts a talk takes half of its peer's weights."""

    def plan(self, seed: int, step: int) -> Round:
        """Let each picked worker send to the one that picked it."""
        picked = self.picks(seed, step)
        return Round(before=tuple(Push(peer, i) for i, peer in picked.items()))

    def mixing(self, ops: Sequence[Op]) -> Mixing:
        """Return the mean of oneself and the peer, half and half."""
        return {i: {i: 0.5, peer: 0.5} for peer, i in messages(ops)}

    def theory(self, size: float, steps: int = 1) -> float:
        """Return the bytes of one message per talk."""
        return self.rate * size * (steps // self.period)


@dataclass
class GossipPush(Gossip):
    """Gossip in which a worker that starts a talk gives its weights to its peer."""

    def plan(self, seed: int, step: int) -> Round:
        """Let each worker that starts a talk send to the one it picked."""
        return Round(before=tuple(Push(i, peer) for i, peer in self.picks(seed, step).items()))

    def mixing(self, ops: Sequence[Op]) -> Mixing:
        """Return the mean of oneself and all that came."""
        got: dict[int, list[int]] = {}
        for i, peer in messages(ops):
            got.setdefault(peer, []).append(i)
        return {i: dict.fromkeys([i, *who], 1 / (1 + len(who))) for i, who in got.items()}

    def theory(self, size: float, steps: int = 1) -> float:
        """Return the bytes of one message per talk."""
        return self.rate * size * (steps // self.period)


@dataclass
class ElasticGossip(Gossip):
    """Gossip in which springs pull both ends of a talk towards each other.

    Args:
        alpha: Strength of a spring.
        weights: "metropolis" or "thesis".
        matching: Talk in disjoint pairs, drawn anew in each step; a pair talks with `probability`.
    """

    alpha: float = 0.5
    weights: str = "metropolis"
    matching: bool = False

    def init(self, workers: int) -> None:
        """Check the options of the springs."""
        super().init(workers)
        fraction("alpha", self.alpha)
        check("rule of weights", self.weights, ("metropolis", "thesis"))
        if self.matching and self.penalty is not None:
            raise ValueError("matching=True draws pairs by chance: a penalty has no effect on it")
        safe = self.matching or (self.weights == "metropolis" and self.alpha <= 0.5)
        if "optimizer_state" in self.average and not safe:
            raise ValueError(
                "average=optimizer_state: here a worker's own weight may fall below 0, and with it "
                'squares of gradients (Adam): take weights="metropolis" with alpha <= 0.5, or '
                "matching=True"
            )

    def plan(self, seed: int, step: int) -> Round:
        """Let each couple exchange once, whoever picked whom."""
        if self.matching:
            couples = self._pairs(seed, step)
        else:
            couples = {(min(i, k), max(i, k)) for i, k in self.picks(seed, step).items()}
        return Round(before=tuple(Exchange(i, k) for i, k in sorted(couples)))

    def _pairs(self, seed: int, step: int) -> set[tuple[int, int]]:
        if step % self.period:
            return set()
        draw = random(seed, step)
        order = draw.permutation(self.workers)[: self.workers // 2 * 2].reshape(-1, 2)
        talk = order[draw.random(len(order)) < self.probability]
        return {(min(pair), max(pair)) for pair in talk.tolist()}

    def mixing(self, ops: Sequence[Op]) -> Mixing:
        """Return the mixing I - L of the springs."""
        rows: Mixing = {}
        for (k, i), a in self.springs(messages(ops)).items():
            row = rows.setdefault(i, {i: 1.0})
            row[i] -= a
            row[k] = a
        return rows

    def expands(self, ops: Sequence[Op]) -> bool:
        """Return whether L's largest eigenvalue is 2 or more, where I - L does not contract."""
        return bool(largest(self.springs(messages(ops)), self.workers) >= 2 - 1e-12)

    def springs(self, talks: Sequence[tuple[int, int]]) -> dict[tuple[int, int], float]:
        """Return the strength a_ik of each direction of each talk."""
        if self.weights == "thesis":
            return dict.fromkeys(talks, self.alpha)
        degree = dict.fromkeys((i for i, _ in talks), 0)
        for i, _ in talks:
            degree[i] += 1
        return {(i, k): 2 * self.alpha / (1 + max(degree[i], degree[k])) for i, k in talks}

    def theory(self, size: float, steps: int = 1) -> float:
        """Return the bytes of both directions; two that pick each other are one talk."""
        if self.workers < 2:
            return 0.0
        p, n, size = self.probability, self.workers, size * (steps // self.period)
        if self.matching:
            return p * (n // 2 * 2) / n * size
        pick = np.diff(_shares(self.seed, n, self.penalty).clip(max=1), prepend=0)
        mutual = float((pick * pick.T).sum()) / 2
        return (2 * p - 2 * p * p * mutual / n) * size

    def notes(self, rounds: int, expanding: int) -> list[str]:
        """Say how many rounds pushed workers apart, and what helps."""
        if not expanding:
            return []
        safe = "" if self.weights == "metropolis" else ', or weights="metropolis"'
        return [
            f"elastic gossip: in {expanding} of {rounds} rounds "
            f"({expanding / rounds:.0%}) alpha * lambda_max >= 2: they do not contract; "
            f"a smaller alpha than {self.alpha} helps{safe} or matching=True"
        ]


def largest(springs: dict[tuple[int, int], float], workers: int) -> float:
    """Return the largest eigenvalue of L."""
    laplacian = np.zeros((workers, workers))
    for (i, k), a in springs.items():
        laplacian[i, k] -= a
        laplacian[i, i] += a
    if 2 * laplacian.diagonal().max(initial=0) < 2 - 1e-9:  # Gershgorin: no need to ask further
        return 2 * float(laplacian.diagonal().max(initial=0))
    return float(np.linalg.eigvalsh(laplacian)[-1])


@cache
def _shares(seed: int, workers: int, penalty: float | None) -> np.ndarray:
    """Return the cumulated probabilities of peers: row i is worker i's, who never picks itself."""
    weight = np.ones((workers, workers))
    if penalty is not None:
        at = random(seed).random((workers, 2))
        weight = 1 / (np.linalg.norm(at[:, None] - at[None], axis=-1) + 1e-5) ** penalty
    np.fill_diagonal(weight, 0)
    shares = np.cumsum(weight / weight.sum(1, keepdims=True), axis=1)
    shares[:, -1] = np.where(weight[:, -1] > 0, np.inf, shares[:, -1])
    last = workers - 2  # the last worker cannot pick itself through rounding: its bucket is empty
    shares[-1, last:] = np.inf
    return shares
