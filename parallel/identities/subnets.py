"""Computes the identities of independent subnets alone."""

import itertools
from typing import Any

import torch

from parallel.identities.averaging import SEED, WORKERS, Maker, apart, training
from parallel.strategy.base import random
from parallel.subnets.cutting import partition
from parallel.subnets.slices import pieces


def dealt(maker: Maker) -> float:
    """Compare the net to itself after slices went out and back, with nothing learned between."""
    master: Any = training(maker()).executor.states
    out = [pieces(master.values, master.chain, own) for own in master.parts]
    return apart(master.values, master.merge(out, [1.0] * WORKERS))


def disjoint() -> float:
    """Count the neurons without exactly one owner, for many widths and numbers of workers."""
    wrong = 0
    for width, workers in itertools.product((5, 6, 17, 64), (1, 2, 3, 5)):
        parts = partition([width, width + 1], workers, random(SEED, width))
        for layer, n in enumerate((width, width + 1)):
            owned = torch.cat([own[layer] for own in parts])
            wrong += len(owned) != n or owned.unique().numel() != n
    return wrong


def blocks(maker: Maker) -> float:
    """Count numbers of the middle matrix that moved as nobody's, or stayed as somebody's.

    With weight decay, everything that is trained moves.
    """
    strategy: Any = maker()
    found = training(strategy)
    master: Any = found.executor.states
    before = master.values["2.weight"].clone()
    for _ in range(strategy.period):
        found.step()
    parts = partition([6, 6], WORKERS, random(SEED, 1))
    mask = torch.zeros(6, 6, dtype=torch.bool)
    for own in parts:
        mask[own[1].unsqueeze(1), own[0]] = True
    moved = master.values["2.weight"] != before
    return float((moved != mask).sum())
