"""The config of an MLP: one model and how it is trained; no torch."""

from dataclasses import dataclass
from math import inf

from bibd import families
from bibd.pattern import check_family
from harness.data import DATASETS, SPLITS, check_dataset
from harness.names import check
from harness.train.words import GRAPHS
from harness.valid import check_counts

WORDS = {
    "pattern": families.FAMILIES,
    "data": DATASETS,
    "test_split": SPLITS,
    "init": ("true", "dense"),
    "graph": GRAPHS,
}


@dataclass(frozen=True)
class Config:
    """One model and how it is trained."""

    hidden: tuple[int, ...]
    """Widths of the hidden layers."""
    pattern: str = "dense"
    """Connections of the hidden layers: {}."""
    data: str = "mnist"
    """Data set: {}, or csv:FILE[:COLUMN] of your own."""
    test_split: str = "official"
    """official, or holdout: test on the last fifth of the training set."""
    epochs: int = 10
    """Passes over the training set."""
    batch_size: int = 32
    """Samples per step."""
    lr: float = 0.01
    """Learning rate of SGD; constant."""
    momentum: float = 0.5
    """Momentum of SGD."""
    init: str = "true"
    """true: hidden layers start Kaiming normal by their true fan-in; dense: as in the original
    study, sparse ones by the width of their input and dense ones as torch does."""
    sparse_bias: bool = True
    """A bias in the sparse layers."""
    pad: int = 0
    """Border of zeros around the images; 2 makes 28x28 pixels 32x32."""
    relabel: bool = False
    """Permute the inputs and outputs of each pattern, anew per seed: a line of a design in its
    canonical order is a row of the image."""
    validation: int = 0
    """Training samples set aside to see when to stop."""
    patience: int = 0
    """Call a seed flat after so many epochs without a new minimum of its validation loss; it then
    cools down and ends. 0: all train to the last epoch."""
    cooldown: int = 0
    """Epochs at the end of a run in which the rate falls towards 0."""
    timed: bool = True
    """Measure after each epoch what one unstacked seed costs."""
    graph: str = "auto"
    """Replay each step as a CUDA graph, with equal numbers: {} (auto: on a card)."""
    compile: bool = False
    """Compile the forward pass (torch.compile); the first row of a run says how long it took."""

    def __post_init__(self):
        check_family(self.pattern)
        check_dataset(self.data)
        for name in ("test_split", "init", "graph"):
            check(name.replace("_", " "), getattr(self, name), WORDS[name])
        check_counts(self, "epochs", "batch_size")
        for name in ("pad", "validation", "patience", "cooldown"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.cooldown > self.epochs:
            got = f"got {self.cooldown} of {self.epochs}"
            raise ValueError(f"cooldown must not be longer than the training, {got} epochs")
        if self.patience and not self.validation:
            raise ValueError("patience needs a validation set; set validation, for example to 5000")
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"hidden must be widths of at least 1, got {self.hidden}")
        if not 0 < self.lr < inf or not 0 <= self.momentum < 1:
            got = f"got {self.lr} and {self.momentum}"
            raise ValueError(f"lr must be above 0 and finite, momentum in [0, 1), {got}")
