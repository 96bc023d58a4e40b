"""Clipping gradients by their norm: of the whole net where updates wait, of each stage else.

Where nothing waits, no moment exists at which all gradients of a minibatch are there.
"""

from parallel.pipeline.stage import Stage
from parallel.world.comm import Comm


class Clip:
    """Called before each update of a stage.

    Args:
        limit: Largest norm.
        whole: Of the whole net.
        comm: Adds up over the ranks.
    """

    def __init__(self, limit: float, whole: bool, comm: Comm):
        self.limit, self.whole, self.comm = limit, whole, comm
        self.scaled: set[int] = set()  # stages of this update that have been seen to

    def __call__(self, stage: Stage, here: dict[int, Stage]) -> None:
        """Shorten the gradients of a stage; with `whole`, those of all stages here at once."""
        if not self.whole:
            shorten([stage], self.limit, squares(stage))
            return
        if not self.scaled:
            own = sum(squares(s) for s in here.values())
            shorten(list(here.values()), self.limit, sum(self.comm.everyone(own)))
        self.scaled.add(stage.weights.stage)
        if len(self.scaled) == len(here):
            self.scaled = set()


def squares(stage: Stage) -> float:
    """Squared norm of the gradients of a stage."""
    return sum(float(g.double().square().sum()) for g in stage.sums.values())


def shorten(stages: list[Stage], limit: float, total: float) -> None:
    """Scale gradients as torch.nn.utils.clip_grad_norm_ does."""
    factor = min(1.0, limit / (total**0.5 + 1e-6))
    for stage in stages:
        stage.sums = {name: g * factor for name, g in stage.sums.items()}
