"""Plans of the nine published models, of the same at a quarter of the width, and a smoke test.

ResNet-18        dense
B-ResNet-18      pattern iddl, the original study's modular rule
R-ResNet-18      as many connections anywhere, anew per seed
bibd-ResNet-18   other patterns go by their name
...-V4           vertical: four groups        ...-EE   horizontal: early exits
"""

from dataclasses import replace
from itertools import product

from harness.plan import Plan
from resnet.plans.config import QUICK, Config
from resnet.words import name

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
    """Return every depth with every published pattern, by their names."""
    pairs = product(FAMILIES.values(), depths)
    return {name(d, p): replace(base, depth=d, pattern=p) for p, d in pairs}


# iddl and bibd differ a little in their counts, so each has a random twin of its own.
CPU = {
    "ResNet-18": {},
    "B-ResNet-18": dict(pattern="iddl"),
    "biregular-ResNet-18": dict(pattern="random_biregular"),
    "bibd-ResNet-18": dict(pattern="bibd"),
    "biregular-as-bibd-ResNet-18": dict(pattern="random_biregular", match="bibd"),
}


DESIGNS = "bibd-ResNet-18", "biregular-as-bibd-ResNet-18", "biregular-ResNet-18"


def smoke_arms() -> dict[str, Config]:
    """Return tiny nets that use every setting once."""
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
        gpus=1,
        expect=PAPER_EXPECT,
        compare=tuple(
            (f"B-ResNet-{depth}", f"{other}ResNet-{depth}")
            for depth in (18, 34, 50)
            for other in ("R-", "")
        ),
    ),
    "designs": Plan(
        question="ResNet-18 with designs and with equal degrees, as `paper` trains. Needs a GPU.",
        arms={arm: replace(ORIGINAL, **CPU[arm]) for arm in DESIGNS},
        seeds=(0, 1, 2),
        minutes=2_100,
        gpus=1,
        expect="No model of these was published; at full width B is 0.856 and R 0.864.",
        compare=(("bibd-ResNet-18", "biregular-as-bibd-ResNet-18"),),
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
}
