"""A convolution as matrix products, by three ways that make the same multiply-adds or more.

    y[f, r, c] = sum over ch, i, j of w[f, ch, i, j] x[ch, r + i, c + j]

    shifts     for each place (i, j) of the window: w[:, :, i, j] times the image, moved
    im2col     w as filters x (ch i j), times a table with a column for each place of the window
    toeplitz   a matrix that holds w once for each place, times the image as one long vector

Weights are (filters, channels, window, window), an image (channels, side, side), the result
(filters, side - window + 1, the same): stride 1, no padding.
"""

import numpy as np

from primer.count import alive, matmul


def places(w: np.ndarray, x: np.ndarray) -> int:
    """Return the side of the result: as many places as the window has along the image.

    Raises:
        ValueError: shapes other than those above.
    """
    fits = w.ndim == 4 and x.ndim == 3 and w.shape[1] == x.shape[0]
    if not (fits and w.shape[2] == w.shape[3] <= x.shape[1] == x.shape[2]):
        raise ValueError(
            "weights are (filters, channels, window, window) and an image is (channels, side, "
            f"side) with side >= window, got {w.shape} and {x.shape}: cut or pad the image"
        )
    return x.shape[1] - w.shape[2] + 1


def loops(w: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the sum above, number by number; the slow twin of all others."""
    out = places(w, x)
    y = np.zeros((len(w), out, out))
    for f, r, c in np.ndindex(y.shape):
        y[f, r, c] = sum(
            w[f, ch, i, j] * x[ch, r + i, c + j] for ch, i, j in np.ndindex(w.shape[1:])
        )
    return y


def shifts(w: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the sum of as many products as the window has places."""
    out = places(w, x)
    filters, channels, k, _ = w.shape
    y = np.zeros((filters, out * out))
    for i, j in np.ndindex(k, k):
        moved = x[:, i : i + out, j : j + out].reshape(channels, -1)
        alive(moved)
        y += matmul(w[:, :, i, j], moved)
    return y.reshape(filters, out, out)


def im2col(w: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return one product, after each number of the image has been copied window^2 times."""
    out = places(w, x)
    filters, _, k, _ = w.shape
    windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(1, 2))  # pyright: ignore
    columns = windows.transpose(0, 3, 4, 1, 2).reshape(-1, out * out)
    alive(columns)
    return matmul(w.reshape(filters, -1), columns).reshape(filters, out, out)


def matrix(w: np.ndarray, side: int) -> np.ndarray:
    """Return the convolution as a matrix: its Toeplitz blocks repeat w along their diagonals."""
    filters, channels, k, _ = w.shape
    out = side - k + 1
    table = np.zeros((filters, out, out, channels, side, side))
    r, c = np.indices((out, out)).reshape(2, -1)
    for i, j in np.ndindex(k, k):
        table[:, r, c, :, r + i, c + j] = w[:, :, i, j]
    return table.reshape(filters * out**2, channels * side**2)


def toeplitz(w: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the product of that matrix and the image."""
    out = places(w, x)
    table = matrix(w, x.shape[1])
    alive(table)
    return matmul(table, x.reshape(-1, 1)).reshape(len(w), out, out)
