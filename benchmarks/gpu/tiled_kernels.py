"""Triton kernels of products with dense tiles, kept as (tiles, T outputs, T inputs)."""

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]


@triton.jit
def rows(
    x, w, y, first, tiles, order, batch, inputs, outputs,
    T: tl.constexpr, BM: tl.constexpr, BACK: tl.constexpr,
):  # fmt: skip
    """BM samples of T outputs: the tiles of their row, one after the other.

    BACK multiplies by the tiles themselves, which gives the gradient of the input.
    """
    o, m = tl.program_id(0), tl.program_id(1)
    b, k = m * BM + tl.arange(0, BM), tl.arange(0, T)
    acc = tl.zeros((BM, T), tl.float32)
    for t in range(tl.load(first + o), tl.load(first + o + 1)):
        i, place = tl.load(tiles + t), tl.load(order + t)
        a = tl.load(
            x + b[:, None] * inputs + (i * T + k)[None, :], mask=b[:, None] < batch, other=0
        )
        if BACK:
            tile = tl.load(w + place * T * T + k[:, None] * T + k[None, :])
        else:
            tile = tl.load(w + place * T * T + k[None, :] * T + k[:, None])
        acc = tl.dot(a, tile, acc)
    at = y + b[:, None] * outputs + (o * T + k)[None, :]
    tl.store(at, acc.to(y.dtype.element_ty), mask=b[:, None] < batch)


@triton.jit
def weights(
    x, g, dw, of_output, of_input, batch, inputs, outputs, T: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """One tile of the gradient of the weights: sums over the batch, BK samples at a time."""
    t = tl.program_id(0)
    o, i, k = tl.load(of_output + t), tl.load(of_input + t), tl.arange(0, T)
    acc = tl.zeros((T, T), tl.float32)
    for b0 in range(0, batch, BK):
        b = b0 + tl.arange(0, BK)
        there = b < batch
        left = tl.load(
            g + b[None, :] * outputs + (o * T + k)[:, None], mask=there[None, :], other=0
        )
        right = tl.load(
            x + b[:, None] * inputs + (i * T + k)[None, :], mask=there[:, None], other=0
        )
        acc = tl.dot(left, right, acc)
    tl.store(dw + t * T * T + k[:, None] * T + k[None, :], acc.to(dw.dtype.element_ty))
