"""Convolutions on a card behind the operators of conv_ops: tiles of channels, or dense."""

import torch
import torch.nn.functional as F
from torch.nn.grad import conv2d_input, conv2d_weight

from bibd.kernels.dense import dense_weight
from bibd.kernels.gpu import card
from bibd.kernels.gpu.compile import notice
from bibd.kernels.gpu.fit import Unfit
from bibd.kernels.gpu.products import known
from bibd.kernels.gpu.tiles import keeper, refuse_side
from bibd.kernels.gpu.windows import Window, Windows, like
from bibd.kernels.library import given

Sizes = tuple[int, int, int]  # inputs, outputs, groups


def convolve(
    x: torch.Tensor, values: torch.Tensor, flat, sizes: Sizes, of: Window, back: bool, tile: int
) -> torch.Tensor:
    """Map (images, in, h, w) to (images, out, ...), or the other way."""
    try:
        return pixels(x, values, flat, sizes, of, back, tile)
    except Unfit as why:
        notice(str(why))
    inputs, outputs, groups = sizes
    weight = dense_weight(values, flat[0], (outputs, inputs // groups, of.side, of.side))
    how = of.options(groups)
    if back:
        y = conv2d_input((len(x), inputs, *of.size), weight, x, *how)
    else:
        y = F.conv2d(x, weight, None, *how)
    return like(x, y.shape[1], (y.shape[2], y.shape[3])).copy_(y)


def sample(
    g: torch.Tensor, x: torch.Tensor, flat, sizes: Sizes, of: Window, tile: int
) -> torch.Tensor:
    """Return the values' gradient (n, window, window) from that of the output, and the input."""
    try:
        return windows(g, x, flat, sizes, of, tile)
    except Unfit as why:
        notice(str(why))
    inputs, outputs, groups = sizes
    shape = outputs, inputs // groups, of.side, of.side
    return conv2d_weight(x, shape, g, *of.options(groups)).flatten(0, 1)[flat[0]]


def pixels(x, values, flat, sizes: Sizes, of: Window, back: bool, tile: int) -> torch.Tensor:
    """As convolve, by a kernel.

    Raises:
        Unfit: there is none for this.
    """
    known(x.dtype)
    with card.current(x):
        return found(flat, sizes, tile).pixels(x, values, of, back)


def windows(g, x, flat, sizes: Sizes, of: Window, tile: int) -> torch.Tensor:
    """As sample, by a kernel.

    Raises:
        Unfit: there is none for this.
    """
    known(x.dtype)
    with card.current(x):
        return found(flat, sizes, tile).kernels(g, x, of)


def found(flat: torch.Tensor, sizes: Sizes, tile: int) -> Windows:
    """Return what multiplies by the tiles of connections (1, n), with the lists made so far.

    Raises:
        Unfit: they are no tiles of that side.
    """
    refuse_side(tile)
    by = given(flat, *sizes, kind=keeper(tile, Windows))
    if card.capturing():  # (replays read its lists, also after other connections came)
        by.captured = True
    return by
