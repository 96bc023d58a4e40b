"""Averages gradients of which each worker sends the largest numbers, and remembers the others.

    [1] part + what was kept so far; of it the k largest numbers of each tensor, by magnitude
    [2] all others are kept
    [3] numbers and places go to everybody, who adds them up in the order of the ranks

Sparsified SGD with memory (arXiv:1809.07599); top-k of gradients is of arXiv:1704.05021, and
arXiv:1712.01887 adds to it what is not done here (momentum that is corrected, clipping, a warm-up).
Each tensor has a k of its own: layers differ in their scale by orders of magnitude, so that one
threshold for all would starve some; an int32 reaches further; and a tensor without a gradient
changes nothing for the others.
"""

from collections.abc import Sequence

import torch

from parallel.replicas.coded.coder import Coder, header
from parallel.world.codecs import Largest
from parallel.world.comm import State, refuse
from parallel.world.spread import gathered


class Sparse(Coder[Largest]):
    """The coder of Largest."""

    def mean(self, rows: State, counts: Sequence[float], finite: bool = True) -> State:
        """Return the mean of what was sent."""
        if finite:
            refuse(rows, self.comm.ranks)
        sent, rest = header(rows), {}
        for name, value in self.parts(rows, counts).items():
            value = value + self.kept("rest", name, value)  # [1]
            value = value if finite else torch.nan_to_num(value)  # (then nobody will settle)
            k = self.codec.count(value.shape[1])
            sent[place(name)], sent[name], rest[name] = largest(value, k)  # [2]
        self.pending = {"rest": rest}
        every = gathered(self.comm, sent)  # [3]
        mean = {k: v.mean(0, keepdim=True) for k, v in header(every).items()}
        for name, value in rest.items():
            total = torch.zeros_like(value[0])
            for at, numbers in zip(every[place(name)], every[name], strict=True):
                total[at.long()] += numbers
            mean[name] = (total / self.comm.workers).view(1, *rows[name].shape[1:])
        return mean


def place(name: str) -> str:
    """Return the name under which the places of a tensor's numbers travel."""
    return f"{name}.places"  # (no module has a parameter and a child of one name)


def largest(value: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return places and values of the k largest numbers of each row, and the rows without them.

    Of equals the first go.
    """
    size = value.abs()
    least = size.topk(k, sorted=True).values[:, -1:]  # (which of equals it takes, nobody says)
    above, equal = size > least, size == least
    chosen = above | (equal & (equal.cumsum(1) <= k - above.sum(1, keepdim=True)))
    places = chosen.nonzero()[:, 1].view(len(value), k)
    return places.int(), value.gather(1, places), value.masked_fill(chosen, 0)
