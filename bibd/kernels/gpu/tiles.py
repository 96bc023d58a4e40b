"""Products with dense tiles on a card, by the Triton kernels of tile_kernels.py.

    connections of a row of two tiles        values, in the order of the layer
      . . a a . . c c                          a a c c    start of a: 0    pitch 4
      . . b b . . d d                          b b d d    start of c: 2

The kernels read and write the values where they stand.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch

from bibd.kernels import modes
from bibd.kernels.gpu import card
from bibd.kernels.gpu.fit import Unfit

TILES = 128, 64, 32, 16  # the sides for which there are kernels
# Samples of a program, warps, stages: what was fastest on an H100 in bfloat16. (16: not measured.)
SHAPES = {16: (128, 4, 4), 32: (128, 4, 4), 64: (128, 4, 4), 128: (256, 8, 3)}
LEAST = 16  # samples: what tensor cores multiply at a time


class Lists(NamedTuple):
    """Tiles in the order of their outputs, or of their inputs."""

    first: torch.Tensor  # of each row of tiles, and one past the last
    own: torch.Tensor  # the row of tiles
    other: torch.Tensor  # and the column
    start: torch.Tensor
    pitch: torch.Tensor


def side_of(flat: np.ndarray, inputs: int, outputs: int) -> int:
    """Return the side of the largest tiles that make up these connections; 0: none."""
    fits = (t for t in TILES if whole(flat, inputs, outputs, t))
    return next(fits, 0)


def whole(flat: np.ndarray, inputs: int, outputs: int, t: int) -> bool:
    """Return whether connections are full tiles of t x t on their grid."""
    if inputs % t or outputs % t or not len(flat) or len(flat) % (t * t):
        return False
    if flat[0] % t or (flat[:t] != np.arange(t) + flat[0]).any():  # (soon no, for most patterns)
        return False
    return len(np.unique(places(flat, inputs, t))) * t * t == len(flat)


def places(flat: np.ndarray, inputs: int, t: int) -> np.ndarray:
    """Return the place of each connection's tile on the grid."""
    rows, cols = np.divmod(flat, inputs)
    return rows // t * (inputs // t) + cols // t


def refuse_side(tile: int) -> None:
    """Refuse a side for which there is no kernel.

    Raises:
        Unfit: with the sides that there are.
    """
    if tile not in TILES:
        sides = ", ".join(map(str, TILES))
        raise Unfit(f"the connections are no dense tiles of {sides} a side")


@cache
def keeper(tile: int, kind: "type[Tiles] | None" = None) -> Callable[..., Any]:
    """Return what makes the lists of tiles of this side; the same one each time."""
    return partial(kind or Tiles, tile=tile)


class Tiles:
    """The tiles of a layer (or of several members), and their lists on cards.

    Raises:
        Unfit: the connections are no tiles of this side.
    """

    def __init__(self, flat: np.ndarray, inputs: int, outputs: int, groups: int = 1, tile: int = 0):
        self.inputs, self.outputs, self.flat, self.tile = inputs, outputs, flat, tile
        self.lists: dict[tuple, Lists] = {}
        self.broken: dict[tuple, str] = {}  # kernels that cannot be used, and why
        self.stages: dict[tuple, int] = {}  # of those that are in use
        self.captured = False  # by a CUDA graph
        refuse_side(tile)
        if not all(whole(one, inputs, outputs, tile) for one in flat):
            raise Unfit(f"the connections are no tiles of {tile} x {tile}")

    def rows(self, x: torch.Tensor, values: torch.Tensor, back: bool, member: int = 0):
        """Map (batch, in) to (batch, out), or the other way."""
        lists, t = self.listed(back, x.device, member), self.tile
        sizes = (self.outputs, self.inputs) if back else (self.inputs, self.outputs)
        samples, warps, stages = shape(t, len(x), x.dtype)
        y = x.new_empty(len(x), sizes[1])
        tensors = x.contiguous(), values.contiguous(), y
        given = *tensors, lists.first, *lists[2:], len(x), *sizes
        # (on one axis, the only one that takes more than 65,535 blocks; outputs change first)
        blocks = (sizes[1] // t * -(-len(x) // samples),)
        how = t, samples, back, precision(x.dtype)
        self._start("rows", blocks, *given, *how, num_warps=warps, num_stages=stages)
        return y

    def weights(self, g: torch.Tensor, x: torch.Tensor, member: int = 0):
        """Return the gradient of the values from (batch, out) and (batch, in)."""
        lists, t = self.listed(False, x.device, member), self.tile
        dw = x.new_empty(self.flat.shape[1])
        given = x.contiguous(), g.contiguous(), dw, *lists[1:], len(x), self.inputs, self.outputs
        how = t, min(64, shape(t, len(x), x.dtype)[0]), precision(x.dtype)
        self._start("weights", (len(lists.own),), *given, *how, num_warps=4, num_stages=3)
        return dw

    def listed(self, back: bool, device: torch.device, member: int) -> Lists:
        """Return the lists of one direction on a card, made once."""
        key = back, device, member % len(self.flat)
        if key not in self.lists:
            card.refuse_capture()
            with torch.inference_mode(False):
                self.lists[key] = self._made(*key)
        return self.lists[key]

    def _made(self, back: bool, device: torch.device, member: int) -> Lists:
        t, wide = self.tile, self.inputs // self.tile
        rows, cols = np.divmod(np.unique(places(self.flat[member], self.inputs, t)), wide)
        counts = np.bincount(rows, minlength=self.outputs // t)
        before = np.cumsum(counts) - counts
        start = before[rows] * t * t + (np.arange(len(rows)) - before[rows]) * t
        order = np.argsort(cols, kind="stable") if back else np.arange(len(rows))
        own, other = (cols, rows) if back else (rows, cols)
        size = (self.inputs if back else self.outputs) // t
        first = np.r_[0, np.cumsum(np.bincount(own, minlength=size))]
        by_tile = (a[order] for a in (own, other, start, counts[rows] * t))
        on = lambda a: torch.from_numpy(a.astype(np.int32)).to(device)  # noqa: E731
        return Lists(*map(on, (first, *by_tile)))

    def _start(self, name: str, blocks: tuple[int, ...], *given: Any, **how: int) -> None:
        """Start a kernel.

        Raises:
            Unfit: Triton is missing, or does not compile it for this card.
        """
        kind = name, given[0].dtype, *given[-5:], *how.values()
        if kind in self.broken:
            raise Unfit(self.broken[kind])
        try:
            from bibd.kernels.gpu import tile_kernels

            how["num_stages"] = self.stages.get(kind, how["num_stages"])
            self.stages[kind] = started(getattr(tile_kernels, name)[blocks], given, how)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # (Triton's own, of many kinds)
            self.broken[kind] = f"Triton's {name}: {type(error).__name__}: {error}"[:600]
            raise Unfit(self.broken[kind]) from error


def started(start: Callable[..., Any], given: tuple[Any, ...], how: dict[str, int]) -> int:
    """Start a kernel, with fewer stages where those ask for more memory than a block has.

    (How much a stage takes differs by release of Triton.)

    Returns:
        The stages.
    """
    while True:
        try:
            start(*given, **how)
            return how["num_stages"]
        except Exception as error:
            if type(error).__name__ != "OutOfResources" or how["num_stages"] == 1:
                raise
            how = how | {"num_stages": how["num_stages"] - 1}


def shape(tile: int, batch: int, dtype: torch.dtype) -> tuple[int, int, int]:
    """Return samples of a program, warps and stages."""
    samples, warps, stages = SHAPES[tile]
    samples = samples // 2 if dtype is torch.float32 else samples  # (as many bytes)
    return min(samples, max(LEAST, 1 << (batch - 1).bit_length())), warps, stages


def precision(dtype: torch.dtype, images: bool = False) -> str:
    """Return how float32 is multiplied: as torch's own products are, or convolutions."""
    fast = modes.tf32_of_images() if images else modes.tf32()
    return "tf32" if dtype is torch.float32 and fast else "ieee"
