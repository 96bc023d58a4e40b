"""The published ensemble again, beside what it left out: voting and longer training taken apart.

    arm           what it is (each begins with the net's name, B-ResNet-18-V4)
    iddl          the original study's rule: batches are stepped on once or twice, unshuffled
    samme-1       boosting as in scikit-learn, by weights of the loss     samme-0.1   shrunk
    independent   members that differ by their start and the order of their data
    single        one net, trained as long: row m has the steps of m members

The original study trained 25 nets for five bars, each size from scratch. Here a run of nine members
tells all sizes, as an ensemble of three is the first three of nine. Its rule steps twice on nearly
every batch from the second member on, so m of its members have the steps of 2 m - 1 others; rows
say how many steps were made.
"""

from dataclasses import dataclass, replace
from typing import Any

from bibd import families
from bibd.pattern import check_family
from harness.data import DATASETS, SPLITS, check_dataset
from harness.names import check
from harness.plan import Plan
from harness.valid import check_counts, check_sgd

METHODS = ("single", "independent", "samme", "iddl")
WEIGHTS = ("loss", "resample", "repeat")
WORDS = {
    "method": METHODS,
    "weights": WEIGHTS,
    "pattern": families.FAMILIES,
    "data": DATASETS,
    "test_split": SPLITS,
}
SIZES = (1, 3, 5, 7, 9)
INDEX = {"1": (1, 3, 9), "2": (5, 7)}  # the sizes that the original script ran for its argument

# Accuracies that the original study published: one run each, full width, all images, 10 epochs.
PUBLISHED = {1: 0.7575, 3: 0.7954, 5: 0.8056, 7: 0.8168, 9: 0.8098}


@dataclass(frozen=True)
class Paper:
    """How an ensemble of one kind of ResNet grows."""

    method: str
    """How members come about."""
    members: int = 9
    """How many; single trains one net as long as all of them."""
    each: int = 4
    """Passes over the training set for each member."""
    shrinkage: float = 1.0
    """Share of a boosted member's weight that counts (scikit-learn's learning_rate)."""
    weights: str = "loss"
    """How boosting uses its weights: {}."""
    depth: int = 18
    """Layers of a member."""
    pattern: str = "iddl"
    """Connections between channels in the blocks: {}."""
    groups: int = 4
    """Separate parts of channels in the blocks."""
    width: int = 16
    """Channels of the stem (published: 64)."""
    first: int = 10_000
    """Read so many training images only; 0: all."""
    validation: int = 1_000
    """Of these, images set aside, by which one temperature is fitted."""
    data: str = "cifar10"
    """Data set, one of pictures: {}."""
    test_split: str = "holdout"
    """holdout: test on the last fifth of the training set; or official."""
    augment: str = "flip"
    """none; crop; or flip (crop, and left-right). Errors are measured without."""
    batch_size: int = 128
    """Samples per step."""
    lr: float = 0.05
    """Learning rate of SGD, constant (published: 0.01)."""
    momentum: float = 0.9
    """Momentum of SGD (published: 0.5, on four times the images and 10 epochs)."""

    def __post_init__(self):
        check_family(self.pattern)
        check_dataset(self.data)
        for name in ("method", "weights", "test_split"):
            check(name, getattr(self, name), WORDS[name])
        check_counts(self, "members", "each", "validation", "groups", "width")
        if self.batch_size < 2:
            raise ValueError(f"batch_size must be at least 2, got {self.batch_size}: batch norms")
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
        return self.method in ("samme", "iddl")


NET = "B-ResNet-18-V4"
KINDS = {
    "iddl": Paper("iddl", weights="repeat"),
    "samme-1": Paper("samme"),
    "samme-0.1": Paper("samme", shrinkage=0.1),
    "independent": Paper("independent"),
    "single": Paper("single"),
}
RULE = f"{NET}-iddl"  # the arm that is the original study's
PAIRS = (
    ("iddl", "single"),
    ("iddl", "independent"),
    ("samme-1", "independent"),
    ("samme-0.1", "independent"),
    ("independent", "single"),
)
TINY: Any = dict(data="synthetic_images", test_split="official", members=3, each=6, depth=10)
TINY |= dict(width=8, groups=2, first=600, validation=200, batch_size=32)

PLANS = {
    "paper": Plan(
        question="The published ensemble of B-ResNet-18-V4: is it boosting, voting or longer "
        "training?",
        arms={f"{NET}-{kind}": config for kind, config in KINDS.items()},
        seeds=(0, 1, 2),
        row="member",
        minutes=90,
        expect="Published, full width, one run each: 1 .7575, 3 .7954, 5 .8056, 7 .8168, 9 .8098.",
        compare=tuple((f"{NET}-{a}", f"{NET}-{b}") for a, b in PAIRS),
        threads=1,
        keep=True,
    ),
    "paper_smoke": Plan(
        question="The path of plan paper on embedded pictures: tiny nets, three members.",
        arms={f"B-ResNet-10-V2-{kind}": replace(c, **TINY) for kind, c in KINDS.items()},
        seeds=(0, 1),
        row="member",
        minutes=1,
        threads=1,
        keep=True,
    ),
}
