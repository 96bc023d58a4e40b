"""A level as data: the masks of all seeds, where they start, and what became of them.

Every tensor has a leading axis of seeds. A level is written to a file and read back bit for bit, so
that the next one can be made of it in another process, on another day.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from compress.pruning.layers import found
from compress.pruning.masks import Masks, parameters, zero
from harness.names import kind_of, unknown
from harness.record.checkpoint import load_checkpoint, save_checkpoint
from harness.record.weights import load_state

FORMAT = "iddl level 1"
Tensors = dict[str, torch.Tensor]


@dataclass
class Level:
    """One level of iterative magnitude pruning, of several seeds side by side.

    Attributes:
        masks: Which weights stay, by name; the output layer last.
        start: What training starts from, by name: all that the state of a net holds.
        seeds: Of the order in which each member sees the data.
        number: How many rounds of pruning are behind it.
        step: The iteration at which training starts (0 but where it was rewound to another).
        branch: How it came from the level before (compress.tickets.branches).
        weights: What training ended with; empty before it. They have an axis of seeds: what is to
            be packed or frozen is the net of one, level.into(net, seed).
        snapshots: What the dense nets held after some iterations, for rewinding.
    """

    masks: Tensors = field(repr=False)
    start: Tensors = field(repr=False)
    seeds: list[int]
    number: int = 0
    step: int = 0
    branch: str = "dense"
    weights: Tensors = field(default_factory=dict, repr=False)
    snapshots: dict[int, Tensors] = field(default_factory=dict, repr=False)

    @property
    def counts(self) -> dict[str, int]:
        """How many weights of each layer are left in the first member.

        Other members keep as many; only where layers compete, not in each layer.
        """
        return {name: int(mask[0].sum()) for name, mask in self.masks.items()}

    @property
    def sizes(self) -> dict[str, int]:
        """How many weights each layer has."""
        return {name: mask[0].numel() for name, mask in self.masks.items()}

    @property
    def remaining(self) -> float:
        """The share of all weights that is left."""
        return sum(self.counts.values()) / sum(self.sizes.values())

    def masks_of(self, seed: int) -> Masks:
        """Return the masks of the net of one seed, as freeze and Masked take them.

        Raises:
            ValueError: the level has no such seed.
        """
        return Masks({name: mask[self._place(seed)] for name, mask in self.masks.items()})

    def into(self, net: nn.Module, seed: int) -> nn.Module:
        """Give a net the weights of one seed, masked: trained ones, or before that the start.

        Raises:
            ValueError: the level has no such seed, or is of another net, which is as it was.
        """
        place = self._place(seed)
        state = {name: x[place] for name, x in (self.weights or self.start).items()}
        load_state(net, state, f"seed {seed} of level {self.number}")
        masks = self.masks_of(seed)
        zero(parameters(net, masks), masks)
        return net

    def _place(self, seed: int) -> int:
        if seed not in self.seeds:
            raise unknown("seed of the level", seed, map(str, self.seeds))
        return self.seeds.index(seed)

    def save(self, path: str | Path) -> None:
        """Write it to a file, as a whole or not at all."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        save_checkpoint(Path(path), {"format": FORMAT, **values})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: no such file.
            ValueError: a damaged file, or one that holds no level.
        """
        state = load_checkpoint(Path(path))
        if state is None:
            raise FileNotFoundError(f"no level at {path}: level.save({str(path)!r}) writes one")
        if not isinstance(state, dict) or state.pop("format", None) != FORMAT:
            raise ValueError(f"{path} holds no level (no format {FORMAT!r}): made by level.save?")
        return cls(**state)


def dense(nets: Sequence[nn.Module], seeds: Sequence[int]) -> Level:
    """Return level 0: all weights of these nets, which differ by their start.

    Raises:
        ValueError: no nets, another count of seeds, nets of different shapes, or weights that
            cannot be pruned.
    """
    for what, given in (("nets", nets), ("seeds", seeds)):
        if isinstance(given, nn.Module) or not isinstance(given, Iterable):
            raise ValueError(f"{what} is a list, one for each member, got {kind_of(given)}")
    nets, seeds = list(nets), list(seeds)
    if not nets or len(nets) != len(seeds):
        raise ValueError(f"each net has a seed: {len(nets)} nets and {len(seeds)} seeds")
    names = list(found(nets[0]))
    start = joined([net.state_dict() for net in nets])
    return Level({n: torch.ones_like(start[n], dtype=torch.bool) for n in names}, start, seeds)


def joined(states: Sequence[dict[str, Any]]) -> Tensors:
    """Return the states of equal nets with a leading axis."""
    shapes = [{n: tuple(v.shape) for n, v in state.items()} for state in states]
    for number, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise ValueError(f"net {number} has other weights than net 0: they differ by values")
    return {n: torch.stack([s[n].detach().clone() for s in states]) for n in states[0]}
