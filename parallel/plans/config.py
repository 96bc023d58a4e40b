"""The config that all arms of the data-parallel studies share: task and training; no torch."""

from dataclasses import dataclass

from harness.data import DATASETS, SPLITS, check_dataset
from harness.names import check
from harness.valid import check_counts

MODELS = ("mlp", "iris", "mnist", "resnet")
STRATEGY_NAMES = (
    *("local", "no_comm", "all_reduce", "local_sgd", "post_local_sgd", "diloco", "hierarchical"),
    *("bf16", "top_k", "power_sgd", "easgd", "gossip_pull", "gossip_push", "elastic_gossip"),
    *("ring", "exponential", "push_sum", "ist"),
)

WORDS = {
    "strategy": STRATEGY_NAMES,
    "data": DATASETS,
    "test_split": SPLITS,
    "model": MODELS,
}


@dataclass(frozen=True)
class Config:
    """One strategy on one task, all workers in one process (World.sim).

    Settings that only some strategies have stand in the config of a family of plans.
    """

    strategy: str
    """Who sends what: {}."""
    data: str = "digits"
    """Data set: {}, or csv:FILE[:COLUMN] of your own."""
    test_split: str = "official"
    """official, or holdout: test on the last fifth of the training set."""
    first: int = 0
    """Train on so many samples only; 0: all."""
    validation: int = 0
    """Training samples that are set aside (and not used)."""
    model: str = "mlp"
    """mlp (of `hidden`), iris, mnist (the nets of the thesis), or resnet (pre-activation)."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of an mlp."""
    width: int = 8
    """Channels of a resnet's stem."""
    depth: int = 10
    """Layers of a resnet."""
    workers: int = 4
    """How many."""
    batch_size: int = 128
    """Samples per step, of all workers together."""
    epochs: int = 10
    """Passes over the training set."""
    lr: float = 0.1
    """Learning rate of SGD."""
    momentum: float = 0.0
    """Momentum of SGD (Nesterov's)."""
    period: int = 1
    """Steps between communications (1 where a probability decides)."""

    def __post_init__(self):
        check_dataset(self.data)
        for name in ("strategy", "test_split", "model"):
            check(name.replace("_", " "), getattr(self, name), WORDS[name])
        check_counts(self, "workers", "batch_size", "epochs", "period")
