"""Holds the convolutions of a card beside float64 twins, with the bound derived in check.py."""

import torch
import torch.nn.functional as F
from torch.nn.grad import conv2d_input, conv2d_weight

from bibd.kernels.dense import dense_weight
from bibd.kernels.gpu import convolutions
from bibd.kernels.gpu.check import TF32, both, close, cuts, most, spread
from bibd.kernels.gpu.windows import Window, ungrouped

SOME = 8  # images, or outputs


def hold(x, values, flat, sizes: tuple[int, int, int], of: Window, tile: int, train: bool) -> None:
    """Compare the products of one layer, x (images, channels, h, w) and values, with the twin's.

    Raises:
        Unfit: there is no kernel for them, or a result is above its bound.
    """
    (inputs, outputs, groups), cut = sizes, TF32 * cuts(tile, x.dtype, True)
    how, some = of.options(groups), spread(len(x), x.device, SOME)
    shape, places = (outputs, inputs // groups, of.side, of.side), of.side**2
    owner, channel = flat[0] // shape[1], flat[0] % shape[1]
    full = lambda v: dense_weight(v, flat[0], shape)  # noqa: E731
    y = convolutions.pixels(x, values, flat, sizes, of, False, tile)
    twin = both(lambda u, v: F.conv2d(u, full(v), None, *how), x[some], values)
    close("output", y[some], twin, most(owner) * places, cut)
    if not train:
        return
    dx = convolutions.pixels(y, values, flat, sizes, of, True, tile)
    back = lambda g, v: conv2d_input(x[some].shape, full(v), g, *how)  # noqa: E731
    terms = most(owner // (outputs // groups) * shape[1] + channel) * places
    close("input", dx[some], both(back, y[some], values), terms, cut)
    dv = convolutions.windows(y, x, flat, sizes, of, tile)
    hold_weight(dv, y, x, flat[0], sizes, of, cut)


def hold_weight(dv, g, x, flat, sizes: tuple[int, int, int], of: Window, cut: float) -> None:
    """Compare the gradient of the kernels of some outputs, as if there were no groups."""
    inputs, outputs, _ = sizes
    alone = torch.from_numpy(ungrouped(flat.cpu().numpy(), *sizes)).to(flat.device)
    owner, picked = alone // inputs, spread(outputs, x.device, SOME)
    mine = torch.isin(owner, picked)
    at = torch.searchsorted(picked, owner[mine]), alone[mine] % inputs
    shape = len(picked), inputs, of.side, of.side

    def twin(g, u):
        return conv2d_weight(u, shape, g, *of.options(1))[at]

    terms = len(x) * of.result[0] * of.result[1]
    close("weight", dv[mine], both(twin, g[:, picked], x), terms, cut)
