"""Independent subnet training (arXiv:1910.02120): workers train disjoint parts of a net.

    H local steps            on a net that is smaller in each layer: fewer bytes and multiply-adds
    after step H, 2H, ...    the slices come back to rank 0 and take their places; nothing is
                             averaged but what belongs to no neuron (parallel.subnets.cutting);
                             then rank 0 deals anew: a new random partition, each gets its slices

The optimizer's state follows the neurons. Sums over a part of a layer are about W times smaller
than over all of it: where a norm follows that does not matter; elsewhere rescale="auto" multiplies
the input of such layers by W in the subnets (as dropout does), False leaves it, as the paper does
(all its layers have norms).
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from parallel.replicas.replicas import float_buffers
from parallel.strategy.base import Strategy, every, random
from parallel.subnets.cutting import Chain, Parts, chain, partition, subnet
from parallel.subnets.slices import Tensors, check_optimizer, merge, pieces, untouched
from parallel.world.comm import Comm, nbytes, refuse
from parallel.world.ops import NOTHING, Gather, Op, Round, Scatter

if TYPE_CHECKING:
    from parallel.replicas.executor import Executor


@dataclass
class IST(Strategy):
    """Subnets of fully connected layers.

    Args:
        period: H, local steps between two partitions.
        rescale: "auto" or False; see above.
    """

    period: int = 20
    rescale: Any = "auto"

    alike = elastic = False

    def init(self, workers: int) -> None:
        """Check the period."""
        super().init(workers)
        every("period", self.period)
        if self.average != ("params",):
            raise ValueError("ist: slices move with their state, nothing is averaged by `average`")
        if self.rescale not in ("auto", True, False):
            raise ValueError(f'rescale is "auto" or False, got {self.rescale!r}')
        self.master: Tensors = {}  # current on rank 0 only
        self.parts: list[Parts] = []
        self.due = 0.0  # bytes of one deal or collection
        self.chain = Chain([], {}, [], [], {})
        self.begin: dict[str, float] = {}

    def cut(self, models: list[nn.Module], comm: Comm, seed: int) -> list[nn.Module]:
        """The subnets of the first round; later ones have the same shapes."""
        self.whole = copy.deepcopy(models[0])
        self.chain = chain(self.whole)
        self.parts = self._draw(seed, 1)
        full = dict(self.whole.named_parameters()) | float_buffers(self.whole)
        self.master = {k: v.detach().clone() for k, v in full.items()}
        self._account()
        small = [
            subnet(m, self.chain, self.parts[r], bool(self.rescale))
            for m, r in zip(models, comm.ranks, strict=True)
        ]
        return small

    def _account(self) -> None:
        """Bytes of the pieces that leave rank 0; by their shapes alone."""
        shapes = {k: v.to("meta") for k, v in self.master.items()}
        self.due = sum(nbytes(pieces(shapes, self.chain, p)) for p in self.parts[1:])

    def _draw(self, seed: int, step: int) -> list[Parts]:
        return partition(self.chain.widths, self.workers, random(seed, step))

    def accept(self, optimizer: Any) -> None:
        """Only one whose state can follow the neurons."""
        super().accept(optimizer)
        check_optimizer(optimizer)
        self.begin = untouched(optimizer)

    def plan(self, seed: int, step: int) -> Round:
        """Collect at the end of a round, and deal for the next."""
        if step % self.period or self.workers == 1:
            return NOTHING
        return Round(after=(Gather(), Scatter()))

    def mix(self, executor: "Executor", ops: Sequence[Op], when: str) -> None:
        """Deal or collect."""
        check_optimizer(executor.optimizer)
        self.master = self._collect(executor)
        executor.seen = [0.0] * self.workers
        self.parts = self._draw(executor.seed, executor.step + 1)
        self._account()
        self._deal(executor)

    def _deal(self, executor: "Executor", counted: bool = True) -> None:
        """To every worker its pieces of the master."""
        comm, mine = (
            executor.comm,
            [executor.members.own(i, executor.optimizer) for i in executor.here()],
        )
        out = {}
        if comm.rank == 0:
            out = {(0, r): self._pieces(r, mine[0]) for r in range(self.workers)}
        expect = {(0, r): own for r, own in zip(comm.ranks, mine, strict=True)}
        executor.planned += counted * sum(nbytes(piece) for (_, r), piece in out.items() if r)
        got = comm.wait(comm.post(out, expect, counted))
        for r, own in zip(comm.ranks, mine, strict=True):
            for name, value in got[0, r].items():
                own[name].copy_(value)

    def _pieces(self, worker: int, like: Tensors) -> Tensors:
        """Those that a worker of this kind keeps (an optimizer has no state before its step)."""
        held = {k: v for k, v in self.master.items() if k in like}
        return pieces(held, self.chain, self.parts[worker])

    def _collect(self, executor: "Executor", counted: bool = True) -> Tensors:
        """The master with the pieces of all workers; on rank 0."""
        comm, mine = (
            executor.comm,
            [executor.members.own(i, executor.optimizer) for i in executor.here()],
        )
        out = {(r, 0): own for r, own in zip(comm.ranks, mine, strict=True)}
        for r, own in zip(comm.ranks, mine, strict=True) if counted else ():
            refuse({k: v.unsqueeze(0) for k, v in own.items()}, [r])
        expect = {}
        if comm.rank == 0:
            expect = {(r, 0): self._like(r, mine[0]) for r in range(self.workers)}
            executor.planned += counted * sum(nbytes(v) for (r, _), v in expect.items() if r)
        got = comm.wait(comm.post(out, expect, counted))
        if comm.rank:
            return self.master
        all_of = [got[r, 0] for r in range(self.workers)]
        return merge(self.master, self.chain, self.parts, all_of, executor.seen, self.begin)

    def _like(self, worker: int, like: Tensors) -> Tensors:
        """Tensors of the sizes that a worker sends."""
        held = {k: self.master.get(k, self.master[k.split("/")[0]]) for k in like}
        return pieces(held, self.chain, self.parts[worker])

    def consensus(self, executor: "Executor") -> dict[str, Any]:
        """The assembled net, of what everybody has now; for every rank."""
        found = self._collect(executor, counted=False)
        found = {k: v for k, v in found.items() if "/" not in k}
        ranks = range(self.workers) if executor.comm.rank == 0 else executor.comm.ranks
        out = {(0, r): found for r in ranks} if executor.comm.rank == 0 else {}
        here = {(0, r): found for r in executor.comm.ranks}
        comm = executor.comm
        found = comm.wait(comm.post(out, here, counted=False))[0, comm.rank]
        return self.whole.state_dict() | executor.members.counters() | found

    def load(self, executor: "Executor", state: dict[str, Any]) -> None:
        """Begin anew from a full model's state."""
        self.whole.load_state_dict(state)
        full = dict(self.whole.named_parameters()) | float_buffers(self.whole)
        self.master |= {k: v.detach().clone() for k, v in full.items()}
        self._deal(executor, counted=False)

    def distance(self, executor: "Executor") -> None:
        """Workers hold different neurons: there is no mean of theirs."""

    def move(self, fn: Any) -> None:
        """The master with the workers."""
        self.whole._apply(fn)
        self.master = {k: fn(v) for k, v in self.master.items()}

    def state_dict(self) -> dict[str, Any]:
        """The master and who has what."""
        return {"master": self.master, "parts": self.parts, "due": self.due}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse."""
        self.master, self.parts, self.due = state["master"], state["parts"], state["due"]

    def theory(self, size: float, steps: int = 1) -> float:
        """The slices of all but rank 0's own, back and out in one step of H."""
        return 2 * (steps // self.period) * self.due / self.workers
