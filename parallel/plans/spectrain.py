"""Plans with the nets of the SpecTrain script (1809.02839), smaller, and what it compares.

    arm                       what it is
    vgg16-sgd                 no pipeline: by identity data parallelism and GPipe, too
    vgg16-pipedream-4         4 stages, weight stashing

The same rate for all arms of a net; where the script tuned one for each, it compared rates. Nets
are cut where the script cut them, but for ResNet50: there its last cut lay inside a bottleneck,
with two tensors at the boundary; here it lies between groups of blocks. Pictures are neither
cropped nor flipped. VGG16 starts as He's: at torch's own start it stays at chance.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

from harness.plan import Plan
from parallel.plans.staged import Staged

METHODS = ("vanilla", "pipedream", "spectrain_v1", "spectrain_v2")
STAGES = (2, 4)
SEEDS = (0, 1, 2)

IMAGES = Staged(
    "sgd",
    stages=1,
    width=8,  # an eighth of the published nets'
    data="cifar10",
    test_split="holdout",
    first=10_000,
    weight_decay=5e-4,
    epochs=6,
    batch_size=128,
)
SHORTER = replace(IMAGES, epochs=4)
TEXTS = Staged(
    "sgd",
    stages=1,
    data="imdb",
    test_split="holdout",
    first=5_000,
    lr=0.1,
    epochs=8,  # 1,256 updates: after 500 neither net has left chance
)

# The script's table: accuracy in per cent after whole trainings, one run each, tuned rates.
COLUMNS = ("sgd", *(f"{name}-{n}" for n in STAGES for name in METHODS))
ROWS = {
    "vgg16": (91.10, 90.81, 90.86, 91.05, 91.02, 88.31, 88.91, 88.11, 89.38),
    "resnet50": (90.08, 88.46, 89.42, 89.50, 89.40, 88.41, 89.22, 89.15, 89.14),
    "densenet121": (95.54, 95.34, 95.48, 95.42, 95.34, 95.54, 95.45, 94.81, 95.45),
    "googlenet": (95.06, 94.48, 94.71, 94.41, 94.45, 94.23, 94.52, 94.45, 94.54),
    "transformer": (81.12, 80.35, 80.35, 81.27, 80.02, 77.26, 78.11, 79.71, 78.79),
    "residual_lstm": (81.74, 79.03, 80.02, 81.56, 81.10, 78.11, 78.24, 81.24, 79.48),
}
PUBLISHED = {
    f"{net}-{column}": value
    for net, row in ROWS.items()
    for column, value in zip(COLUMNS, row, strict=True)
}


def arms(base: Staged, nets: Mapping[str, float]) -> dict[str, Staged]:
    """For each net with its rate: no pipeline, and each method with 2 and 4 stages."""
    found = {}
    for net, rate in nets.items():
        one = replace(base, net=net, lr=rate)
        found[f"{net}-sgd"] = one
        for n, name in product(STAGES, METHODS):
            found[f"{net}-{name}-{n}"] = replace(one, weights=name, stages=n)
    return found


def pairs(nets: Mapping[str, float]) -> tuple[tuple[str, str], ...]:
    """What is compared: each method with no pipeline, and prediction with stashing."""
    found = [(f"{net}-{name}-{n}", f"{net}-sgd") for net, n, name in product(nets, STAGES, METHODS)]
    for net, n, name in product(nets, STAGES, METHODS[2:]):
        found.append((f"{net}-{name}-{n}", f"{net}-pipedream-{n}"))
    return tuple(found)


EXPECT = "The script, one run each: mean gap to data parallelism 2 points with 4 stages."


def plan(
    question: str, base: Staged, nets: Mapping[str, float], minutes: float, expect: str = EXPECT
) -> Plan:
    """The plan of some nets on one task."""
    return Plan(
        question=question,
        arms=arms(base, nets),
        seeds=SEEDS,
        minutes=minutes,
        expect=expect,
        compare=pairs(nets),
        threads=1,
    )


FIRST = {"vgg16": 0.01, "resnet50": 0.01}
FULL = {"vgg16": 0.01, "resnet50": 0.01}
SECOND = {"densenet121": 0.01}
THIRD = {"googlenet": 0.01}
READERS = {"residual_lstm": 0.1, "transformer": 0.1}

PLANS = {
    "spectrain_images": plan(
        "What do late weights cost VGG16 and ResNet50? An eighth as wide, CIFAR-10.",
        IMAGES,
        FIRST,
        105,
    ),
    "spectrain_full": plan(
        "The same at full width, for a GPU.",
        replace(IMAGES, width=64),
        FULL,
        64 * 105,  # (as many times the arithmetic)
        f"{EXPECT} Minutes on one H100; days on two cores.",
    ),
    "spectrain_images2": plan("The same for DenseNet121.", SHORTER, SECOND, 90),
    "spectrain_images3": plan("The same for GoogLeNet.", SHORTER, THIRD, 105),
    "spectrain_texts": plan(
        "The same for a residual LSTM and a Transformer, half as wide, on IMDB.",
        TEXTS,
        READERS,
        80,
    ),
}
