"""What each way to convolve costs, and the ways by their names.

K filters, C channels, window k, result o x o, image s x s with s = o + k - 1, N = 2^ceil(log2 s),
T = ceil(o/2)^2 tiles:

    way        multiply-adds                                   held beside image, weights, result
    shifts     K C k^2 o^2                                     C o^2
    im2col     K C k^2 o^2                                     C k^2 o^2
    toeplitz   K C s^2 o^2  (all but K C k^2 o^2 with zeros)   K C s^2 o^2
    fourier    4 N^2 (log2 N (C + K C + K) + K C)              2 N^2 (C + K C + K)
    winograd   16 K C T + 84 K C                               16 (K C + C T + K T)
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from primer.convolution.fourier import fourier, power
from primer.convolution.ways import im2col, shifts, toeplitz
from primer.convolution.winograd import winograd

WAYS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "shifts": shifts,
    "im2col": im2col,
    "toeplitz": toeplitz,
    "fourier": fourier,
    "winograd": winograd,
}
ITEM = np.dtype(float).itemsize


@dataclass(frozen=True)
class Shape:
    """The sizes of a convolution."""

    filters: int
    channels: int
    window: int
    out: int

    @property
    def side(self) -> int:
        """Return the side of the image."""
        return self.out + self.window - 1

    @property
    def tiles(self) -> int:
        """Return how many tiles of 2 x 2 cover the result."""
        return (-(-self.out // 2)) ** 2

    def draw(self, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return weights and an image, standard normal."""
        draw = np.random.default_rng(seed).standard_normal
        k, s = self.window, self.side
        return draw((self.filters, self.channels, k, k)), draw((self.channels, s, s))


def macs(way: str, shape: Shape) -> int:
    """Return the multiply-adds of a way; a complex product is four."""
    f, c, n = shape.filters, shape.channels, power(shape.side)
    dense = f * c * shape.window**2 * shape.out**2
    levels = n.bit_length() - 1
    return {
        "shifts": dense,
        "im2col": dense,
        "toeplitz": f * c * shape.side**2 * shape.out**2,
        "fourier": 4 * n**2 * (levels * (c + f * c + f) + f * c),
        "winograd": 16 * f * c * shape.tiles + 84 * f * c,
    }[way]


def adds(shape: Shape) -> int:
    """Return the additions of Winograd's transforms."""
    return (32 * shape.channels + 24 * shape.filters) * shape.tiles


def held(way: str, shape: Shape) -> int:
    """Return the bytes of what a way holds beside image, weights and result."""
    f, c, n = shape.filters, shape.channels, power(shape.side)
    places, t = shape.out**2, shape.tiles
    return (
        ITEM
        * {
            "shifts": c * places,
            "im2col": c * shape.window**2 * places,
            "toeplitz": f * c * shape.side**2 * places,
            "fourier": 2 * n**2 * (c + f * c + f),
            "winograd": 16 * (f * c + c * t + f * t),
        }[way]
    )
