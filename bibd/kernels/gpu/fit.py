"""Chooses the form of a kernel for a pattern, type and card.

What was measured on an H100 (benchmarks/gpu/records) says which: tiles of 16 samples in bfloat16,
of 8 in float32 (of 4 for gradients of weights), sixteen warps, all inputs of a tile in shared
memory as long as they are no more than 4096, and beyond that parts of 4096, with many outputs a
block. Sizes that are not full are filled up (`edges`), and a smaller card has smaller parts.
"""

from dataclasses import replace
from math import ceil
from typing import NamedTuple

import numpy as np

from bibd.kernels.gpu.forms import Form

WARPS, CHUNK = 16, 4096  # the most of a block, and inputs that it holds at a time
STEPS = {"rows_mma": 16, "rows_lanes": 16, "weights_mma": 16, "weights_lanes": 8}  # the most
ROUNDED = 16  # inputs of a part are a multiple of these
LEAST = 4  # possible connections for each that is there: with more, dense products win by far
SPARE = 8  # slots for each connection, most of them empty, beyond which a pattern is too uneven


class Card(NamedTuple):
    """What a form has to know of a card."""

    shared: int  # bytes of shared memory that a block may have
    units: int  # multiprocessors
    bf16: bool  # whether it multiplies in bfloat16


class Unfit(ValueError):
    """No form takes this pattern; says why."""


def fitted(
    product: str, bf16: bool, rows: np.ndarray, cols: np.ndarray, sizes: tuple[int, int], card: Card
) -> Form:
    """Return the form for a product over the connections (rows, cols).

    Args:
        product: "rows" or "weights".
        bf16: Numbers are bfloat16; else float32.
        rows: Output of each connection.
        cols: Input of each connection.
        sizes: Inputs and outputs.
        card: Where it runs.

    Raises:
        Unfit: no form takes it.
    """
    if bf16 and not card.bf16:
        raise Unfit("this card does not multiply in bfloat16")
    if not 0 < len(rows) * LEAST <= sizes[0] * sizes[1]:
        raise Unfit(f"{len(rows)} connections of {sizes[0] * sizes[1]} are none or too many")
    kernel = f"{product}_{'mma' if bf16 else 'lanes'}"
    s = 1 if kernel == "weights_lanes" else 2
    chunk, chunks, steps = _parts(kernel, s, rows, cols, sizes, card.shared)
    outs = 8 if bf16 else 32 // s
    warps = min(WARPS, ceil(sizes[1] / outs))
    sets = min(_sets(kernel, chunks, steps), ceil(sizes[1] / (warps * outs)))
    two = product == "rows" and chunks == 1 and 2 * (16 * s * chunk + 1024) <= card.shared
    form = Form(kernel, s, warps, sets, chunk, chunks, steps, 1 + two, wide=int(not bf16))
    full = chunk * chunks == sizes[0] and sizes[1] % form.group == 0
    return form if full else replace(form, edges=1)


def _parts(kernel: str, s: int, rows, cols, sizes: tuple[int, int], shared: int):
    """Return the inputs held at a time, the number of such parts, and the steps of an output."""
    (inputs, outputs), slots = sizes, 16 if kernel.endswith("mma") else 8
    most = min(CHUNK, shared // (16 * s) // ROUNDED * ROUNDED)
    if most == 0:
        raise Unfit(f"{shared} bytes of shared memory hold no part of a row")
    chunks = ceil(inputs / most)
    while True:
        chunk = ceil(ceil(inputs / chunks) / ROUNDED) * ROUNDED
        line = cols.astype(np.int64) // chunk * outputs + rows
        steps = ceil(np.bincount(line).max() / slots)
        if steps <= STEPS[kernel]:  # (sixteen inputs have no more)
            break
        chunks *= 2
    chunks = ceil(inputs / chunk)
    if chunks * outputs * steps * slots > max(1 << 16, SPARE * len(rows)):
        raise Unfit(f"{chunks} x {outputs} x {steps * slots} slots for {len(rows)} connections")
    return chunk, chunks, steps


def _sets(kernel: str, chunks: int, steps: int) -> int:
    """Return how many outputs a warp has at a time: few registers, and few loads of the inputs."""
    if kernel == "weights_mma":
        return 4 if steps == 1 else max(1, 16 // steps)
    if kernel == "weights_lanes":
        return max(1, 8 // steps)
    if chunks == 1:
        return 2 if steps == 1 else 1
    return max(1, min(16 if kernel == "rows_mma" else 8, 32 // steps))
