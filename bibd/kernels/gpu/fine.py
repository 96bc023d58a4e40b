"""Products over single connections on a card, by the kernels of fine.cu.

    y = x W^T       rows, by the table of outputs        batch x outputs
    dx = g W        rows, by the table of inputs         batch x inputs
    dv = g^T x      weights, at the connections          summed over the batch in a fixed order

Values come in the order of the layer; `place` says where a kernel wants them. Slots without a
connection are multiplied by zero, so that a NaN may reach outputs that do not read it.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from bibd.kernels.gpu import card
from bibd.kernels.gpu import compile as compiling
from bibd.kernels.gpu.fit import Unfit, fitted
from bibd.kernels.gpu.forms import Form, grid, laid_out, slots

TYPES = torch.bfloat16, torch.float32
ALIGNED = 8  # bytes: two float32 are read at a time


class Side(NamedTuple):
    """A form, and its table on the card."""

    form: Form
    kernel: compiling.Kernel
    table: torch.Tensor
    place: torch.Tensor  # of each slot among the values, or of each value among the slots
    high: int  # width of the result


class Connections:
    """The connections of a layer (or of several members), and the tables made of them so far."""

    def __init__(self, flat: np.ndarray, inputs: int, outputs: int, groups: int = 1):
        self.inputs, self.outputs, self.flat = inputs, outputs, flat
        self.sides: dict[tuple, Side | str] = {}
        self.captured = False  # by a CUDA graph

    def rows(self, x: torch.Tensor, values: torch.Tensor, back: bool, member: int = 0):
        """Map (batch, in) to (batch, out), or the other way."""
        side = self.side("rows", back, x.dtype, x.device, member)
        x, high = _readable(x), side.high + side.high % 2
        y = x.new_empty(len(x), high)
        weights = F.pad(values, (0, 1)).index_select(0, side.place)
        blocks, rounds = grid(side.form, len(x), high, card.card(x.device).units)
        side.kernel(blocks, x, weights, side.table, y, *x.shape, high, rounds)
        return y if high == side.high else y[:, : side.high].contiguous()

    def weights(self, g: torch.Tensor, x: torch.Tensor, member: int = 0):
        """Return the gradient of the values from (batch, out) and (batch, in)."""
        side = self.side("weights", False, x.dtype, x.device, member)
        x, g = _readable(x), g.contiguous()
        blocks, tiles = grid(side.form, len(x), g.shape[1], card.card(x.device).units)
        size = blocks[0], side.table.numel()  # (a number for each slot)
        parts = torch.empty(size, dtype=torch.float32, device=x.device)
        side.kernel(blocks, x, g, side.table, parts, *x.shape, g.shape[1], tiles)
        whole = parts[0] if len(parts) == 1 else parts.sum(0)
        return whole.index_select(0, side.place).to(x.dtype)

    def side(self, product: str, back: bool, dtype, device, member: int = 0) -> Side:
        """Return the table of a product, made once.

        Raises:
            Unfit: no form takes it.
        """
        key = product, back, dtype, device, member % len(self.flat)
        if key not in self.sides:
            try:
                with torch.inference_mode(False):
                    self.sides[key] = self._made(*key)
            except Unfit as why:
                self.sides[key] = str(why)
        found = self.sides[key]
        if isinstance(found, str):  # (an error raised twice holds the tensors of both calls)
            raise Unfit(found)
        return found

    def _made(self, product: str, back: bool, dtype, device, member: int) -> Side:
        card.refuse_capture()
        (rows, cols), sizes = np.divmod(self.flat[member], self.inputs), self._sizes(back)
        if back:
            rows, cols = cols, rows
        even = sizes[0] + sizes[0] % 2
        about = card.card(device)
        form = fitted(product, dtype is torch.bfloat16, rows, cols, (even, sizes[1]), about)
        kernel = compiling.compiled(form, device.index)
        table, place = laid_out(form, *slots(rows, cols, sizes[1], form))
        table, place = np.ascontiguousarray(table).view(np.int16), place.ravel()
        if product == "weights":
            order = np.argsort(place, kind="stable")
            place = order[: len(rows)]  # (empty slots have the largest number)
        on = lambda a: torch.from_numpy(np.array(a)).to(device)  # noqa: E731
        return Side(form, kernel, on(table), on(place.astype(np.int32)), sizes[1])

    def _sizes(self, back: bool) -> tuple[int, int]:
        return (self.outputs, self.inputs) if back else (self.inputs, self.outputs)


def _readable(x: torch.Tensor) -> torch.Tensor:
    """Return rows of even length that begin where two numbers at a time may be read."""
    x = F.pad(x, (0, 1)) if x.shape[1] % 2 else x.contiguous()
    return x.clone() if x.data_ptr() % ALIGNED else x
