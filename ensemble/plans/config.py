"""The config of an ensemble of MLPs: its members and how they are trained; no torch.

A run grows: its rows are not epochs of one net but members, and row m is the ensemble of the first
m. So one training gives every size up to the largest, and their differences are paired.
"""

from dataclasses import dataclass

from bibd import families
from bibd.pattern import check_family
from harness.data import DATASETS, SPLITS, check_dataset
from harness.names import check
from harness.valid import check_counts, check_sgd

METHODS = ("single", "snapshots", "independent", "bagging", "samme", "iddl")
BOOSTED = ("samme", "iddl")
WORDS = {
    "method": METHODS,
    "pattern": families.FAMILIES,
    "data": DATASETS,
    "test_split": SPLITS,
}


@dataclass(frozen=True)
class Config:
    """How an ensemble of one kind of net grows."""

    method: str
    """How members come about: {}."""
    hidden: tuple[int, ...] = (16, 20)
    """Widths of the hidden layers of a member."""
    pattern: str = "iddl"
    """Connections of the hidden layers: {}."""
    members: int = 9
    """How many; single trains one net as long as all of them."""
    each: int = 2
    """Passes over the training set for each member."""
    shrinkage: float = 1.0
    """Share of a boosted member's weight that counts (scikit-learn's learning_rate)."""
    data: str = "mnist"
    """Data set: {}, or csv:FILE[:COLUMN] of your own."""
    test_split: str = "official"
    """official, or holdout: test on the last fifth of the training set."""
    validation: int = 5000
    """Training samples set aside, by which one temperature is fitted."""
    batch_size: int = 32
    """Samples per step."""
    lr: float = 0.05
    """Learning rate of SGD; snapshots begin each cycle with it and end near 0."""
    momentum: float = 0.5
    """Momentum of SGD."""

    def __post_init__(self):
        check_family(self.pattern)
        check_dataset(self.data)
        for name in ("method", "test_split"):
            check(name, getattr(self, name), WORDS[name])
        check_counts(self, "members", "each", "batch_size", "validation")
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"hidden must be widths of at least 1, got {self.hidden}")
        if not 0 < self.shrinkage <= 1:
            raise ValueError(f"shrinkage must be in (0, 1], got {self.shrinkage}")
        check_sgd(self)

    @property
    def epochs(self) -> int:
        """How many rows a run has: one for each member; --each has the passes over the samples."""
        return self.members

    @property
    def boosted(self) -> bool:
        """Whether samples have weights that depend on the members before."""
        return self.method in BOOSTED

    @property
    def grows(self) -> bool:
        """Whether each member is a net of its own, and not the one net trained further."""
        return self.method not in ("single", "snapshots")
