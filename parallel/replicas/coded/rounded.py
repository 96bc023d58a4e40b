"""Averages gradients that are sent in bfloat16, and added up in full.

    [1] each worker rounds its gradient, and sends every other one the slice that this one owns
    [2] the owner takes the weighted mean of the rounded slices, in float32 (or float64)
    [3] and sends it to all, rounded: also to itself, so that all have the same

Two roundings of a number, whatever the number of workers, to the nearest and to even in between.
(torch's bf16_compress_hook rounds once more before, to divide by n, and adds up in bfloat16: n - 1
further roundings, in an order that depends on the ring.)
"""

from collections.abc import Callable, Sequence
from functools import reduce

import torch

from parallel.replicas.coded.coder import Coder, flat, header
from parallel.world.codecs import Bfloat16
from parallel.world.comm import State, normal, refuse
from parallel.world.spread import NUMBERS, by_slices


class Rounded(Coder[Bfloat16]):
    """The coder of Bfloat16, which remembers nothing."""

    def mean(self, rows: State, counts: Sequence[float], finite: bool = True) -> State:
        """Return the mean, in the types that the gradients have."""
        coded = {k: v.to(torch.bfloat16) for k, v in flat(rows).items()}  # [1]
        if finite:
            refuse(coded, self.comm.ranks)
        if not coded:
            return {}
        exact = reduce(torch.promote_types, (v.dtype for v in rows.values()), torch.float32)
        sent = header(rows) | {NUMBERS: torch.cat(list(coded.values()), 1)}
        found = by_slices(self.comm, sent, adder(normal(counts), exact))  # [2], [3]
        each = found[NUMBERS].split([v.shape[1] for v in coded.values()])
        mean = {
            k: part.to(rows[k]).view(1, *rows[k].shape[1:])
            for k, part in zip(coded, each, strict=True)
        }
        return mean | {k: v.unsqueeze(0) for k, v in header(found).items()}


def adder(weights: Sequence[float], exact: torch.dtype) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what adds up the workers' rows by these weights, in a type, in their order."""

    def added(values: torch.Tensor) -> torch.Tensor:
        total = torch.zeros(values.shape[1:], dtype=exact, device=values.device)
        for weight, value in zip(weights, values, strict=True):
            total += value.to(exact) * weight  # (two operations: alike wherever a slice begins)
        return total.to(values.dtype)

    return added
