"""Averages gradients of which matrices travel as two thin ones (PowerSGD, arXiv:1905.13727).

    [1] M_i = part_i + what i has kept so far, as a matrix (outputs, all that they read)
    [2] P = mean of M_i Q                  tensors that are not worth it go along as they are
    [3] P is made orthonormal, by every worker alike
    [4] Q = mean of M_i^T P                which the next step begins with
    [5] everybody takes P Q^T, and worker i keeps M_i - P (M_i^T P)^T

One step of power iteration is made of each step of the training. The first Q is drawn from the
run's seed. A column of P that the ones before it already span has nothing to say: it is zero, and
the column of Q stays as it was, so that it can say something later. What i keeps is the rest of
what i has sent (torch's powerSGD_hook: of what all have); the sums over the workers are the same,
and so are all steps.
"""

import zlib
from collections.abc import Sequence

import torch

from parallel.replicas.coded.coder import Coder, header
from parallel.strategy.base import random
from parallel.world.codecs import LowRank, matrix
from parallel.world.comm import HEADER, State


class Factored(Coder[LowRank]):
    """The coder of LowRank."""

    def mean(self, rows: State, counts: Sequence[float], finite: bool = True) -> State:
        """Return the mean of what was sent."""
        alike = [1.0] * self.comm.workers
        parts = self.parts(rows, counts)
        owed = {k: self.owed(k, parts.pop(k), rows[k]) for k in self.thin(rows)}  # [1]
        old = {k: self.second(k, m) for k, m in owed.items()}
        products = {k: (m @ old[k]).to(rows[k]) for k, m in owed.items()}
        found = self.comm.mean(header(rows) | parts | products, alike, finite=finite)  # [2]
        basis = {k: orthonormal(found[k][0].to(m)) for k, m in owed.items()}  # [3]
        own = {k: (m.mT @ basis[k]).to(rows[k]) for k, m in owed.items()}
        new = self.comm.mean(own, alike, finite=finite) if own else {}  # [4]
        self.pending = {"rest": {}, "second": {}}
        for k, m in owed.items():  # [5]
            p, q = basis[k], new[k][0].to(m)
            found[k] = (p @ q.T).to(rows[k]).unsqueeze(0)
            self.pending["rest"][k] = m - p @ own[k].to(m).mT
            self.pending["second"][k] = torch.where(p.any(0), q, old[k])
        return {k: v[:1].reshape(1, *rows[k].shape[1:]) for k, v in found.items()}

    def thin(self, rows: State) -> list[str]:
        """Return which tensors travel as two matrices."""
        return [k for k, v in rows.items() if k != HEADER and self.codec.pays(v.shape[1:])]

    def owed(self, name: str, part: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Return a matrix of each worker here: its part and what it has kept, float32 at least."""
        wide = part.to(torch.promote_types(part.dtype, torch.float32))
        wide = wide.view(len(part), *matrix(like.shape[1:]))
        return wide + self.kept("rest", name, wide)

    def second(self, name: str, like: torch.Tensor) -> torch.Tensor:
        """Return the Q of the last step, or a first one, the same for all workers."""
        if name in self.memory.get("second", {}):
            return self.memory["second"][name].to(like)
        return first(self.seed, name, like.shape[2], self.codec.rank).to(like)


def first(seed: int, name: str, columns: int, rank: int) -> torch.Tensor:
    """Return the Q that a tensor begins with, the same on every rank."""
    draw = random(seed, zlib.crc32(name.encode()))
    return torch.from_numpy(draw.standard_normal((columns, rank)))


def orthonormal(p: torch.Tensor) -> torch.Tensor:
    """Return columns of length one that span the same, each at right angles to those before it.

    What rounding leaves of a column that those span is no direction: it becomes zero.
    """
    found = torch.zeros_like(p)
    least = max(p.shape) * torch.finfo(p.dtype).eps  # as numpy's matrix_rank
    for j in range(p.shape[1]):
        column = p[:, j]
        for _ in range(2):  # (once leaves angles that are right by its own rounding only)
            column = column - found @ (found.T @ column)
        length = column.norm()
        found[:, j] = torch.where(length > least * p[:, j].norm(), column / length, 0)
    return found
