"""The stages of a pipeline that does not wait, and their ear for the user's optimizer.

Nothing has to be called by the user: torch tells of every optimizer's steps. A step may call
another (as wrappers of optimizers do): only the outermost counts. One that a GradScaler leaves out
is no step: the next minibatch takes its place.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from parallel.pipeline.weights import Policy
from parallel.wrap.hooks import holds, listen, no_closure, skips
from parallel.wrap.late import Late
from parallel.wrap.resume import load_stage


class Lates:
    """Made at the first batch, and forgotten when weights are loaded.

    Args:
        policy: With which weights stages work.
        micro: Micro-batches of a minibatch.
        seed: Of dropout.
    """

    def __init__(self, policy: Policy, micro: int, seed: int):
        self.policy, self.micro, self.seed = policy, micro, seed
        self.restart()
        listen(self)

    def restart(self) -> None:
        """Begin anew, with nothing in flight."""
        self.row: list[Late] = []
        self.depth, self.skipped = 0, False  # of steps within steps
        self.first: tuple[Any, ...] | None = None  # a step under way before there are stages
        self.later: tuple[Any, ...] | None = None  # what stages go on from, once there are any

    def stages(self, modules: list[nn.Sequential]) -> list[Late]:
        """The stages of these modules, for a minibatch that comes."""
        n, self.depth = len(modules), 0  # (a step that failed never ended)
        if not self.row:
            places = [(k, n) for k in range(n)]
            options = self.policy, self.micro, self.seed
            self.row = [Late(m, at, *options) for m, at in zip(modules, places, strict=True)]
            if self.first and self._ours(self.first[0]):
                no_closure(*self.first)  # (whose closure has called the net)
            if self.later:
                states, optimizer = self.later
                for late, state in zip(self.row, states, strict=False):
                    load_stage(late, state, optimizer)
                self.later = None
        for late in self.row:
            late.look()
        return self.row

    def passed(self) -> None:
        """A forward pass has gone through all stages."""
        for late in self.row if torch.is_grad_enabled() else ():
            late.calls += 1

    def _stepping(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """Do our part before the step of an optimizer, whosever it is."""
        self.first = None if self.row else (optimizer, args, kwargs)
        if self._ours(optimizer):
            if not self.depth:
                no_closure(optimizer, args, kwargs)
                self.skipped = skips(optimizer)
                for late in () if self.skipped else self.row:
                    late.before(optimizer)
            self.depth += 1

    def _stepped(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """Do our part after it."""
        self.first = None
        if self.depth and self._ours(optimizer):
            self.depth -= 1
            for late in () if self.depth or self.skipped else self.row:
                late.after()

    def _ours(self, optimizer: torch.optim.Optimizer) -> bool:
        params = [p for late in self.row for p in late.weights.params.values()]
        return holds(params, optimizer, "stages")

    def moved(self, fn: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Move or cast what the stages keep."""
        for late in self.row:
            late.moved(fn)

    def __getstate__(self) -> dict[str, Any]:
        return {
            **self.__dict__,
            "row": [],
            "depth": 0,
            "first": None,
            "later": None,
        }  # (a copy begins anew)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        listen(self)
