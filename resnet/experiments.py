"""Plans of the ResNet study. No torch here: `--help` and `--list` read only this.

    ResNet-18        dense
    B-ResNet-18      pattern iddl, the original study's modular rule
    R-ResNet-18      as many connections anywhere, anew per seed
    bibd-ResNet-18   other patterns go by their name
    ...-V4           vertical: four groups        ...-EE   horizontal: early exits

The exact official test images of CIFAR-10 are not everywhere at hand, so every plan tests on the
holdout split (train on images 0-39,999, test on 40,000-49,999) unless told otherwise.
"""

from dataclasses import dataclass, replace
from itertools import product
from math import inf

from bibd import families
from bibd.pattern import check_family
from harness.cli import Verb
from harness.data import DATASETS, SPLITS, check_dataset
from harness.exits.words import CRITERIA, HEADS, check_exits
from harness.names import check
from harness.plan import Plan
from resnet.words import CLASSIFIERS, DEPTHS, INITS, LOSSES, STAGES, check_match, name

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
        for field in ("epochs", "groups", "width"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} must be at least 1, got {getattr(self, field)}")
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
}
FAMILIES = {"ResNet": "dense", "B-ResNet": "iddl", "R-ResNet": "random"}

# The accuracies that the original study published: one unseeded run each, official test images.
PUBLISHED = {
    "ResNet-18": 0.9067,
    "ResNet-34": 0.9064,
    "ResNet-50": 0.9001,
    "B-ResNet-18": 0.8555,
    "B-ResNet-34": 0.8643,
    "B-ResNet-50": 0.8362,
    "R-ResNet-18": 0.8641,
    "R-ResNet-34": 0.8639,
    "R-ResNet-50": 0.8442,
}
PAPER_EXPECT = (
    "Published, one run each: 18, 34, 50 layers 0.907 0.906 0.900 dense, 0.856 0.864 0.836 B, "
    "0.864 0.864 0.844 R."
)

# The original study's settings: SGD 0.01 / 0.5, constant, 50 epochs, its way to start weights.
ORIGINAL = Config(init="dense")


def models(base: Config, depths: tuple[int, ...] = (18, 34, 50)) -> dict[str, Config]:
    """Every depth with every published pattern, by their names."""
    pairs = product(FAMILIES.values(), depths)
    return {name(d, p): replace(base, depth=d, pattern=p) for p, d in pairs}


# On two cores: a sixteenth of the products and a rate that gets far in few epochs.
QUICK = Config(width=16, epochs=5, lr=0.1, momentum=0.9, weight_decay=5e-4, schedule="cosine")
# iddl and bibd differ a little in their counts, so each has a random twin of its own.
CPU = {
    "ResNet-18": {},
    "B-ResNet-18": dict(pattern="iddl"),
    "biregular-ResNet-18": dict(pattern="random_biregular"),
    "bibd-ResNet-18": dict(pattern="bibd"),
    "biregular-as-bibd-ResNet-18": dict(pattern="random_biregular", match="bibd"),
}
# What the other three studies share: a quarter of the images, so that a whole grid fits.
SMALL = replace(QUICK, first=10_000, epochs=4)
FACTORS = {
    "pattern": ("dense", "iddl", "random_biregular"),
    "groups": (1, 2, 4),
    "exits": ((), (2, 3)),
}


def factor_arms() -> dict[str, Config]:
    """Every combination of the levels of FACTORS, "<pattern>-V<groups>-<full or EE>"."""
    base = replace(SMALL, depth=10, head="pool")
    return {
        f"{pattern}-V{groups}-{'EE' if exits else 'full'}": replace(
            base, pattern=pattern, groups=groups, exits=exits
        )
        for pattern, groups, exits in product(*FACTORS.values())
    }


GROUPS = (1, 2, 4, 8, 16)


def group_arms() -> dict[str, Config]:
    """Dense and modular, in more and more groups."""
    return {
        name(18, pattern, groups): replace(SMALL, epochs=3, pattern=pattern, groups=groups)
        for pattern, groups in product(("dense", "iddl"), GROUPS)
    }


# 20,000 images to train, 5,000 to fit thresholds.
EXITS = replace(QUICK, exits=(2, 3), first=25_000, validation=5_000)
EXIT_ARMS = {
    "ResNet-18-EE-frozen": dict(exit_loss="frozen"),  # its last exit is the plain net, to the bit
    "ResNet-18-EE": {},
    "B-ResNet-18-EE": dict(pattern="iddl"),
    "B-ResNet-18-V4-EE": dict(pattern="iddl", groups=4),
}


def smoke_arms() -> dict[str, Config]:
    """Every setting once, tiny."""
    base = replace(QUICK, depth=10, width=8, batch_size=64)
    base = replace(base, data="synthetic_images", test_split="official")
    ends = dict(exits=(2, 3), head="pool", validation=200)
    return {
        **models(base, depths=(10,)),
        "bibd-ResNet-10": replace(base, pattern="bibd"),
        "ResNet-10-V4": replace(base, groups=4),
        "B-ResNet-10-preact": replace(base, pattern="iddl", preact=True, sparse_shortcuts=True),
        "ResNet-10-EE": replace(base, **ends),
        "B-ResNet-10-V2-EE": replace(base, pattern="iddl", groups=2, classifier="split", **ends),
    }


PLANS = {
    "smoke": Plan(
        question="The whole path on embedded pictures: tiny ResNet-10s with every setting.",
        arms=smoke_arms(),
        seeds=(0, 1, 2),
        minutes=1,
        expect="Dense ahead of sparse; three seeds of tiny nets, so intervals are wide.",
        compare=(("B-ResNet-10", "R-ResNet-10"), ("B-ResNet-10", "ResNet-10")),
        threads=1,
    ),
    "paper": Plan(
        question="The nine published models, their settings, three seeds. Needs a GPU.",
        arms=models(ORIGINAL),
        seeds=(0, 1, 2),
        minutes=11_700,
        expect=PAPER_EXPECT,
        compare=tuple(
            (f"B-ResNet-{depth}", f"{other}ResNet-{depth}")
            for depth in (18, 34, 50)
            for other in ("R-", "")
        ),
    ),
    "cpu": Plan(
        question="ResNet-18 at a quarter of its width on CIFAR-10: does the pattern matter?",
        arms={arm: replace(QUICK, **changes) for arm, changes in CPU.items()},
        seeds=(0, 1, 2),
        minutes=45,
        expect="Published at full width, 50 epochs, one run each: 0.907 dense, 0.856 B, 0.864 R.",
        compare=(
            ("B-ResNet-18", "ResNet-18"),
            ("B-ResNet-18", "biregular-ResNet-18"),
            ("bibd-ResNet-18", "biregular-as-bibd-ResNet-18"),
            ("bibd-ResNet-18", "B-ResNet-18"),
        ),
        threads=1,
    ),
    "factors": Plan(
        question="Pattern, groups and exits in a full grid: do they act independently?",
        arms=factor_arms(),
        seeds=(0, 1, 2),
        minutes=25,
        expect="The original study calls its settings orthogonal; nothing published tests it.",
        compare=(),
        threads=1,
    ),
    "exits": Plan(
        question="Early exits: accuracy, share and cost of each, thresholds from held-out images.",
        arms={arm: replace(EXITS, **changes) for arm, changes in EXIT_ARMS.items()},
        seeds=(0, 1, 2),
        minutes=25,
        expect="Published, frozen trunk: 0.850, 0.902, 0.911 dense; 0.827, 0.869, 0.884 B.",
        compare=(
            ("ResNet-18-EE", "ResNet-18-EE-frozen"),
            ("B-ResNet-18-EE", "ResNet-18-EE"),
            ("B-ResNet-18-V4-EE", "B-ResNet-18-EE"),
        ),
        threads=1,
        keep=True,
    ),
    "groups": Plan(
        question="Vertical partitioning: dense and modular ResNet-18 in 1, 2, 4, 8, 16 groups.",
        arms=group_arms(),
        seeds=(0, 1, 2),
        minutes=15,
        expect="Published for B-ResNet-18, digitised: 0.884, 0.874, 0.866, 0.858, 0.850.",
        compare=tuple(
            (name(18, pattern, groups), name(18, pattern))
            for pattern, groups in product(("dense", "iddl"), GROUPS[1:])
        ),
        threads=1,
    ),
}

VERBS = {
    "costs": Verb(
        "Parameters, MACs, FLOPs, bytes and latency of every model.", "resnet.costs:main"
    ),
    "bench": Verb("Time the early exits of the trained nets of plan exits.", "resnet.bench:main"),
}
