"""The config of lottery tickets: a net, pruned, sent back to its start, trained again.

    net         what it is                                            the published recipe
    mlp         hidden layers on flat inputs; LeNet-300-100           Adam, layer by layer
    conv_2      two convolutions, three full layers                   the same
    resnet_20   ResNet-20, with norms                                 SGD in steps, layers compete

A run's rows are its levels. Each level prunes a share of the weights and starts again from the
first weights, or from those after some steps (`rewind`; `also`: more chains of levels, which share
the dense nets). At some levels two controls are trained too: the same masks with new starts, and
random masks of equal counts. When training should have stopped is found afterwards, by the least
validation loss; the accuracy is that of the test set then. All seeds of an mlp train side by side.
"""

from dataclasses import dataclass

from harness.data import DATASETS, SPLITS, check_dataset
from harness.names import check
from harness.valid import check_counts

NETS = ("mlp", "conv_2", "resnet_20")
SCOPES = ("layer", "global")
OPTIMIZERS = ("adam", "sgd")
WORDS = {
    "net": NETS,
    "scope": SCOPES,
    "optimizer": OPTIMIZERS,
    "data": DATASETS,
    "test_split": SPLITS,
}


@dataclass(frozen=True)
class Tickets:
    """A net and the levels that are pruned of it."""

    hidden: tuple[int, ...] = (300, 100)
    """Widths of the hidden layers of an mlp."""
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
    sparse: float = 0.5
    """Levels of an mlp with at most this share of the weights are held as sparse layers."""
    data: str = "mnist"
    """Data set: {}, or csv:FILE[:COLUMN] of your own."""
    test_split: str = "official"
    """official, or holdout: test on the last fifth of the training set."""
    validation: int = 5000
    """Training samples set aside, by which stopping is found."""
    batch_size: int = 60
    """Samples per step."""
    lr: float = 1.2e-3
    """Learning rate."""
    net: str = "mlp"
    """Which: {}."""
    width: int = 64
    """Channels of the first convolution, of other nets."""
    convolutions: float = 0.1
    """The share of each convolution that goes in a round."""
    scope: str = "layer"
    """layer: each loses its share; global: of all weights together, `rate` goes."""
    also: tuple[int, ...] = ()
    """More steps to which weights go back, each with levels of its own."""
    optimizer: str = "adam"
    """adam, at a constant rate; sgd: a tenth of it after half and three quarters of the steps."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 1e-4
    """Weight decay of SGD."""

    def __post_init__(self):
        check_dataset(self.data)
        for name in ("net", "scope", "optimizer", "test_split"):
            check(name.replace("_", " "), getattr(self, name), WORDS[name])
        check_counts(self, "levels", "iterations", "every", "validation", "batch_size", "width")
        if not all(0 < level < self.levels for level in self.controls):
            raise ValueError(
                f"controls are levels from 1 to {self.levels - 1}, got {self.controls}"
            )
        for step in self.steps:
            if not 0 <= step < self.iterations or self.steps.count(step) > 1:
                raise ValueError(
                    f"rewind and also must be different steps in [0, {self.iterations}), got "
                    f"{', '.join(map(str, self.steps))}"
                )
        for name in ("rate", "output", "convolutions", "momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        if not self.hidden or min(self.hidden) < 1 or not self.lr > 0 or not 0 <= self.sparse <= 1:
            raise ValueError(
                "hidden must be widths of at least 1, lr above 0 and sparse in [0, 1], got "
                f"{self.hidden}, {self.lr} and {self.sparse}"
            )
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay must not be negative, got {self.weight_decay}")

    @property
    def epochs(self) -> int:
        """How many rows a run has: one for each level."""
        return self.levels

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps to which weights go back, one for each chain of levels."""
        return (self.rewind, *self.also)
