"""Lays all weights in a row, one for each dtype, and cuts the row: slice r of ceil(size / n).

    units      |    0.weight  0.bias    |      2.weight   2.bias      |  4.weight ...
    slices     |  of worker 0   |  of worker 1   |  of worker 2   | ...

What a unit and a slice have in common are parts of parameters: `parts(rank, unit)`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch

Flats = dict[str, torch.Tensor]  # by name, each in a row; or by dtype, as what is sent


class Part(NamedTuple):
    """The numbers begin to end of a parameter, as they lie in memory."""

    name: str
    begin: int
    end: int


class Layout:
    """Where each parameter lies, and who owns which part of it.

    Args:
        params: The trainable parameters of one worker, by name.
        units: Names, in the order in which units are computed; each name once.
        workers: How many slices there are.
    """

    def __init__(
        self, params: Mapping[str, torch.Tensor], units: Sequence[Sequence[str]], workers: int
    ):
        self.units, self.workers = [tuple(unit) for unit in units], workers
        self.names = [name for unit in self.units for name in unit]
        self.sizes = {name: params[name].numel() for name in self.names}
        self.dtypes = {name: params[name].dtype for name in self.names}
        self.totals: dict[torch.dtype, int] = {}
        self.places: dict[str, int] = {}
        for name in self.names:
            self.places[name] = self.totals.get(self.dtypes[name], 0)
            self.totals[self.dtypes[name]] = self.places[name] + self.sizes[name]
        self.known: dict[tuple[int, int], list[Part]] = {}

    def parts(self, rank: int, unit: int) -> list[Part]:
        """Return what a worker owns of a unit."""
        if (rank, unit) not in self.known:
            found = (self._part(rank, name) for name in self.units[unit])
            self.known[rank, unit] = [part for part in found if part.begin < part.end]
        return self.known[rank, unit]

    def own(self, rank: int) -> list[Part]:
        """Return all that a worker owns."""
        return [part for k in range(len(self.units)) for part in self.parts(rank, k)]

    def _part(self, rank: int, name: str) -> Part:
        width = math.ceil(self.totals[self.dtypes[name]] / self.workers)
        size, place = self.sizes[name], self.places[name]
        begin, end = (min(max(edge * width - place, 0), size) for edge in (rank, rank + 1))
        return Part(name, begin, end)

    def joined(self, parts: Iterable[Part], values: Flats) -> Flats:
        """Return these parts of flat parameters, in one tensor for each dtype."""
        return self.grouped((part, values[part.name][part.begin : part.end]) for part in parts)

    def grouped(self, pairs: Iterable[tuple[Part, torch.Tensor]]) -> Flats:
        """Return these values of parts, in one tensor for each dtype."""
        groups: dict[torch.dtype, list[torch.Tensor]] = {}
        for part, value in pairs:
            groups.setdefault(self.dtypes[part.name], []).append(value)
        return {str(dtype): torch.cat(found) for dtype, found in groups.items()}

    def empty(self, parts: Iterable[Part], device: torch.device) -> Flats:
        """Return room for what `joined` makes of these parts."""
        sizes: dict[torch.dtype, int] = {}
        for name, begin, end in parts:
            sizes[self.dtypes[name]] = sizes.get(self.dtypes[name], 0) + end - begin
        return {str(t): torch.empty(n, dtype=t, device=device) for t, n in sizes.items()}

    def split(self, parts: Iterable[Part], joined: Flats) -> list[tuple[Part, torch.Tensor]]:
        """Return each part with its view of what was joined: the inverse."""
        found, ends = [], dict.fromkeys(joined, 0)
        for part in parts:
            key = str(self.dtypes[part.name])
            begin, ends[key] = ends[key], ends[key] + part.end - part.begin
            found.append((part, joined[key][begin : ends[key]]))
        return found


def flat(tensor: torch.Tensor) -> torch.Tensor:
    """Return a view of a tensor without gaps, in a row, in the order of its memory."""
    if tensor.is_contiguous():
        return tensor.view(-1)
    return tensor.as_strided((tensor.numel(),), (1,))
