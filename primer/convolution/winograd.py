"""Winograd's F(2 x 2, 3 x 3): four results of a 3 x 3 window with 16 products instead of 36.

    y = A^T [ (G g G^T) * (B^T d B) ] A         d a tile of 4 x 4, y of 2 x 2, g the window

    B^T = 1  0 -1  0      G = 1    0    0       A^T = 1  1  1  0
          0  1  1  0          1/2  1/2  1/2           0  1 -1 -1
          0 -1  1  0          1/2 -1/2  1/2
          0  1  0 -1          0    0    1

A and B hold 0, 1 and -1 only: tiles are transformed by additions, 32 a tile and channel, 24 a tile
and filter. The products of all channels at one of the 16 places are one matrix product.
"""

import numpy as np

from primer.convolution.ways import places
from primer.count import alive, matmul, plus

G = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]) / 2


def winograd(w: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the convolution with windows of 3 x 3.

    Raises:
        ValueError: another window, for which this has no matrices.
    """
    out = places(w, x)
    filters, channels, k, _ = w.shape
    if k != 3:
        raise ValueError(f"F(2, 3) is for windows of 3, got {k}: take im2col or fourier")
    t = -(-out // 2)
    tiles = cut(x, t)
    u = matmul(matmul(G, w), G.T).transpose(2, 3, 0, 1).reshape(16, filters, channels)
    v = inputs(inputs(tiles, 3), 4).transpose(3, 4, 0, 1, 2).reshape(16, channels, t * t)
    m = matmul(u, v)
    alive(u, v, m)
    y = results(results(m.reshape(4, 4, filters, t, t), 0), 1)
    return y.transpose(2, 3, 0, 4, 1).reshape(filters, 2 * t, 2 * t)[:, :out, :out]


def cut(x: np.ndarray, t: int) -> np.ndarray:
    """Return t x t tiles of 4 x 4 that overlap by two: (channels, t, t, 4, 4)."""
    more = 2 * t + 2 - x.shape[1]
    x = np.pad(x, ((0, 0), (0, more), (0, more)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (4, 4), axis=(1, 2))  # pyright: ignore
    return windows[:, ::2, ::2]


def inputs(d: np.ndarray, axis: int) -> np.ndarray:
    """Multiply an axis by B^T, by additions."""
    a, b, c, e = np.moveaxis(d, axis, 0)
    return np.stack([plus(a, c, -1), plus(b, c), plus(c, b, -1), plus(b, e, -1)], axis)


def results(m: np.ndarray, axis: int) -> np.ndarray:
    """Multiply an axis by A^T, by additions."""
    a, b, c, e = np.moveaxis(m, axis, 0)
    return np.stack([plus(plus(a, b), c), plus(plus(b, c, -1), e, -1)], axis)
