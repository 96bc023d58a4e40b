"""A convolution as a product of spectra, number by number; with a transform that counts.

    y = F^-1( sum over channels of conj(F w) * F x )         F of N x N, N a power of two >= side

The result wraps around at N, but not within the places where the window lies inside of the image.
A transform of length N is two of N/2 and N/2 products with roots of unity (Cooley and Tukey):

    F[k]       = E[k] + z^k O[k]        E of the even places, O of the odd ones, z = exp(-2 pi i/N)
    F[k + N/2] = E[k] - z^k O[k]        so N/2 log2 N complex products
"""

from collections.abc import Callable

import numpy as np

from primer.convolution.ways import places
from primer.count import alive, matmul, times


def transform(x: np.ndarray, sign: int = -1) -> np.ndarray:
    """Transform along the last axis, whose length is a power of two; sign 1: back, times N."""
    n = x.shape[-1]
    if n == 1:
        return x.astype(complex)
    even, odd = transform(x[..., ::2], sign), transform(x[..., 1::2], sign)
    turned = times(np.exp(sign * 2j * np.pi * np.arange(n // 2) / n), odd)
    return np.concatenate([even + turned, even - turned], -1)


def transform2(x: np.ndarray, sign: int = -1) -> np.ndarray:
    """Transform the last two axes."""
    return transform(transform(x, sign).swapaxes(-1, -2), sign).swapaxes(-1, -2)


def back2(x: np.ndarray) -> np.ndarray:
    """Undo transform2."""
    return np.real(transform2(x, 1)) / x.shape[-1] ** 2


def power(side: int) -> int:
    """Return the least power of two that is not below the side."""
    return 1 << (side - 1).bit_length()


def fourier(
    w: np.ndarray, x: np.ndarray, there: Callable = transform2, back: Callable = back2
) -> np.ndarray:
    """Return the convolution; NumPy's rfft2 and irfft2 do instead of the transforms that count."""
    out = places(w, x)
    filters, channels, k, _ = w.shape
    side = x.shape[1]
    n = power(side)
    seen = there(np.pad(x, ((0, 0), (0, n - side), (0, n - side))))
    kernels = there(np.pad(w, ((0, 0), (0, 0), (0, n - k), (0, n - k)))).conj()
    size = seen.shape[1:]
    # at each frequency: filters x channels, times channels x 1
    by_place = kernels.reshape(filters, channels, -1).transpose(2, 0, 1)
    product = matmul(by_place, seen.reshape(channels, -1).T[..., None])
    product = product[..., 0].T.reshape(filters, *size)
    alive(seen, kernels, product)
    return back(product)[:, :out, :out]
