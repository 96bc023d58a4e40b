"""Triton kernels of products with dense tiles; a tile begins at `start` and has rows `pitch` apart.

Values in the order of a layer are rows of all its outputs, so that the tiles of a row of tiles lie
side by side; kept as (tiles, T, T) each tile begins T * T after the last, with a pitch of T.
"""

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]


@triton.jit
def rows(
    x, w, y, first, tiles, start, pitch, batch, inputs, outputs,
    T: tl.constexpr, BM: tl.constexpr, BACK: tl.constexpr, HOW: tl.constexpr,
):  # fmt: skip
    """BM samples of T outputs: the tiles of their row, one after the other.

    BACK multiplies by the tiles themselves, which gives the gradient of the input.
    """
    o, m = tl.program_id(0) % (outputs // T), tl.program_id(0) // (outputs // T)
    b, k = (m * BM + tl.arange(0, BM)).to(tl.int64), tl.arange(0, T)
    acc = tl.zeros((BM, T), tl.float32)
    for t in range(tl.load(first + o), tl.load(first + o + 1)):
        i, at, apart = tl.load(tiles + t), tl.load(start + t), tl.load(pitch + t)
        a = tl.load(
            x + b[:, None] * inputs + (i * T + k)[None, :], mask=b[:, None] < batch, other=0
        )
        if BACK:
            tile = tl.load(w + at + k[:, None] * apart + k[None, :])
        else:
            tile = tl.load(w + at + k[None, :] * apart + k[:, None])
        acc = tl.dot(a, tile, acc, input_precision=HOW)
    to = y + b[:, None] * outputs + (o * T + k)[None, :]
    tl.store(to, acc.to(y.dtype.element_ty), mask=b[:, None] < batch)


@triton.jit
def weights(
    x, g, dw, of_output, of_input, start, pitch, batch, inputs, outputs,
    T: tl.constexpr, BK: tl.constexpr, HOW: tl.constexpr,
):  # fmt: skip
    """One tile of the gradient of the weights: sums over the batch, BK samples at a time."""
    t = tl.program_id(0)
    o, i, k = tl.load(of_output + t), tl.load(of_input + t), tl.arange(0, T)
    at, apart = tl.load(start + t), tl.load(pitch + t)
    acc = tl.zeros((T, T), tl.float32)
    for b0 in range(0, batch, BK):
        b = (b0 + tl.arange(0, BK)).to(tl.int64)
        there = b < batch
        left = tl.load(
            g + b[None, :] * outputs + (o * T + k)[:, None], mask=there[None, :], other=0
        )
        right = tl.load(
            x + b[:, None] * inputs + (i * T + k)[None, :], mask=there[:, None], other=0
        )
        acc = tl.dot(left, right, acc, input_precision=HOW)
    tl.store(dw + at + k[:, None] * apart + k[None, :], acc.to(dw.dtype.element_ty))
