"""Convolutions whose channels are connected in dense tiles, by the kernels of tile_kernels.

A product for each tile and place of the window, of pixels read where they stand: no columns of
patches are written down, and images may come channels first or last. The values of a place of the
window lie side by side while they are multiplied, (window * window, connections).
"""

from typing import Any, NamedTuple

import numpy as np
import torch

from bibd.kernels.gpu import card
from bibd.kernels.gpu.tiles import Tiles, precision, shape

WAVES = 4  # programs of the gradient of weights for each multiprocessor, at least
STEPS = 8  # of such a program, at least


class Window(NamedTuple):
    """What a convolution has beside its connections."""

    size: tuple[int, int]  # height and width of the layer's input
    result: tuple[int, int]  # and of its output
    side: int
    stride: int
    padding: tuple[int, int]  # above and left

    def options(self, groups: int) -> tuple[Any, ...]:
        """Stride, padding, dilation and groups, as torch's convolutions take them."""
        return self.stride, self.padding, 1, groups


class Windows(Tiles):
    """The tiles between channels of a convolution, and their lists on cards.

    Raises:
        Unfit: the connections are no tiles of this side.
    """

    def __init__(self, flat: np.ndarray, inputs: int, outputs: int, groups: int = 1, tile: int = 0):
        super().__init__(ungrouped(flat, inputs, outputs, groups), inputs, outputs, 1, tile)

    def pixels(self, x: torch.Tensor, values: torch.Tensor, of: Window, back: bool):
        """Map (images, in, h, w) to (images, out, ...), or the other way."""
        lists, t = self.listed(back, x.device, 0), self.tile
        channels, size = (self.inputs, of.size) if back else (self.outputs, of.result)
        y = like(x, channels, size)
        many = len(x) * size[0] * size[1]
        samples, warps, stages = shape(t, many, x.dtype)
        columns = channels // t
        given = x, beside(values), y, lists.first, *lists[2:], len(x), self.flat.shape[1], columns
        given = *given, *x.stride(), *y.stride(), *x.shape[2:], *size, *of.padding
        how = t, precision(x.dtype, True), samples, of.side, of.stride, back
        blocks = (columns * -(-many // samples),)
        self._start("pixels", blocks, *given, *how, num_warps=warps, num_stages=stages)
        return y

    def kernels(self, g: torch.Tensor, x: torch.Tensor, of: Window):
        """Return the gradient of the values from (images, out, ...) and (images, in, h, w)."""
        lists, t = self.listed(False, x.device, 0), self.tile
        count, many, places = len(lists.own), len(x) * of.result[0] * of.result[1], of.side**2
        samples = min(64, shape(t, many, x.dtype)[0])
        parts, length = shared(many, samples, count * places, card.card(x.device).units)
        dw = x.new_empty(parts, places, self.flat.shape[1], dtype=torch.float32)
        given = x, g, dw, *lists[1:], len(x), self.flat.shape[1], count, length
        given = *given, *x.stride(), *g.stride(), *of.size, *of.result, *of.padding
        how = t, precision(x.dtype, True), samples, of.side, of.stride
        blocks = (count * places * parts,)
        self._start("windows", blocks, *given, *how, num_warps=4, num_stages=3)
        whole = dw[0] if parts == 1 else dw.sum(0)
        # (contiguous, as torch.compile is told)
        return whole.t().to(x.dtype).flatten().view(-1, of.side, of.side)


def ungrouped(flat: np.ndarray, inputs: int, outputs: int, groups: int) -> np.ndarray:
    """Return the places of connections, told by the channels of their group, among all inputs."""
    if groups == 1:
        return flat
    width = inputs // groups
    rows, cols = np.divmod(flat, width)
    return rows * inputs + rows // (outputs // groups) * width + cols


def shared(many: int, samples: int, programs: int, units: int) -> tuple[int, int]:
    """Return into how many parts so many pixels go, and pixels of a part.

    One tile at one place is one sum; sums of few tiles, which would leave most of a card idle, are
    made in parts and added up in their order.
    """
    steps = -(-many // samples)
    parts = max(1, min(-(-WAVES * units // programs), steps // STEPS))
    each = max(1, -(-steps // parts))
    return -(-steps // each), each * samples


def beside(values: torch.Tensor) -> torch.Tensor:
    """Return values (connections, window, window) with those of a place side by side."""
    return values.flatten(1).t().contiguous()


def like(x: torch.Tensor, channels: int, size: tuple[int, int]) -> torch.Tensor:
    """Return room for images, with channels first or last as in x."""
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    order = torch.channels_last if last else torch.contiguous_format
    made = {"dtype": x.dtype, "device": x.device, "memory_format": order}
    return torch.empty(len(x), channels, *size, **made)
