"""Convolutions whose channels are connected in tiles beside dense ones: what do tensor cores gain?

A line has the channels, height (and width) of the images, window, stride, side of the tiles, type,
order of the axes in memory, whether there is a backward pass, and milliseconds by events as CUDA
graphs of nn.Conv2d, of the layer's dense path and of its kernel. They are the convolutions of a
ResNet-18 for images of 32 x 32, and wider ones, in batches of 128; `terms` is how many channels
each one reads. Float32 is float32: TF32 is off for both.
"""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import nn

from benchmarks.gpu.layers import DTYPES, replayed
from benchmarks.gpu.twins import exact_sums
from bibd import SparseConv2d

BATCH = 128
# Channels, height, window, stride, sides of tiles: what costs most comes first.
SHAPES = (
    (64, 32, 3, 1, (16,)),
    (256, 8, 3, 1, (16, 64)),
    (512, 4, 3, 1, (32, 64, 128)),
    (128, 16, 3, 1, (16, 32)),
    (1024, 8, 3, 1, (64, 128)),
    (1024, 8, 1, 1, (64, 128)),
    (256, 8, 3, 2, (64,)),
    (512, 32, 3, 1, (64,)),
)
ORDERS = {"first": torch.contiguous_format, "last": torch.channels_last}


def checks(device: str, small: bool) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    """One line for each shape, tile, type, order and pass; small: what a processor does soon."""
    exact_sums()
    shapes = ((48, 4, 3, 1, (16,)),) if small else SHAPES
    found = []
    for channels, high, window, stride, sides in shapes:
        for side, dtype, order, train in product(sides, DTYPES, ORDERS, (True, False)):
            shape = channels, high, window, stride, side
            name = f"{channels} channels, {high} x {high}, {window} x {window}/{stride}, tiles of "
            name += f"{side}, {dtype}, channels {order}{', training' * train}"
            batch = 2 if small else BATCH
            found.append((name, partial(case, shape, batch, dtype, order, train, device)))
    return found


def case(
    shape: tuple[int, ...], batch: int, dtype: str, order: str, train: bool, device: str
) -> dict[str, Any]:
    """One layer beside nn.Conv2d."""
    channels, high, window, stride, side = shape
    made: Any = dict(device=device, dtype=DTYPES[dtype])
    sizes = channels, channels, window, stride, window // 2
    layer = SparseConv2d(*sizes, bias=False, pattern=f"tiled-{side}", seed=0, **made)
    dense = nn.Conv2d(*sizes, bias=False, **made).to(memory_format=ORDERS[order])  # pyright: ignore
    x = torch.randn(batch, channels, high, high, **made).to(memory_format=ORDERS[order])
    x.requires_grad_(train)
    ways = ["dense", "triton"] if device == "cuda" else ["dense"]
    with torch.set_grad_enabled(train):
        again = dict(replayed(layer, ways, dense, x, train, "nn.Conv2d"))
    named = dict(zip(("channels", "high", "window", "stride", "tile"), shape, strict=True))
    named |= {"batch": batch, "dtype": dtype, "order": order, "train": train}
    terms = round(layer.pattern.nonzeros / channels, 1)
    gain = round(again["nn.Conv2d"] / again["triton"], 3) if "triton" in again else None
    return named | {"terms": terms, "replayed": again, "gain": gain}
