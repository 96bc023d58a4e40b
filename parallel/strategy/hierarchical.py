"""All-reduce within a machine, local SGD between machines.

                                          a worker sends       a machine sends to others
    in every step      gradients, within  2 (g - 1) / g M      nothing
    after H, 2H, ...   weights, of all    2 (n - 1) / n M      2 (n - 1) / n M

of n workers, g to a machine. Machines are workers 0 to g - 1, g to 2g - 1, ..., as torchrun numbers
them, so that the ring of all crosses from each machine to the next one once. Workers of a machine
hold the same weights. One machine alone is all_reduce, machines of one worker are local_sgd, and
one worker alone is one machine. (Hierarchical local SGD, arXiv:1808.07217, is another: its inner
steps are local, too.)
"""

from dataclasses import dataclass

from parallel.strategy.averaging import GRADIENTS, LocalSGD
from parallel.world.ops import NOTHING, AllReduce, Round


@dataclass
class Hierarchical(LocalSGD):
    """Machines that make H steps of all-reduce, and then take the mean of their weights.

    Args:
        per_machine: The number g of workers on each machine.
    """

    per_machine: int = 2

    def init(self, workers: int) -> None:
        """Check that workers fill their machines."""
        super().init(workers)
        each = self.per_machine
        if type(each) is not int or each < 1:
            raise ValueError(f"per_machine is a number of workers, 1 or more, got {each!r}")
        if workers > 1 and workers % each:
            fit = ", ".join(str(k) for k in range(1, workers + 1) if workers % k == 0)
            raise ValueError(
                f"{workers} workers do not fill machines of per_machine={each}: take per_machine "
                f"from {fit}, or {-(-workers // each) * each} workers"
            )

    @property
    def machines(self) -> int:
        """How many machines there are."""
        return max(1, self.workers // self.per_machine)

    def plan(self, seed: int, step: int) -> Round:
        """Average gradients within machines, and in one step of H the weights of all."""
        if self.machines == 1:
            return GRADIENTS if self.workers > 1 else NOTHING
        inner = (AllReduce("gradients", among=self.per_machine),) if self.per_machine > 1 else ()
        return Round(inner, super().plan(seed, step).after)

    def theory(self, size: float, steps: int = 1) -> float:
        """Return the bytes of a ring within the machine in every step, and of all in one of H.

        Gradients are taken to be as large as what is averaged: as they are where only weights are
        averaged, and none is frozen.
        """
        each = min(self.per_machine, self.workers)
        inner = 2 * (each - 1) / each * size * steps
        return inner + self.between(size, steps) / self.machines

    def between(self, size: float, steps: int = 1) -> float:
        """Return those bytes of all workers that go from a machine to another."""
        return self.machines * super().theory(size, steps) if self.machines > 1 else 0.0
