"""Plans that replicate lottery tickets: pruned, sent back to their start, trained again.

A run's rows are its levels; all seeds train side by side. Each level prunes a fifth of the weights
of each layer (a tenth of the last one's) and starts again from the first weights. At some levels
two controls are trained too: the same masks with new starts, and random masks of equal counts. When
training should have stopped is found afterwards, by the least validation loss; the accuracy is that
of the test set then.
"""

from dataclasses import dataclass

from harness.data import DATASETS, SPLITS, check_dataset
from harness.names import check
from harness.plan import Plan

WORDS = {"data": DATASETS, "test_split": SPLITS}


@dataclass(frozen=True)
class Tickets:
    """A net and the levels that are pruned of it."""

    hidden: tuple[int, ...] = (300, 100)
    """Widths of the hidden layers."""
    levels: int = 16
    """How many, with the dense nets."""
    controls: tuple[int, ...] = (3, 7, 9, 15)
    """Levels at which new starts and random masks are trained too."""
    iterations: int = 50_000
    """Steps of each level."""
    every: int = 100
    """Steps between two looks at the validation set."""
    rewind: int = 0
    """The step of the dense nets to which weights go back; 0: their start."""
    rate: float = 0.2
    """The share of each layer that goes in a round."""
    output: float = 0.1
    """The share of the last layer that goes."""
    sparse: float = 0.2
    """Levels with at most this share of the weights are held as sparse layers."""
    data: str = "mnist"
    """Data set: {}, or csv:FILE[:COLUMN] of your own."""
    test_split: str = "official"
    """official, or holdout: test on the last fifth of the training set."""
    validation: int = 5000
    """Training samples set aside, by which stopping is found."""
    batch_size: int = 60
    """Samples per step."""
    lr: float = 1.2e-3
    """Rate of Adam; constant."""

    def __post_init__(self):
        check_dataset(self.data)
        check("test split", self.test_split, SPLITS)
        for name in ("levels", "iterations", "every", "validation", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not all(0 < level < self.levels for level in self.controls):
            raise ValueError(
                f"controls are levels from 1 to {self.levels - 1}, got {self.controls}"
            )
        if not 0 <= self.rewind < self.iterations:
            raise ValueError(f"rewind must be in [0, {self.iterations}), got {self.rewind}")
        for name in ("rate", "output"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        if not self.hidden or min(self.hidden) < 1 or not self.lr > 0 or not 0 <= self.sparse <= 1:
            raise ValueError(
                "hidden must be widths of at least 1, lr above 0 and sparse in [0, 1], got "
                f"{self.hidden}, {self.lr} and {self.sparse}"
            )

    @property
    def epochs(self) -> int:
        """How many rows a run has: one for each level."""
        return self.levels


SMOKE = Tickets(
    (32, 24), levels=4, controls=(2,), iterations=200, every=20, data="digits", validation=200
)
PLANS = {
    "tickets": Plan(
        question="Do lottery tickets replicate? LeNet-300-100 on MNIST, the paper's protocol.",
        arms={"LeNet-300-100": Tickets()},
        seeds=tuple(range(5)),
        minutes=75,
        expect="The paper: at 21.1 % stopped 38 % sooner, at 13.5 % .3 points better, at 3.6 % as "
        "good as dense; a pre-registered reproduction: 21 % sooner, .21, .11 points.",
        threads=2,
    ),
    "tickets_smoke": Plan(
        question="The path of plan tickets on the embedded digits.",
        arms={"small": SMOKE},
        seeds=(0, 1),
        minutes=0.3,
        threads=1,
    ),
}
