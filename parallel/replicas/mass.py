"""The masses of a push-sum (parallel.strategy.push_sum): models hold the ratios z, never x = m z.

each       m of all workers, on every rank; they follow from the plan
keep()     before the local step, stretch() after it: z + u becomes z + u / m, as u is a step of x
rows(P)    the mixing of z that P is for x, m_j P_ij / m_i; from then on masses are P m
"""

from collections.abc import Sequence

from parallel.replicas.states import States
from parallel.strategy.base import Mixing
from parallel.world.comm import Comm, State


class Mass:
    """What each worker weighs."""

    def __init__(self, states: States, comm: Comm):
        self.states, self.comm = states, comm
        self.kept: State = {}
        self.begin()

    def begin(self) -> None:
        """Let all weigh 1, as at the start."""
        self.each = [1.0] * self.comm.workers

    def load(self, masses: Sequence[float] | None) -> None:
        """Go on from masses; None, as of a strategy without them: all weigh 1."""
        self.begin()
        if masses is not None:
            self.each = list(masses)

    def _weights(self) -> State:
        return {k: v for k, v in self.states.rows().items() if k.startswith("params:")}

    def keep(self) -> None:
        """Remember the weights before a step, where somebody here does not weigh 1."""
        uneven = any(self.each[r] != 1 for r in self.comm.ranks)
        self.kept = {k: v.clone() for k, v in self._weights().items()} if uneven else {}

    def stretch(self) -> None:
        """Divide what the step has moved by the mass of who was moved."""
        if not self.kept:
            return
        rows, masses = self._weights(), [self.each[r] for r in self.comm.ranks]
        for name, old in self.kept.items():
            by = old.new_tensor(masses).view(-1, *[1] * (old.dim() - 1))
            rows[name].copy_(old + (rows[name] - old) / by)
        self.states.put(rows)
        self.kept = {}

    def rows(self, mixing: Mixing) -> Mixing:
        """Return how ratios mix, and move the masses."""
        old, self.each = self.each, list(self.each)
        for i, row in mixing.items():
            self.each[i] = sum(share * old[k] for k, share in row.items())
        return {
            i: {k: share * old[k] / self.each[i] for k, share in row.items()}
            for i, row in mixing.items()
        }
