"""Trains a net as compress.runs.dynamic does; the last row has the files that are made of it."""

from typing import Any

from compress.plans.coded import Coded
from compress.runs import dynamic
from compress.runs.dynamic import build, shaped, supersets
from compress.runs.files import coded
from compress.runs.passes import Told
from harness.data import Data

__all__ = ["Run", "build", "shaped"]


class Run(dynamic.Run):
    """One seed of a config."""

    def __init__(self, config: Coded, data: Data, seed: int):
        super().__init__(config, data, seed)
        self.config, self.seed = config, seed

    def row(self, number: int, tell: Told) -> dict[str, Any]:
        """Train over the data; returns the row, the last one with bytes and accuracy of files."""
        row = super().row(number, tell)
        if "failed" in row or number + 1 < self.config.epochs:
            return row
        return row | {"files": self._files()}

    def _files(self) -> list[dict[str, Any]]:
        c = self.config
        named: Any = dict(epochs=c.sharing, batch_size=c.batch_size, lr=c.shared_lr)
        named |= dict(momentum=c.momentum, seed=self.seed, first=c.epochs)
        if c.method == "subset":
            named["supersets"] = supersets(self.net)
        return [coded(self.net, self.data, bits, lambda done: None, **named) for bits in c.bits]
