"""Products on a card behind the operators of linear_ops: kernels, or dense where none takes them.

    tile 0       single connections: fine.cu
    tile 16 ...  dense tiles of that side: Triton

Members of a stack are multiplied one after the other. Nothing here waits for the card, and what is
made comes from torch's allocator, so that CUDA graphs can hold it; tables are made when a layer
first needs them.
"""

import torch

from bibd.kernels.dense import dense_weight
from bibd.kernels.gpu import card
from bibd.kernels.gpu.compile import notice
from bibd.kernels.gpu.fine import TYPES, Connections
from bibd.kernels.gpu.fit import Unfit
from bibd.kernels.gpu.tiles import Tiles, keeper, refuse_side
from bibd.kernels.library import given

Sizes = tuple[int, int]


def found(flat: torch.Tensor, sizes: Sizes, tile: int) -> Connections | Tiles:
    """Return what multiplies by connections (tables, n), with the tables made of them so far.

    Raises:
        Unfit: they are no tiles of that side.
    """
    if tile:
        refuse_side(tile)
    by = given(flat, *sizes, kind=keeper(tile) if tile else Connections)
    if card.capturing():  # (replays read its tables, also after other connections came)
        by.captured = True
    return by


def multiply(x: torch.Tensor, values: torch.Tensor, flat, sizes: Sizes, back: bool, tile: int):
    """Map (members, batch, in) to (members, batch, out), or the other way."""
    if len(x[0]):
        try:
            return rows(x, values, flat, sizes, back, tile)
        except Unfit as why:
            notice(str(why))
    weight = dense_weight(values, _each(flat, values), sizes[::-1], (len(values),))
    return torch.bmm(x, weight if back else weight.mT)


def sample(g: torch.Tensor, x: torch.Tensor, flat, sizes: Sizes, tile: int):
    """Return the values' gradient (members, n) from (members, batch, out) and (..., in)."""
    if len(x[0]):
        try:
            return weights(g, x, flat, sizes, tile)
        except Unfit as why:
            notice(str(why))
    return torch.bmm(g.mT, x).flatten(1).gather(1, _each(flat, g))


def rows(x: torch.Tensor, values: torch.Tensor, flat, sizes: Sizes, back: bool, tile: int):
    """As multiply, by a kernel.

    Raises:
        Unfit: there is none for this.
    """
    known(x.dtype)
    with card.current(x):
        by = found(flat, sizes, tile)
        return _beside([by.rows(x[m], values[m], back, m) for m in range(len(x))])


def weights(g: torch.Tensor, x: torch.Tensor, flat, sizes: Sizes, tile: int):
    """As sample, by a kernel.

    Raises:
        Unfit: there is none for this.
    """
    known(x.dtype)
    with card.current(x):
        by = found(flat, sizes, tile)
        return _beside([by.weights(g[m], x[m], m) for m in range(len(x))])


def known(dtype: torch.dtype) -> None:
    """Refuse a type for which there is no kernel.

    Raises:
        Unfit: with the types that there are.
    """
    if dtype not in TYPES:
        raise Unfit(f"there are kernels for bfloat16 and float32, not for {dtype}")


def _each(flat: torch.Tensor, members: torch.Tensor) -> torch.Tensor:
    return flat.repeat(len(members) // len(flat), 1)


def _beside(parts: list[torch.Tensor]) -> torch.Tensor:
    return parts[0].unsqueeze(0) if len(parts) == 1 else torch.stack(parts)
