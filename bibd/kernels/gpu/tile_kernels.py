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


@triton.jit
def pixels(
    x, w, y, first, tiles, start, pitch, images, connections, columns,
    xn, xc, xh, xw, yn, yc, yh, yw, high, wide, rows, cols, top, left,
    T: tl.constexpr, HOW: tl.constexpr, BM: tl.constexpr, WINDOW: tl.constexpr,
    STRIDE: tl.constexpr, BACK: tl.constexpr,
):  # fmt: skip
    """BM pixels of T channels of a convolution: a product for each tile and place of the window.

    x has images of high x wide, y of rows x cols, in whatever order their strides say; w has the
    connections of each place side by side. BACK gives the gradient of the input: y is like it.
    """
    o, m = tl.program_id(0) % columns, tl.program_id(0) // columns
    p, k = m * BM + tl.arange(0, BM), tl.arange(0, T).to(tl.int64)
    there = p < images * rows * cols
    p = p.to(tl.int64)  # (offsets in memory: any stride may be long)
    n, r, c = p // (rows * cols), p // cols % rows, p % cols
    acc = tl.zeros((BM, T), tl.float32)
    for t in range(tl.load(first + o), tl.load(first + o + 1)):
        i, at, apart = tl.load(tiles + t), tl.load(start + t), tl.load(pitch + t)
        for u in range(WINDOW):
            for v in range(WINDOW):
                if BACK:  # (a whole window is added, as what is negative divides otherwise)
                    a, b = r + top - u + STRIDE * WINDOW, c + left - v + STRIDE * WINDOW
                    met = there & (a % STRIDE == 0) & (b % STRIDE == 0)
                    a, b = a // STRIDE - WINDOW, b // STRIDE - WINDOW
                else:
                    a, b, met = r * STRIDE - top + u, c * STRIDE - left + v, there
                met = met & (a >= 0) & (a < high) & (b >= 0) & (b < wide)
                from_ = x + (n * xn + a * xh + b * xw)[:, None] + ((i * T + k) * xc)[None, :]
                part = tl.load(from_, mask=met[:, None], other=0)
                of = w + (u * WINDOW + v) * connections + at
                if BACK:
                    tile = tl.load(of + k[:, None] * apart + k[None, :])
                else:
                    tile = tl.load(of + k[None, :] * apart + k[:, None])
                acc = tl.dot(part, tile, acc, input_precision=HOW)
    to = y + (n * yn + r * yh + c * yw)[:, None] + ((o * T + k) * yc)[None, :]
    tl.store(to, acc.to(y.dtype.element_ty), mask=there[:, None])


@triton.jit
def windows(
    x, g, dw, of_output, of_input, start, pitch, images, connections, count, length,
    xn, xc, xh, xw, gn, gc, gh, gw, high, wide, rows, cols, top, left,
    T: tl.constexpr, HOW: tl.constexpr, BK: tl.constexpr, WINDOW: tl.constexpr,
    STRIDE: tl.constexpr,
):  # fmt: skip
    """One tile at one place of the window: the sums over `length` pixels of g, BK at a time."""
    t, place = tl.program_id(0) % count, tl.program_id(0) // count
    part, u, v = place // (WINDOW * WINDOW), place // WINDOW % WINDOW, place % WINDOW
    o, i, k = tl.load(of_output + t), tl.load(of_input + t), tl.arange(0, T).to(tl.int64)
    at, apart = tl.load(start + t), tl.load(pitch + t)
    acc, end = tl.zeros((T, T), tl.float32), images * rows * cols
    for p0 in range(part * length, min((part + 1) * length, end), BK):
        p = (p0 + tl.arange(0, BK)).to(tl.int64)
        n, r, c = p // (rows * cols), p // cols % rows, p % cols
        a, b, there = r * STRIDE - top + u, c * STRIDE - left + v, p < end
        met = there & (a >= 0) & (a < high) & (b >= 0) & (b < wide)
        of_g = g + (n * gn + r * gh + c * gw)[None, :] + ((o * T + k) * gc)[:, None]
        of_x = x + (n * xn + a * xh + b * xw)[:, None] + ((i * T + k) * xc)[None, :]
        g_part = tl.load(of_g, mask=there[None, :], other=0)
        acc = tl.dot(g_part, tl.load(of_x, mask=met[:, None], other=0), acc, input_precision=HOW)
    to = dw + place.to(tl.int64) * connections + at + k[:, None] * apart + k[None, :]
    tl.store(to, acc)
