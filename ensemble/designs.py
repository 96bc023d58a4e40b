"""Makes sparse members of a net: each with a design of its own, all with one, or at random.

    made = designed(factory, 9, designs="different", pattern="bibd", skip=("4",))
    Ensemble(made.nets)
    print(made)                9 members, 15,264 connections each (9 designs of bibd ...)

A design of its own is the pattern with points and blocks in another order; random members have
other connections altogether, as many as are asked for.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import nn

import bibd
from bibd.advice import UnreadInputs
from bibd.layer import SparseLayer
from bibd.pattern import check_whole
from harness.names import check
from harness.seeding import derive, seeded

DESIGNS = ("different", "one", "random")


class Designed(NamedTuple):
    """The members, how many connections each has in its sparse layers, and how many were wanted."""

    nets: list[nn.Module]
    connections: list[int]
    designs: str
    pattern: str
    wanted: int | None = None

    @property
    def overlap(self) -> float:
        """The share of connections that two members have in common, in the mean over pairs."""
        tables = [_tables(net) for net in self.nets]
        pairs = [(a, b) for i, a in enumerate(tables) for b in tables[:i]]
        shared = [len(np.intersect1d(a, b)) / max(1, min(len(a), len(b))) for a, b in pairs]
        return float(np.mean(shared)) if pairs else 1.0

    def __str__(self):
        least, most = min(self.connections), max(self.connections)
        each = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        wanted = "" if self.wanted is None else f", {self.wanted:,} wanted"
        kinds = {"different": "a design each", "one": "one design", "random": "random connections"}
        return (
            f"{len(self.nets)} members, {each} connections each{wanted} ({kinds[self.designs]}, "
            f"pattern {self.pattern}; two share {self.overlap:.1%})"
        )


def designed(
    factory: Callable[[], nn.Module],
    count: int,
    designs: str = "different",
    pattern: str = "bibd",
    connections: int | None = None,
    skip: Sequence[str] | str = (),
    seed: int = 0,
) -> Designed:
    """Make members whose Linear and Conv2d layers are sparse.

    Args:
        factory: Makes a dense net, whose layers bibd.sparsify swaps.
        count: How many members.
        designs: "different": each member has the pattern in an order of its own; "one": all have
            the order of the first; "random": connections are drawn anew for each.
        pattern: A name of bibd.families; for random ones one that draws, else "random" is taken.
        connections: For random ones how many in all sparse layers, shared out in the proportion of
            what the layers would have; only where these are Linear. What was reached is said.
        skip: Layers that stay dense, as in bibd.sparsify.
        seed: Of the first weights, stream ("init", m), and of the designs, ("design", m).

    Raises:
        ValueError: an unknown name, a count or connections that cannot be, no layer to be swapped.
    """
    check("designs", designs, DESIGNS)
    check_whole("count", count, 1)
    if designs == "random" and not pattern.startswith("random"):
        pattern = "random"
    if connections is not None and designs != "random":
        raise ValueError(
            f"designs={designs!r} have the connections that their sizes have; connections= is for "
            'designs="random"'
        )
    nets = []
    for member in range(count):
        number = derive(seed, "design", 0 if designs == "one" else member) % 2**31
        with seeded(seed, "init", member), warnings.catch_warnings():
            warnings.simplefilter("ignore", UnreadInputs)
            net = factory()
            bibd.sparsify(net, pattern, skip, seed=number)
            if connections is not None:
                _resize(net, pattern, connections, number)
        nets.append(net)
    found = [sum(m.pattern.nonzeros for m in _sparse(net)) for net in nets]
    if not all(found):
        raise ValueError("no layer of the net was swapped for a sparse one: see skip")
    return Designed(nets, found, designs, pattern, connections)


def _sparse(net: nn.Module) -> list[SparseLayer]:
    return [m for m in net.modules() if isinstance(m, SparseLayer)]


def _tables(net: nn.Module) -> np.ndarray:
    """Return the places of all connections of a net, of each layer behind those before it."""
    places, start = [], 0
    for layer in _sparse(net):
        places.append(start + layer.pattern.flat)
        start += layer.pattern.in_features * layer.pattern.out_features
    return np.concatenate(places)


def _resize(net: nn.Module, pattern: str, connections: int, seed: int) -> None:
    """Draw the sparse layers anew, with so many connections in all."""
    names = {name: m for name, m in net.named_modules() if isinstance(m, SparseLayer)}
    if any(not isinstance(m, bibd.SparseLinear) for m in names.values()):
        raise ValueError("connections= is for nets whose sparse layers are Linear; skip the others")
    shares = _shared([m.pattern for m in names.values()], connections)
    for number, ((name, old), nonzeros) in enumerate(zip(names.items(), shares, strict=True)):
        parent, _, child = name.rpartition(".")
        table = bibd.make_pattern(pattern, *old.pattern.shape, seed + number, nonzeros)
        new = bibd.SparseLinear(*table.shape, table, old.bias is not None)
        setattr(net.get_submodule(parent), child, new.to(old.weight))


def _shared(patterns: Sequence[Any], connections: int) -> list[int]:
    """Share out connections, none beyond a full layer; the rounding goes to the largest layer."""
    full = [p.in_features * p.out_features for p in patterns]
    if not len(patterns) <= connections <= sum(full):
        raise ValueError(
            f"connections must be in [{len(patterns)}, {sum(full)}] for these layers, got "
            f"{connections}"
        )
    total = sum(p.nonzeros for p in patterns)
    shares = [
        max(1, min(size, round(connections * p.nonzeros / total)))
        for p, size in zip(patterns, full, strict=True)
    ]
    for k in sorted(range(len(full)), key=lambda k: -full[k]):
        rest = connections - sum(shares)
        shares[k] = max(1, min(full[k], shares[k] + rest))
    return shares
