"""The config of a ResNet: one model and how it is trained; no torch.

The exact official test images of CIFAR-10 are not everywhere at hand, so every plan tests on the
holdout split (train on images 0-39,999, test on 40,000-49,999) unless told otherwise.
"""

from dataclasses import dataclass
from math import inf

from bibd import families
from bibd.pattern import check_family
from harness.data import DATASETS, SPLITS, check_dataset
from harness.exits.words import CRITERIA, HEADS, check_exits
from harness.names import check
from harness.train.words import GRAPHS
from harness.valid import check_counts
from resnet.words import CLASSIFIERS, DEPTHS, INITS, LOSSES, STAGES, check_match

AUGMENTS = ("none", "crop", "flip")
SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True)
class Config:
    """One model and how it is trained."""

    depth: int = 18
    """Layers: {}."""
    pattern: str = "dense"
    """Connections between channels in the blocks: {}."""
    groups: int = 1
    """Vertical partitioning: separate parts of channels in the blocks."""
    exits: tuple[int, ...] = ()
    """Horizontal partitioning: stages after which a head answers early."""
    width: int = 64
    """Channels of the stem; the stages have 1, 2, 4 and 8 times as many."""
    match: str = ""
    """Take as many connections as this pattern, for random patterns."""
    relabel: bool = False
    """Permute the inputs and outputs of each design, anew per seed."""
    preact: bool = False
    """Norm and ReLU before each convolution."""
    sparse_shortcuts: bool = False
    """The pattern also for the 1 x 1 shortcuts."""
    classifier: str = "linear"
    """linear, or split: slices of the features with a linear layer each, joined by another."""
    head: str = "conv"
    """Early heads: conv (3 x 3 to 32 channels, linear), linear, or pool (average, linear)."""
    criterion: str = "max_probability"
    """When a sample is sure: max_probability, entropy or margin."""
    exit_loss: str = "joint"
    """joint: all exits train the stages; frozen: only the last, heads learn beside it."""
    exit_weight: float = 0.5
    """Weight of each early exit in the joint loss; the last has 1."""
    init: str = "true"
    """true: Kaiming normal by what a filter reads; dense: as in the original study."""
    data: str = "cifar10"
    """Data set, one of pictures: {}."""
    test_split: str = "holdout"
    """holdout: test on the last fifth of the training set; or official."""
    first: int = 0
    """Train on so many images only; 0: on all."""
    validation: int = 0
    """Training images set aside to fit the thresholds of early exits."""
    augment: str = "flip"
    """none; crop (at random from the image with a border); flip (crop, and left-right)."""
    epochs: int = 50
    """Passes over the training set."""
    batch_size: int = 128
    """Samples per step."""
    lr: float = 0.01
    """Learning rate of SGD."""
    momentum: float = 0.5
    """Momentum of SGD."""
    weight_decay: float = 0.0
    """Weight decay of SGD."""
    schedule: str = "constant"
    """Of the rate: constant, or cosine (a short rise, then down to 0)."""
    autocast: bool = False
    """Compute in bfloat16 where torch thinks it safe."""
    tf32: bool = False
    """Multiply float32 on a card in TF32, with ten bits of a fraction; else in full."""
    graph: str = "auto"
    """Replay each step as a CUDA graph, with equal numbers: {} (auto: on a card)."""
    compile: bool = False
    """Compile the forward pass (torch.compile); the first row of a run says how long it took."""

    def __post_init__(self):
        check_family(self.pattern)
        check("depth", str(self.depth), [str(d) for d in DEPTHS])
        for field, words in WORDS.items():
            if field not in ("depth", "pattern", "data"):  # (they have checks of their own)
                check(field.replace("_", " "), getattr(self, field), words)
        check_dataset(self.data)
        check_match(self.pattern, self.match)
        if self.exits:
            check_exits(self.exits, STAGES)
        check_counts(self, "epochs", "groups", "width")
        for field in ("first", "validation", "exit_weight", "weight_decay"):
            if not 0 <= getattr(self, field) < inf:
                raise ValueError(f"{field} must not be negative, got {getattr(self, field)}")
        if self.width % self.groups:
            raise ValueError(f"groups={self.groups} must divide the {self.width} channels")
        if self.batch_size < 2:
            raise ValueError(
                f"batch_size must be at least 2, got {self.batch_size}: batch norms compare samples"
            )
        if not 0 < self.lr < inf or not 0 <= self.momentum < 1:
            got = f"got {self.lr} and {self.momentum}"
            raise ValueError(f"lr must be above 0 and finite, momentum in [0, 1), {got}")


WORDS = {
    "depth": DEPTHS,
    "pattern": families.FAMILIES,
    "data": DATASETS,
    "classifier": CLASSIFIERS,
    "head": HEADS,
    "criterion": CRITERIA,
    "exit_loss": LOSSES,
    "init": INITS,
    "test_split": SPLITS,
    "augment": AUGMENTS,
    "schedule": SCHEDULES,
    "graph": GRAPHS,
}

# On two cores: a sixteenth of the products and a rate that gets far in few epochs.
QUICK = Config(width=16, epochs=5, lr=0.1, momentum=0.9, weight_decay=5e-4, schedule="cosine")
