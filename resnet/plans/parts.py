"""Plans on vertical partitioning (groups), horizontal partitioning (exits), and both in a grid."""

from dataclasses import replace
from itertools import product

from harness.plan import Plan
from resnet.plans.config import QUICK, Config
from resnet.words import name

# What all of these share: a quarter of the images, so that a whole grid fits.
SMALL = replace(QUICK, first=10_000, epochs=4)
FACTORS = {
    "pattern": ("dense", "iddl", "random_biregular"),
    "groups": (1, 2, 4),
    "exits": ((), (2, 3)),
}


def factor_arms() -> dict[str, Config]:
    """Return every combination of levels of FACTORS, "<pattern>-V<groups>-<full or EE>"."""
    base = replace(SMALL, depth=10, head="pool")
    return {
        f"{pattern}-V{groups}-{'EE' if exits else 'full'}": replace(
            base, pattern=pattern, groups=groups, exits=exits
        )
        for pattern, groups, exits in product(*FACTORS.values())
    }


GROUPS = (1, 2, 4, 8, 16)


def group_arms() -> dict[str, Config]:
    """Return dense and modular nets in more and more groups."""
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


PLANS = {
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
