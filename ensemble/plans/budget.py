"""What one budget of connections buys: one dense net, or several smaller or sparser ones.

    arm             nets                                                    connections together
    dense           1024-256-272-10                                                      334,496
    narrow-4        four of 1024-72-90-10, each of a quarter                             324,432
    packed-4        the like in one net of groups, trained on the same batches           334,060
    wide-4          four of 1024-1024-1056-10, sparse, each with a design of its own     308,480
    different-22    22 of 1024-256-272-10, sparse, each with a design of its own         335,808
    one-22          the same with one design for all        random-22    random connections
    slim-22         22 dense ones of as many connections, 1024-14-38-10                  335,456
    pruned-4        four of 1024-256-272-10, dense at first, pruned to a quarter         334,496
    rigl-4          the same, sparse from the start, with connections that move (RigL)
    random-4        the same at random places that stay

On CIFAR-10, whose pictures have 3,072 numbers, the same at 858,784 connections (COLOUR).

Each is trained for a short time and until its accuracy is flat (a cosine to 0 each). Equal
connections are equal multiply-adds here, in training and in inference, but for two: pruned members
are trained as the dense nets that they begin as, which costs four times as much, and moving ones
look at a dense gradient in one of a hundred steps. Equal multiply-adds are not equal time: it is
measured beside the dense net's, in turn.

Inputs of CIFAR-10 are made standard and the rate is .02: as they are, at .1, the dense net stays at
chance. So it is flat after 8 passes there, and short is 4, flat 16.
"""

from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from bibd import families
from bibd.pattern import check_family
from harness.data import DATASETS, SPLITS, check_dataset
from harness.names import check
from harness.plan import Plan
from harness.valid import check_counts, check_sgd

COUNTED = ("random", "rigl", "pruned")
DESIGNS = ("dense", "packed", "different", "one", "random", "rigl", "pruned")
ALONE = ("rigl", "pruned")  # whose members make steps of their own
WORDS = {
    "designs": DESIGNS,
    "pattern": families.FAMILIES,
    "data": DATASETS,
    "test_split": SPLITS,
}
DENSE, WIDE = (256, 272), (1024, 1056)


@dataclass(frozen=True)
class Budget:
    """Nets of one kind, and how they are trained."""

    designs: str = "dense"
    """dense nets, packed ones, sparse ones of different designs, one design or random, random ones
    whose connections move (rigl), or dense ones that are pruned."""
    members: int = 1
    """How many."""
    hidden: tuple[int, ...] = DENSE
    """Widths of the hidden layers of a member (packed: of the net that is packed)."""
    alpha: float = 1.0
    """Packed: how much wider all members together are than that net."""
    pattern: str = "bibd"
    """Connections of the hidden layers of sparse nets: {}."""
    connections: int = 0
    """random, rigl, pruned: how many a member has (in the end), of all layers; 0: a design's."""
    epochs: int = 8
    """Passes over the training set."""
    data: str = "mnist"
    """Data set: {}, or csv:FILE[:COLUMN] of your own."""
    test_split: str = "official"
    """official, or holdout: test on the last fifth of the training set."""
    pad: int = 2
    """Border of zeros around pictures: 32 x 32 inputs, which designs divide."""
    standard: bool = False
    """Inputs minus their mean, over their deviation, both of the training set."""
    validation: int = 5000
    """Training samples set aside, by which temperature and thresholds are fitted."""
    batch_size: int = 128
    """Samples per step."""
    lr: float = 0.1
    """Learning rate of SGD, falling to 0 by a cosine."""
    momentum: float = 0.9
    """Momentum of SGD."""
    every: int = 100
    """rigl, pruned: connections move, or go, every so many steps."""
    until: float = 0.75
    """rigl, pruned: the share of the training after which they stay."""
    fraction: float = 0.3
    """rigl: the share of connections that moves first; it falls along a cosine to 0."""

    def __post_init__(self):
        check_family(self.pattern)
        check_dataset(self.data)
        for name in ("designs", "test_split"):
            check(name, getattr(self, name), WORDS[name])
        check_counts(self, "members", "epochs", "batch_size", "validation")
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"hidden must be widths of at least 1, got {self.hidden}")
        if not 0 < self.alpha <= self.members:
            raise ValueError(
                f"alpha must be above 0 and at most members={self.members}, got {self.alpha}"
            )
        check_sgd(self)
        self._check_changes()

    def _check_changes(self) -> None:
        """Refuse connections that cannot be counted, and changes that cannot be timed."""
        check_counts(self, "every")
        for name in ("until", "fraction"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in (0, 1], got {getattr(self, name)}")
        if self.connections < 0 or (self.connections and self.designs not in COUNTED):
            raise ValueError(
                f"connections={self.connections} with designs={self.designs!r}: say how many with "
                f"designs {', '.join(COUNTED)}; others have those that their widths give"
            )
        if self.designs == "pruned" and not self.connections:
            raise ValueError("pruned members need connections=, of which so many are left each")

    @property
    def answers(self) -> int:
        """How many answers the nets give to a sample."""
        return self.members

    @property
    def alone(self) -> bool:
        """Whether each member is trained by steps of its own, with no stack of all."""
        return self.designs in ALONE

    def changes(self, steps: int) -> int:
        """Return how many of so many steps of a member change its connections."""
        if self.designs == "rigl":  # (t > 0, and below the end)
            return (ceil(self.until * steps) - 1) // self.every
        length = max(1, int(self.until * steps))  # (the last one is due in any case)
        return ceil(length / self.every) if self.designs == "pruned" else 0


SIDES = {
    "dense": Budget(),
    "narrow-4": Budget(members=4, hidden=(72, 90)),
    "packed-4": Budget("packed", 4, alpha=1.16),
    "wide-4": Budget("different", 4, WIDE),
    "different-22": Budget("different", 22),
    "one-22": Budget("one", 22),
    "random-22": Budget("random", 22),
    "slim-22": Budget(members=22, hidden=(14, 38)),
    "pruned-4": Budget("pruned", 4, connections=83_624),
    "rigl-4": Budget("rigl", 4, connections=83_624),
    "random-4": Budget("random", 4, connections=83_624),
}
COLOUR = {
    "dense": Budget(),
    "narrow-4": Budget(members=4, hidden=(68, 74)),
    "packed-4": Budget("packed", 4, alpha=1.06),
    "wide-4": Budget("different", 4, (2048, 2048)),
    "different-22": Budget("different", 22, (464, 484)),
    "one-22": Budget("one", 22, (464, 484)),
    "random-22": Budget("random", 22, (448, 468)),  # (a plane that is cut has fewer connections)
    "slim-22": Budget(members=22, hidden=(12, 98)),
    "pruned-4": Budget("pruned", 4, connections=214_696),
    "rigl-4": Budget("rigl", 4, connections=214_696),
    "random-4": Budget("random", 4, connections=214_696),
}
LENGTHS = {"short": 8, "flat": 24}
COLOUR_LENGTHS = {"short": 4, "flat": 16}  # (dense, a probe: .503, .519, .519 after 4, 8, 16)
RIVALS = {  # what each is compared with, besides the one dense net
    "wide-4": ("narrow-4",),
    "packed-4": ("narrow-4",),
    "different-22": ("one-22", "random-22", "slim-22"),
    "rigl-4": ("random-4", "narrow-4", "wide-4"),
    "pruned-4": ("rigl-4", "narrow-4"),
}


def arms(
    data: str,
    sides: dict[str, Budget] = SIDES,
    lengths: dict[str, int] = LENGTHS,
    **changes: Any,
) -> dict[str, Budget]:
    """Return each side of the comparison, trained for a short time and until it is flat."""
    return {
        f"{name}-{length}": replace(config, data=data, epochs=epochs, **changes)
        for length, epochs in lengths.items()
        for name, config in sides.items()
    }


def pairs(lengths: tuple[str, ...] = tuple(LENGTHS)) -> tuple[tuple[str, str], ...]:
    """Return what is compared, each after the same time."""
    return tuple(
        (f"{name}-{length}", f"{other}-{length}")
        for length in lengths
        for name in SIDES
        for other in ("dense", *RIVALS.get(name, ()))
        if name != other
    )


TINY = dict(data="digits", pad=0, validation=200, batch_size=32, epochs=3)


def tiny() -> dict[str, Budget]:
    """Return every kind of side, tiny, on the embedded digits."""
    small = {
        "dense": Budget(hidden=(32, 34), **TINY),  # pyright: ignore[reportArgumentType]
        "narrow-4": Budget(members=4, hidden=(10, 10), **TINY),  # pyright: ignore
        "packed-4": Budget("packed", 4, (32, 34), 1.1, **TINY),  # pyright: ignore
        "wide-4": Budget("different", 4, (64, 64), **TINY),  # pyright: ignore
        "one-22": Budget("one", 6, (32, 34), **TINY),  # pyright: ignore
        "random-22": Budget("random", 6, (32, 34), **TINY),  # pyright: ignore
    }
    quarter: Any = dict(hidden=(32, 34), connections=869, every=20, **TINY)
    small |= {f"{kind}-4": Budget(kind, 4, **quarter) for kind in ("pruned", "rigl", "random")}
    return {f"{name}-short": config for name, config in small.items()}


PLANS = {
    "budget": Plan(
        question="One budget of connections: one dense net, or several smaller or sparser? MNIST.",
        arms=arms("mnist"),
        seeds=tuple(range(5)),
        minutes=100,
        expect="A probe, 8 epochs: dense 98.24, narrow 98.27, wide 97.72, 22 sparse 97.4.",
        compare=pairs(),
        threads=1,
        keep=True,
    ),
    "budget_fashion": Plan(
        question="The same on Fashion-MNIST.",
        arms=arms("fashion_mnist"),
        seeds=tuple(range(5)),
        minutes=100,
        expect="A probe, 8 epochs: dense 88.49, narrow 88.25, wide 88.53, 22 sparse 87.9.",
        compare=pairs(),
        threads=1,
        keep=True,
    ),
    "budget_cifar10": Plan(
        question="The same on CIFAR-10, on its holdout split.",
        arms=arms(
            "cifar10", COLOUR, COLOUR_LENGTHS, pad=0, test_split="holdout", standard=True, lr=0.02
        ),
        seeds=tuple(range(5)),
        minutes=110,
        compare=pairs(),
        threads=1,
        keep=True,
    ),
    "budget_smoke": Plan(
        question="The path of plan budget on the embedded digits, nine kinds of nets.",
        arms=tiny(),
        seeds=(0, 1),
        minutes=0.3,
        compare=(
            ("narrow-4-short", "dense-short"),
            ("wide-4-short", "dense-short"),
            ("rigl-4-short", "random-4-short"),
        ),
        threads=1,
        keep=True,
    ),
}
