"""Plans that ask what int8 costs: accuracy and bytes of each way, beside float32 and bfloat16.

    arm               net
    MLP               1024-1024-1056-10 on MNIST with a border
    B-MLP             the same with a design's connections
    ResNet-18         a quarter of the width, CIFAR-10
    B-ResNet-18       the same with a design between channels

The last row of a run has `ways`: the accuracy of the trained net in each, and the bytes of its
file. How fast each is, `python -m benchmarks.int8` measures.
"""

from dataclasses import dataclass, replace

from bibd import families
from bibd.pattern import check_family
from harness.data import DATASETS, SPLITS, check_dataset
from harness.names import check
from harness.plan import Plan
from harness.valid import check_counts

NETS = ("mlp", "resnet")
WAYS = ("bf16", "onnx_static", "torchao", "qat")
WORDS = {
    "net": NETS,
    "pattern": families.FAMILIES,
    "data": DATASETS,
    "test_split": SPLITS,
}


@dataclass(frozen=True)
class Int8:
    """A net that is trained, and what is made of it."""

    net: str = "mlp"
    """Which: {}."""
    pattern: str = "dense"
    """Connections of the hidden layers, or between channels: {}."""
    hidden: tuple[int, ...] = (1024, 1056)
    """Widths of the hidden layers of an mlp."""
    pad: int = 0
    """Border of zeros around the images; 2 makes 28x28 pixels 32x32."""
    depth: int = 18
    """Layers of a resnet."""
    width: int = 16
    """Channels of a resnet's stem."""
    ways: tuple[str, ...] = WAYS
    """What is made of the trained net: bf16, onnx_static, torchao, qat."""
    calibration: int = 1024
    """Training samples from which ranges come."""
    learned: int = 10_000
    """Training samples of one more pass, for qat."""
    learned_lr: float = 0.001
    """First rate of that pass."""
    data: str = "mnist"
    """Data set: {}, or csv:FILE[:COLUMN] of your own."""
    test_split: str = "official"
    """official, or holdout: test on the last fifth of the training set."""
    epochs: int = 10
    """Passes over the training set, in float32."""
    batch_size: int = 128
    """Samples per step."""
    lr: float = 0.05
    """First learning rate of SGD, which falls along a cosine to 0."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 5e-4
    """Weight decay of SGD."""

    def __post_init__(self):
        check("net", self.net, NETS)
        check_family(self.pattern)
        check_dataset(self.data)
        check("test split", self.test_split, SPLITS)
        for way in self.ways:
            check("way", way, WAYS)
        check_counts(self, "epochs", "calibration", "learned", "width")
        if self.batch_size < 2:
            raise ValueError(f"batch_size must be at least 2, got {self.batch_size}")
        if not self.hidden or min(self.hidden) < 1 or self.pad < 0:
            raise ValueError(
                f"hidden must be widths of at least 1 and pad not negative, got {self.hidden} "
                f"and {self.pad}"
            )
        if min(self.lr, self.learned_lr) <= 0 or not 0 <= self.momentum < 1:
            raise ValueError(
                "lr and learned_lr must be above 0, momentum in [0, 1), got "
                f"{self.lr}, {self.learned_lr} and {self.momentum}"
            )


MLP = Int8(pad=2)
RESNET = Int8("resnet", data="cifar10", test_split="holdout", epochs=8, lr=0.1)
SMOKE = Int8(hidden=(32, 24), data="digits", epochs=4, batch_size=32, calibration=256, learned=256)
PLANS = {
    "int8": Plan(
        question="What does int8 cost in accuracy and bytes? MNIST and CIFAR-10.",
        arms={
            "MLP": MLP,
            "B-MLP": replace(MLP, pattern="bibd"),
            "ResNet-18": RESNET,
            "B-ResNet-18": replace(RESNET, pattern="bibd"),
        },
        seeds=(0, 1, 2),
        minutes=60,
        expect="At most .3 points less than float32, in at most .26 of its bytes.",
        compare=(),
        threads=1,
    ),
    "int8_smoke": Plan(
        question="The path of plan int8 on embedded data.",
        arms={
            "MLP": replace(SMOKE, pad=0),
            "ResNet-10": replace(
                SMOKE, net="resnet", depth=10, width=4, data="synthetic_images", epochs=1,
                lr=0.05,
            ),
        },
        seeds=(0, 1),
        minutes=2,
        compare=(),
        threads=1,
    ),
}  # fmt: skip
