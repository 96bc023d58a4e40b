"""Which inputs each output of a layer reads: a table, in plain numpy.

Output r reads inputs indices[indptr[r]:indptr[r+1]]:

    outputs          inputs 0 1 2 3              indptr  = 0 2 4
       0                    x x . .              indices = 0 1 1 3
       1                    . x . x

`make_pattern` builds one by the name of a family (bibd.families) or from a Design.
"""

import difflib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bibd.certificate import LABELS, label
from bibd.design import Design
from bibd.families import COUNTED, FAMILIES, named, relabel

ALIASES = {"modular": "iddl"}  # records hold the second name


@dataclass(frozen=True, eq=False)
class Pattern:
    """The connections of one layer; `seed` None is the canonical order of its family.

    A layer in groups has the outputs of all groups, one group after the other, and in_features is
    the width of one: each group counts its own inputs from 0, as nn.Conv2d's weight does.
    """

    family: str
    in_features: int
    out_features: int
    indptr: np.ndarray
    indices: np.ndarray
    seed: int | None = None
    groups: int = 1
    counted: bool = False  # whether the number of connections was asked for

    def __post_init__(self):
        indptr, indices = np.array(self.indptr), np.array(self.indices)  # copies, to be frozen
        flat = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr)) * self.in_features + indices
        if (
            (len(indptr), indptr[0], indptr[-1]) != (self.out_features + 1, 0, len(indices))
            or (len(indices) and not 0 <= indices.min() <= indices.max() < self.in_features)
            or (np.diff(flat) <= 0).any()
        ):
            raise ValueError(
                "a pattern needs indptr from 0 to the number of connections, and for each output "
                f"ascending, distinct inputs below {self.in_features}"
            )
        self.__setstate__({"indptr": indptr, "indices": indices})

    def __setstate__(self, state):
        for name in ("indptr", "indices"):
            state[name].setflags(write=False)
        self.__dict__.update(state)

    def __deepcopy__(self, memo):
        return self  # nothing in it can change

    @property
    def shape(self) -> tuple[int, int]:
        """The pair (in_features, out_features), in the order in which layers take it."""
        return self.in_features, self.out_features

    @property
    def nonzeros(self) -> int:
        """The number of connections."""
        return len(self.indices)

    def design(self, group: int = 0) -> Design:
        """Return the table of one group as a design: inputs are points, outputs blocks."""
        size = self.out_features // self.groups
        indptr = self.indptr[group * size : (group + 1) * size + 1]
        indices = self.indices[indptr[0] : indptr[-1]]
        name = f"{self}, the modular rule" if self.family == "iddl" else str(self)
        return Design(name, self.in_features, indptr - indptr[0], indices)

    @cached_property
    def label(self) -> str:
        """What the table is, as computed: BIBD, packing or irregular; of groups the weakest."""
        if self.nonzeros == self.in_features * self.out_features:
            return "dense"
        found = {label(self.design(group)) for group in range(self.groups)}
        return next(name for name in LABELS[::-1] if name in found)

    @property
    def density(self) -> float:
        """The share of possible connections that there are."""
        return self.nonzeros / (self.in_features * self.out_features)

    @cached_property
    def fan_in(self) -> np.ndarray:
        """The number of connections of each output."""
        return np.diff(self.indptr)

    @cached_property
    def unread(self) -> int:
        """The number of inputs, in all groups, that no output reads."""
        group = np.repeat(np.arange(self.groups), self.out_features // self.groups)
        return self.in_features * self.groups - len(
            np.unique(np.repeat(group, self.fan_in) * self.in_features + self.indices)
        )

    @cached_property
    def rows(self) -> np.ndarray:
        """The output of each connection; `indices` has its input."""
        return np.repeat(np.arange(self.out_features), self.fan_in)

    @property
    def flat(self) -> np.ndarray:
        """The place of each connection in the row-major (out, in) weight."""
        return self.rows * self.in_features + self.indices

    def mask(self) -> np.ndarray:
        """Return the table as booleans (out, in)."""
        mask = np.zeros(self.out_features * self.in_features, dtype=bool)
        mask[self.flat] = True
        return mask.reshape(self.out_features, self.in_features)

    def digest(self) -> str:
        """Return a SHA-256 of the table, which layers share only if all connections agree."""
        sizes = [self.in_features, self.out_features, *[self.groups] * (self.groups > 1)]
        table = np.concatenate([sizes, self.indptr, self.indices])
        return hashlib.sha256(table.astype("<i8").tobytes()).hexdigest()

    def __str__(self):
        family = "grouped" if self.family == "block_diagonal" else self.family
        seed = "" if self.seed is None else f", seed={self.seed}"
        groups = "" if self.groups == 1 else f", groups={self.groups}"
        count = f", nonzeros={self.nonzeros}" if self.counted else ""
        return f"{family}({self.in_features}, {self.out_features}{groups}{count}{seed})"


def _from_flat(family: str, shape: tuple[int, int], flat: np.ndarray, seed: int | None) -> Pattern:
    v, b = shape
    rows, cols = np.divmod(flat, v)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=b))])
    return Pattern(family, v, b, indptr, cols, seed)


def diagonal(patterns: Sequence[Pattern]) -> Pattern:
    """Put several patterns of one size as blocks on the diagonal of one table."""
    v, b, n = patterns[0].in_features, patterns[0].out_features, len(patterns)
    starts = np.cumsum([0, *(p.nonzeros for p in patterns)])
    indptr = [p.indptr[:-1] + start for p, start in zip(patterns, starts, strict=False)]
    indices = [p.indices + i * v for i, p in enumerate(patterns)]
    return Pattern(
        "diagonal", n * v, n * b, np.concatenate([*indptr, starts[-1:]]), np.concatenate(indices)
    )


def beside(patterns: Sequence[Pattern]) -> Pattern:
    """Put several patterns over the same inputs into one table: outputs one after the other."""
    v, b, n = patterns[0].in_features, patterns[0].out_features, len(patterns)
    starts = np.cumsum([0, *(p.nonzeros for p in patterns)])
    indptr = [p.indptr[:-1] + start for p, start in zip(patterns, starts, strict=False)]
    indices = np.concatenate([p.indices for p in patterns])
    return Pattern("beside", v, n * b, np.concatenate([*indptr, starts[-1:]]), indices)


def make_pattern(
    family: str | Design,
    in_features: int,
    out_features: int,
    seed: int | None = None,
    nonzeros: int | None = None,
    groups: int = 1,
) -> Pattern:
    """Make the pattern of a layer of this size, which depends on the arguments alone.

    Args:
        family: Name of a family, or a Design with in_features points and out_features blocks.
        in_features: Inputs of the layer.
        out_features: Outputs of the layer.
        seed: None is the canonical order; a number permutes points and blocks, or seeds the draw.
        nonzeros: How many connections, for the families that let one choose; of all groups.
        groups: Separate parts of inputs and outputs, each with a pattern of its own.

    Raises:
        ValueError: unknown family, sizes or counts out of range.
    """
    sizes = {"in_features": in_features, "out_features": out_features, "groups": groups}
    for name, size in sizes.items():
        check_whole(name, size, 1)
    if seed is not None:
        check_whole("seed", seed, 0)
    if nonzeros is not None:
        check_whole("nonzeros", nonzeros, 1)
        if isinstance(family, Design):
            raise ValueError(f"{family} has a count of its own; nonzeros= is for families")
    if groups > 1:
        return _in_groups(family, int(in_features), int(out_features), seed, nonzeros, int(groups))
    v, b = int(in_features), int(out_features)
    if isinstance(family, Design):
        return _of_design(family, v, b, seed)
    check_family(family)
    family = ALIASES.get(family, family)
    makes = named(family)
    assert makes is not None
    if nonzeros is None:
        return _from_flat(family, (v, b), makes(v, b, seed), seed)
    if family not in COUNTED:
        raise ValueError(
            f"pattern {family} has a count of its own; nonzeros= is for {', '.join(COUNTED)}"
        )
    if nonzeros > v * b:
        raise ValueError(f"nonzeros must be in [1, {v * b}] for a layer ({v}, {b}), got {nonzeros}")
    flat = makes(v, b, seed, nonzeros)
    return replace(_from_flat(family, (v, b), flat, seed), counted=True)


def _in_groups(family, v: int, b: int, seed: int | None, nonzeros, groups: int) -> Pattern:
    if v % groups or b % groups:
        raise ValueError(
            f"groups={groups} must divide inputs and outputs, got {v} and {b}"
            + ("; there are more groups than channels" if groups > min(v, b) else "")
        )
    if nonzeros is not None and nonzeros % groups:
        raise ValueError(f"nonzeros={nonzeros} must be as many for each of {groups} groups")
    each = None if nonzeros is None else nonzeros // groups
    drawn = seed is not None or str(family).startswith("random")
    parts = [
        make_pattern(family, v // groups, b // groups, group_seed(seed, g) if drawn else None, each)
        for g in range(groups)
    ]
    starts = np.cumsum([0, *(p.nonzeros for p in parts)])
    indptr = [p.indptr[:-1] + start for p, start in zip(parts, starts, strict=False)]
    table = np.concatenate([*indptr, starts[-1:]]), np.concatenate([p.indices for p in parts])
    return Pattern(parts[0].family, v // groups, b, *table, seed, groups, nonzeros is not None)


def group_seed(seed: int | None, group: int) -> int:
    """Return a seed for one group of a layer."""
    return int(np.random.SeedSequence([seed or 0, group]).generate_state(1)[0])


def without_dead(pattern: Pattern) -> Pattern:
    """Give every output something to read, at equal count: an input from the fullest output.

    The modular rule and uniform random draws can leave an output without inputs.
    """
    rows = np.split(pattern.indices, pattern.indptr[1:-1])
    for r in np.flatnonzero(pattern.fan_in == 0):
        fullest = max(range(len(rows)), key=lambda i: len(rows[i]))
        if len(rows[fullest]) > 1:
            rows[fullest], rows[r] = rows[fullest][:-1], rows[fullest][-1:]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return replace(pattern, indptr=indptr, indices=np.concatenate(rows))


def _of_design(design: Design, v: int, b: int, seed: int | None) -> Pattern:
    if (design.v, design.b) != (v, b):
        raise ValueError(
            f"{design} does not fit a layer with {v} inputs and {b} outputs: inputs are points, "
            "outputs blocks (bibd.truncate and bibd.dual change the size)"
        )
    flat = np.repeat(np.arange(b), design.sizes) * v + design.indices
    return _from_flat(design.name, (v, b), relabel(flat, v, b, seed), seed)


def check_whole(name: str, got: object, least: int) -> None:
    """Refuse what is no whole number of at least `least`."""
    if isinstance(got, bool) or not isinstance(got, int | np.integer) or got < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {got!r}")


def check_family(family: str) -> None:
    """Refuse a name that is no pattern, with the nearest one that is."""
    if isinstance(family, str) and (named(family) or family in ALIASES):
        return
    if isinstance(family, bool):
        raise ValueError(f"a pattern is a name, got {family}; for the bias say bias={family}")
    if not isinstance(family, str):
        raise ValueError(
            f"unknown pattern of type {type(family).__name__}; expected a name, a Design or a "
            "Pattern (bibd.from_mask makes a Design from a mask)"
        )
    near = difflib.get_close_matches(family, [*FAMILIES, *ALIASES], n=1)
    near = ["block_diagonal"] if family == "grouped" else near
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(
        f"unknown pattern {family!r}: {hint}there are {', '.join(FAMILIES)} (and tiled-16, say)"
    )
