"""Builds residual blocks, and decides where their convolutions come from.

    x ----> main: conv norm relu conv norm ----> + -> relu         basic, 18 and 34 layers deep
      `---> shortcut: nothing, or conv 1x1 norm --^                main of a bottleneck: 1x1 3x3 1x1

With `preact` norm and relu come before each convolution, and nothing after the sum.

Only the convolutions of the main path follow the pattern and the groups: stem, 1 x 1 shortcuts and
classifier are dense, as in the original study (`sparse_shortcuts` is an option).
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from bibd import Pattern, SparseConv2d, make_pattern
from bibd.pattern import without_dead
from harness.nets.convolution import convolution
from harness.seeding import derive


@dataclass
class Convolutions:
    """Makes the convolutions of one net, one after the other."""

    pattern: str = "dense"
    groups: int = 1
    match: str = ""
    relabel: bool = False
    init: str = "true"
    sparse_shortcuts: bool = False
    seed: int = 0
    made: int = field(default=0, init=False)  # so that each layer has a design seed of its own

    def main(self, inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Module:
        """Make a convolution of the main path."""
        return self._make(inputs, outputs, size, stride, self.groups)

    def shortcut(self, inputs: int, outputs: int, stride: int) -> nn.Module:
        """Make a convolution that goes past a block; it is never in groups."""
        if self.sparse_shortcuts:
            return self._make(inputs, outputs, 1, stride, 1)
        return self.dense(inputs, outputs, 1, stride)

    def dense(
        self, inputs: int, outputs: int, size: int, stride: int, groups: int = 1
    ) -> nn.Conv2d:
        """Make an ordinary convolution without bias."""
        conv = convolution(inputs, outputs, size, stride, groups)
        if self.init == "true":  # as the sparse ones; torch's own start is sqrt(6) smaller
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        return conv

    def _make(self, inputs: int, outputs: int, size: int, stride: int, groups: int) -> nn.Module:
        self.made += 1
        if self.pattern == "dense":
            return self.dense(inputs, outputs, size, stride, groups)
        table = self._table(inputs, outputs, groups)
        options: Any = dict(groups=groups, bias=False, pattern=table, init=self.init)
        return SparseConv2d(inputs, outputs, size, stride, size // 2, **options)

    def _table(self, inputs: int, outputs: int, groups: int) -> Pattern:
        anew = self.relabel or self.pattern.startswith("random")
        seed = derive(self.seed, "design", self.made) if anew else None
        try:
            count = _table(self.match, inputs, outputs, groups).nonzeros if self.match else None
            if anew:
                made = make_pattern(self.pattern, inputs, outputs, seed, count, groups)
                return without_dead(made)
            return _table(self.pattern, inputs, outputs, groups, count)
        except ValueError as error:
            where = f"convolution {self.made} ({inputs} to {outputs} channels, groups={groups})"
            raise ValueError(f"{where}: {error}") from None


@lru_cache(maxsize=256)
def _table(
    family: str, inputs: int, outputs: int, groups: int, nonzeros: int | None = None
) -> Pattern:
    """Return a table in canonical order, which many layers of a net share."""
    return without_dead(make_pattern(family, inputs, outputs, None, nonzeros, groups))


class Block(nn.Module):
    """The sum of a main path and what goes past it."""

    def __init__(self, main: nn.Module, shortcut: nn.Module, before: nn.Module | None = None):
        super().__init__()
        if before is not None:
            self.before = before
        self.main, self.shortcut = main, shortcut
        self.preact = before is not None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum of both ways."""
        if not self.preact:
            return self.main(x).add_(self.shortcut(x)).relu_()
        z = self.before(x)
        past = x if isinstance(self.shortcut, nn.Identity) else self.shortcut(z)
        return self.main(z) + past


def basic(convs: Convolutions, inputs: int, width: int, stride: int, preact: bool) -> Block:
    """Build a block of two 3 x 3 convolutions."""
    return _block(convs, [(inputs, width, 3, stride), (width, width, 3, 1)], stride, preact)


def bottleneck(convs: Convolutions, inputs: int, width: int, stride: int, preact: bool) -> Block:
    """Build a block: 1 x 1 to `width` channels, 3 x 3 with the stride, 1 x 1 to 4 * width."""
    sizes = [(inputs, width, 1, 1), (width, width, 3, stride), (width, 4 * width, 1, 1)]
    return _block(convs, sizes, stride, preact)


def _block(convs: Convolutions, sizes: list[tuple[int, ...]], stride: int, preact: bool) -> Block:
    inputs, outputs = sizes[0][0], sizes[-1][1]
    main: list[nn.Module] = []
    for i, (a, b, size, step) in enumerate(sizes):
        if i:
            main += [*([] if not preact else [nn.BatchNorm2d(a)]), nn.ReLU(inplace=True)]
        main += [convs.main(a, b, size, step), *([] if preact else [nn.BatchNorm2d(b)])]
    past: nn.Module = nn.Identity()
    if stride > 1 or inputs != outputs:
        shortcut = convs.shortcut(inputs, outputs, stride)
        past = shortcut if preact else nn.Sequential(shortcut, nn.BatchNorm2d(outputs))
    before = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(inplace=True)) if preact else None
    return Block(nn.Sequential(*main), past, before)
