"""The config that all arms of the pipeline studies share; no torch.

Weights "sgd" are no pipeline but one process: by identity that is data parallelism and GPipe, too.
With any other policy each stage is late by as many updates as there are stages behind it.
"""

from dataclasses import dataclass
from math import inf

from harness.data import DATASETS, SPLITS, check_dataset
from harness.names import check
from harness.valid import check_counts

POLICY_NAMES = (
    *("vanilla", "pipedream", "vertical_sync", "two_bw", "spectrain_v1", "spectrain_v2"),
    *("pipeoptim", "lwp", "pipemare", "recomputed"),
)
LAYERED = ("mlp", "residual_mlp")  # of as many layers as there are stages
NETS = (
    *LAYERED,
    *("vgg16", "resnet50", "densenet121", "googlenet", "residual_lstm", "transformer"),
)
OPTIMIZERS = ("sgd", "adamw", "nadam", "muon")

WORDS = {
    "weights": ("sgd", *POLICY_NAMES),
    "net": NETS,
    "optimizer": OPTIMIZERS,
    "data": DATASETS,
    "test_split": SPLITS,
}


@dataclass(frozen=True)
class Staged:
    """One net in stages on one task, all stages in this process (World.sim)."""

    weights: str
    """With which weights stages work: {}; sgd is no pipeline."""
    stages: int = 4
    """How many; of an mlp also how many layers."""
    net: str = "mlp"
    """The net: {}."""
    width: int = 64
    """Hidden units of an mlp or a net of texts; channels of the first convolution."""
    bias: bool = True
    """Biases in the layers of an mlp."""
    spike: bool = False
    """Spike compensation (SGD with momentum)."""
    micro: int = 1
    """Micro-batches that a minibatch is cut into; two_bw needs stages - 1 or more."""
    data: str = "digits"
    """Data set: {}, or csv:FILE[:COLUMN] of your own."""
    test_split: str = "official"
    """official, or holdout: test on the last fifth of the training set."""
    first: int = 0
    """Train on so many samples only; 0: all."""
    words: int = 10_000
    """Words that texts know."""
    length: int = 100
    """Words of a text."""
    optimizer: str = "sgd"
    """The optimizer: {}."""
    lr: float = 0.01
    """Learning rate; constant."""
    momentum: float = 0.9
    """Momentum of sgd and muon; of nadam its first beta."""
    weight_decay: float = 0.0
    """Weight decay, of the kind that the optimizer has."""
    epochs: int = 12
    """Passes over the training set."""
    batch_size: int = 32
    """Samples per update."""

    def __post_init__(self):
        check_dataset(self.data)
        for name, known in WORDS.items():
            if name != "data":
                check(name.replace("_", " "), getattr(self, name), known)
        check_counts(self, "stages", "width", "micro", "words", "length", "epochs", "batch_size")
        if not 0 < self.lr < inf or not 0 <= self.momentum < 1:
            got = f"got {self.lr} and {self.momentum}"
            raise ValueError(f"lr must be above 0 and finite, momentum in [0, 1), {got}")
        if self.spike and self.optimizer != "sgd":
            raise ValueError(f"spike goes with optimizer='sgd', got {self.optimizer!r}")
        if self.net not in LAYERED and self.stages not in (1, 2, 4):
            raise ValueError(f"{self.net} is cut into 2 or 4 stages (1: sgd), got {self.stages}")

    @property
    def layered(self) -> bool:
        """Whether the net is an mlp of one layer for each stage."""
        return self.net in LAYERED
