"""Forms of the kernels in fine.cu: how a pattern is laid out for one, and how it is started.

The order of an output's terms is free. Input r lies in banks that r mod 8 says, so the tables give
slot t of output o an input of residue (t + o) mod 8 as long as there are some: eight slots of an
output, and one slot of eight outputs, are read without two rows in one bank.
"""

from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np

RESIDUES, SM = 8, 132  # (132: the multiprocessors of an H100)


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
    edges: int = 0

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
        names = "s warps sets chunk chunks steps blocks wide mode part edges"
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

    With `edges` the last group is filled up with outputs that have no connection.

    Returns:
        Inputs counted from their chunk, and places among the connections (or their number, where a
        slot is empty), both (chunks, outputs, slots).
    """
    outputs += -outputs % form.group if form.edges else 0
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


def grid(form: Form, batch: int, outputs: int, units: int = SM) -> tuple[tuple[int, int, int], int]:
    """Blocks, and the last argument: rounds of a block, or tiles for gradients of weights."""
    tiles, groups = ceil(batch / form.samples), ceil(outputs / form.group)
    room = units * form.blocks
    if form.kernel.startswith("weights"):
        each = ceil(tiles / max(1, room // (groups * form.chunks)))
        return (ceil(tiles / each), groups, form.chunks), each
    if form.chunks > 1:
        return (tiles, groups, 1), 1
    fit = [d for d in range(1, groups + 1) if groups % d == 0 and tiles * groups // d >= 0.9 * room]
    rounds = max(fit, default=1)
    return (tiles, groups // rounds, 1), rounds


def predicted(form: Form, batch: int, nonzeros: int, clock: float = 1.75e9) -> float:
    """Milliseconds in which shared memory gives what is gathered: 128 bytes a clock and unit."""
    each = 4 if form.wide else 2
    return 1e3 * nonzeros * batch * each / (SM * 128 * clock)
