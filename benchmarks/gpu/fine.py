"""Kernels of fine.cu: how a pattern is laid out for one, how one is compiled and started.

The order of an output's terms is free. Input r lies in banks that r mod 8 says, so the tables give
slot t of output o an input of residue (t + o) mod 8 as long as there are some: eight slots of an
output, and one slot of eight outputs, are read without two rows in one bank.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

RESIDUES, SM = 8, 132


@dataclass(frozen=True)
class Form:
    """A kernel and what its #defines say; see fine.cu."""

    kernel: str
    s: int
    warps: int
    sets: int
    chunk: int
    chunks: int
    steps: int
    blocks: int = 1
    wide: int = 0
    mode: int = 0
    part: int = 0

    @property
    def mma(self) -> bool:
        """On tensor cores."""
        return self.kernel.endswith("mma")

    @property
    def outs(self) -> int:
        """Outputs of one set of a warp."""
        return 8 if self.mma else 32 // self.s

    @property
    def group(self) -> int:
        """Outputs of a block at a time."""
        return self.warps * self.sets * self.outs

    @property
    def samples(self) -> int:
        """Samples of a tile."""
        return (4 if self.wide else 8) * self.s

    @property
    def shared(self) -> int:
        """Bytes of shared memory."""
        return 16 * self.s * self.chunk

    @property
    def width(self) -> int:
        """Slots of an output in each chunk."""
        return self.steps * (16 if self.mma else 8)

    def source(self) -> str:
        """The file with its #defines."""
        names = "s warps sets chunk chunks steps blocks wide mode part"
        lines = [f"#define {name.upper()} {getattr(self, name)}" for name in names.split()]
        text = Path(__file__).with_name("fine.cu").read_text()
        return "\n".join([f"#define KERNEL_{self.kernel}", *lines, text])

    def said(self) -> str:
        """In a line of the record."""
        words = f"{self.kernel} {self.samples} samples, {self.warps} warps x {self.sets} sets"
        words += f", {self.chunks} x {self.chunk} inputs"
        more = {"mode": self.mode, "part": self.part, "blocks": self.blocks * (self.blocks > 1)}
        return words + "".join(f", {k} {v}" for k, v in more.items() if v)


def slots(rows: np.ndarray, cols: np.ndarray, outputs: int, form: Form, sort: bool = True):
    """Deal connections to slots.

    Returns:
        Inputs counted from their chunk, and places among the connections (or their number, where a
        slot is empty), both (chunks, outputs, slots).
    """
    chunk, local = np.divmod(cols.astype(np.int64), form.chunk)
    line = chunk * outputs + rows
    if sort:
        residue = local % RESIDUES
        rank = within(line * RESIDUES + residue, np.lexsort((local, line * RESIDUES + residue)))
        turn = rank * RESIDUES + (residue - rows) % RESIDUES
        order = np.argsort(line * (turn.max() + 1) + turn, kind="stable")
    else:
        order = np.argsort(line, kind="stable")
    slot = within(line, order)
    if slot.max() >= form.width or chunk.max() >= form.chunks:
        raise ValueError(f"{slot.max() + 1} slots are needed, {form.said()} has {form.width}")
    at = np.zeros((form.chunks * outputs, form.width), np.int64)
    place = np.full(at.shape, len(rows))
    at[line, slot], place[line, slot] = local, np.arange(len(rows))
    shape = form.chunks, outputs, form.width
    return at.reshape(shape), place.reshape(shape)


def within(keys: np.ndarray, order: np.ndarray) -> np.ndarray:
    """The how-manieth of its key each one is, in an order that sorts the keys."""
    sorted_keys = keys[order]
    first = np.flatnonzero(np.r_[True, sorted_keys[1:] != sorted_keys[:-1]])
    counts = np.diff(np.r_[first, len(keys)])
    found = np.empty(len(keys), np.int64)
    found[order] = np.arange(len(keys)) - np.repeat(first, counts)
    return found


def entries(at: np.ndarray, s: int) -> np.ndarray:
    """ENTRY of fine.cu."""
    return s * at + at // (8 // s) % s


def laid_out(form: Form, at: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The table as uint16, and places in the order in which weights are read."""
    outputs = at.shape[1]
    if outputs % form.group:
        raise ValueError(f"{outputs} outputs are not full groups of {form.group}")
    shape = form.chunks, outputs // form.group, form.warps, form.sets, form.outs, form.steps
    at = entries(at, form.s).astype(np.uint16)
    if not form.mma:
        to = (1, 0, 2, 3, 5, 4, 6)
        return (at.reshape(*shape, 8).transpose(to), place.reshape(*shape, 8).transpose(to))
    table = at.reshape(*shape, 16).transpose(1, 0, 2, 3, 5, 6, 4)
    return table, place.reshape(*shape, 2, 4, 2).transpose(1, 0, 2, 3, 5, 4, 7, 6, 8)


def grid(form: Form, batch: int, outputs: int) -> tuple[tuple[int, int, int], int]:
    """Blocks, and the last argument: rounds of a block, or tiles for gradients of weights."""
    tiles, groups, room = ceil(batch / form.samples), outputs // form.group, SM * form.blocks
    if form.kernel.startswith("weights"):
        most = max(1, room // (groups * form.chunks))
        splits = max(d for d in range(1, tiles + 1) if tiles % d == 0 and d <= most)
        return (splits, groups, form.chunks), tiles // splits
    if form.chunks > 1:
        return (tiles, groups, 1), 1
    fit = [d for d in range(1, groups + 1) if groups % d == 0 and tiles * groups // d >= 0.9 * room]
    rounds = max(fit, default=1)
    return (tiles, groups // rounds, 1), rounds


def predicted(form: Form, batch: int, nonzeros: int, clock: float = 1.75e9) -> float:
    """Milliseconds in which shared memory gives what is gathered: 128 bytes a clock and unit."""
    each = 4 if form.wide else 2
    return 1e3 * nonzeros * batch * each / (SM * 128 * clock)


@cache
def compiled(form: Form) -> Callable[..., Any]:
    """A function of grid and arguments.

    Raises:
        RuntimeError: neither torch nor CuPy compiles it; with what they said.
    """
    said = []
    for way in (by_torch, by_cupy):
        try:
            return way(form)
        except Exception as error:
            said.append(f"{way.__name__}: {type(error).__name__}: {error}")
    raise RuntimeError(" | ".join(said)[:1500])


def by_torch(form: Form) -> Callable[..., Any]:
    """Through torch's own NVRTC."""
    import torch

    kernel: Any = torch.cuda._compile_kernel(form.source(), form.kernel)
    kernel.set_shared_memory_config(form.shared)
    block = 32 * form.warps, 1, 1
    return lambda blocks, *args: kernel(blocks, block, list(args), form.shared)


def by_cupy(form: Form) -> Callable[..., Any]:
    """Through CuPy, on torch's stream."""
    import cupy  # pyright: ignore[reportMissingImports]
    import torch

    kernel = cupy.RawKernel(form.source(), form.kernel, options=("--std=c++17",))
    kernel.max_dynamic_shared_size_bytes = form.shared
    block = 32 * form.warps, 1, 1

    def call(blocks, *args):
        plain = [a.data_ptr() if isinstance(a, torch.Tensor) else np.int32(a) for a in args]
        with cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream):
            kernel(blocks, block, tuple(plain), shared_mem=form.shared)

    return call
