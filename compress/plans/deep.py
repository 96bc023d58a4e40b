"""Plans that make files of nets: trained, pruned in steps, their weights shared, coded, read back.

    arm              net
    LeNet-300-100    784-300-100-10, 266,200 weights
    LeNet-5          two convolutions, 430,500 weights
    B-ResNet-18      18 layers of 16 to 128 channels, connected by designs: 79,622 of 699,056
                     weights, whose places take no bytes; what is pruned of it is a part of them

A run's rows are its steps: the dense net, then each density. A density is reached from the one
before, gradually (a cubic, all weights competing). From each pruned net a file is made for every
number of bits: weights share 2^bits values, which are trained further; what is on the disk is read
back and tested. Ratios are to the dense net in float32, biases and all.
"""

from dataclasses import dataclass, replace

from harness.data import DATASETS, SPLITS, check_dataset
from harness.names import check
from harness.plan import Plan
from harness.valid import check_counts

NETS = ("lenet_300_100", "lenet_5", "b_resnet_18", "small")
NORMS = ("stored", "folded")
WORDS = {"net": NETS, "norms": NORMS, "data": DATASETS, "test_split": SPLITS}


@dataclass(frozen=True)
class Deep:
    """A net, and how it is made small."""

    net: str = "lenet_300_100"
    """Which: {}."""
    densities: tuple[float, ...] = (0.08, 0.04, 0.025, 0.02)
    """Shares of the weights that stay, one after the other."""
    bits: tuple[int, ...] = (2, 3, 4, 5)
    """For each density: 2^bits values are shared."""
    dense: int = 12
    """Passes over the data for the dense net."""
    each: int = 16
    """Passes for each density; the first three quarters of them prune."""
    sharing: int = 2
    """Passes that train the shared values."""
    data: str = "mnist"
    """Data set: {}, or csv:FILE[:COLUMN] of your own."""
    test_split: str = "official"
    """official, or holdout: test on the last fifth of the training set."""
    batch_size: int = 128
    """Samples per step."""
    lr: float = 0.05
    """First learning rate of SGD in each step; it falls along a cosine to 0."""
    shared_lr: float = 0.05
    """The same for shared values, whose gradients are means over their weights."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 0.0
    """Weight decay of SGD."""
    width: int = 16
    """Channels of the stem of a ResNet."""
    norms: tuple[str, ...] = ("stored",)
    """Batch norms in a file, one for each: stored as they are, or folded into layers."""

    def __post_init__(self):
        check_dataset(self.data)
        check("net", self.net, NETS)
        check("test split", self.test_split, SPLITS)
        for word in self.norms:
            check("way to keep norms", word, NORMS)
        check_counts(self, "dense", "each", "sharing", "batch_size", "width")
        falling = sorted(set(self.densities), reverse=True)
        if list(self.densities) != falling or not all(0 < d < 1 for d in self.densities):
            raise ValueError(f"densities fall, between 1 and 0; got {self.densities}")
        if not self.norms:
            raise ValueError(f"norms are some of {', '.join(NORMS)}, got none")
        if not self.bits or not all(1 <= b <= 8 for b in self.bits):
            raise ValueError(f"bits are 1 to 8, got {self.bits}")
        if min(self.lr, self.shared_lr) <= 0 or not 0 <= self.momentum < 1:
            raise ValueError(
                "lr and shared_lr must be above 0, momentum in [0, 1), got "
                f"{self.lr}, {self.shared_lr} and {self.momentum}"
            )

    @property
    def epochs(self) -> int:
        """How many rows a run has: the dense net's, and one for each density.

        Passes over the samples are --each.
        """
        return 1 + len(self.densities)


LENET5 = Deep("lenet_5", (0.08, 0.04, 0.02), (3, 4), dense=8, each=8, sharing=1, weight_decay=5e-4)
# On the holdout split, too, better than .05 alone.
LENET300 = Deep(lr=0.1, shared_lr=0.1, weight_decay=1e-4)
ARMS = {"LeNet-300-100": LENET300, "LeNet-5": LENET5}
SMOKE = Deep("small", (0.3, 0.15), (3, 4), dense=6, each=6, sharing=2, data="digits", batch_size=32)
RESNET = Deep(
    "b_resnet_18", (0.05,), (3, 4), dense=8, each=8, sharing=1, data="cifar10",
    test_split="holdout", weight_decay=5e-4, norms=NORMS,
)  # fmt: skip
TINY: dict = dict(data="digits", test_split="official", dense=2, each=2, batch_size=32, width=4)

PLANS = {
    "deep": Plan(
        question="How small can a file be that decodes to a net as good as before? MNIST.",
        arms=ARMS,
        seeds=tuple(range(5)),
        row="step",
        minutes=70,
        expect="Han et al. counted 40 x for LeNet-300-100 (1.64 -> 1.58 % error) and 39 x for "
        "LeNet-5 (.80 -> .74); a probe wrote 50 x at 1.75, 85 x at 1.84 and 139 x at 1.95 %.",
        threads=1,
    ),
    "deep_fashion": Plan(
        question="The same for LeNet-300-100 on Fashion-MNIST.",
        arms={"LeNet-300-100": replace(ARMS["LeNet-300-100"], data="fashion_mnist")},
        seeds=tuple(range(5)),
        row="step",
        minutes=15,
        threads=1,
    ),
    "deep_resnet": Plan(
        question="The same for B-ResNet-18, 16 to 128 channels, on CIFAR-10; batch norms stored, "
        "or folded into the layers before them.",
        arms={"B-ResNet-18": RESNET},
        seeds=tuple(range(4)),
        row="step",
        minutes=105,
        threads=1,
    ),
    "deep_resnet_smoke": Plan(
        question="The path of plan deep_resnet on the embedded digits.",
        arms={"B-ResNet-18": replace(RESNET, densities=(0.1,), bits=(3,), **TINY)},
        seeds=(0, 1),
        row="step",
        minutes=0.5,
        threads=1,
    ),
    "deep_smoke": Plan(
        question="The path of plan deep on the embedded digits.",
        arms={"small": SMOKE},
        seeds=(0, 1),
        row="step",
        minutes=0.3,
        threads=1,
    ),
}
