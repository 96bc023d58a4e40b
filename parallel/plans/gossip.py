"""Plans that ask how little talk gossip needs, on the nets of the elastic-gossip thesis.

arm             what is sent
all-reduce      gradients, in every step
elastic-1/32    a worker starts a talk with probability 1/32 per step; both ends move
pull-1/32       the same, only the one who asked moves
"""

from dataclasses import dataclass, replace

from harness.plan import Plan
from parallel.plans.config import Config


@dataclass(frozen=True)
class Gossip(Config):
    """A strategy in which workers talk in pairs, or one to compare it with."""

    probability: float = 1.0
    """That a worker starts a talk in an eligible step (gossip)."""
    alpha: float = 0.5
    """Strength of springs (elastic gossip)."""
    weights: str = "thesis"
    """Of elastic gossip: thesis or metropolis."""

    def __post_init__(self):
        super().__post_init__()
        for name in ("probability", "alpha"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in (0, 1], got {getattr(self, name)}")


CHANCES = (8, 32, 128, 512)


def gossip_arms(base: Gossip, chances: tuple[int, ...] = CHANCES) -> dict[str, Gossip]:
    """Return all-reduce, and both kinds of gossip at each probability."""
    arms = {"all-reduce": base}
    for short, name in (("elastic", "elastic_gossip"), ("pull", "gossip_pull")):
        for n in chances:
            arms[f"{short}-1/{n}"] = replace(base, strategy=name, probability=1 / n)
    return arms


# The thesis: 51,200 training images, 4 workers, 128 images a step, 400 steps an epoch.
MNIST = Gossip(
    "all_reduce",
    data="mnist",
    validation=8800,
    model="mnist",
    lr=0.001,
    momentum=0.99,
)
CIFAR = Gossip(
    "all_reduce",
    data="cifar10",
    test_split="holdout",
    model="resnet",
    lr=0.01,
    momentum=0.9,
    epochs=6,
)

# The thesis' numbers after 100 epochs, W = 4, one run each: accuracy of worker 0, of the mean.
THESIS = {
    "all-reduce": (0.9861, None),
    "elastic-1/8": (0.9862, 0.9861),
    "elastic-1/32": (0.9861, 0.9862),
    "elastic-1/128": (0.9838, 0.9853),
    "elastic-1/512": (0.9847, 0.9844),
    "pull-1/8": (0.9855, 0.9850),
    "pull-1/32": (0.9849, 0.9850),
    "pull-1/128": (0.9830, 0.9847),
    "pull-1/512": (0.9823, 0.9829),
}
# The same for CIFAR-10: ResNet-18 of full width, 50 epochs.
THESIS_CIFAR = {
    "all-reduce": (0.9193, None),
    "elastic-1/32": (0.9122, 0.9139),
    "pull-1/32": (0.9048, 0.9065),
}


PLANS = {
    "gossip_mnist": Plan(
        question="How little talk does gossip need? The MNIST net of the thesis, W = 4.",
        arms=gossip_arms(MNIST),
        seeds=tuple(range(5)),
        minutes=85,
        expect="Thesis, 100 epochs, one run each: all-reduce 0.9861, elastic 1/512 0.9844.",
        compare=tuple(
            pair
            for n in CHANCES
            for pair in (
                (f"elastic-1/{n}", f"pull-1/{n}"),
                (f"elastic-1/{n}", "all-reduce"),
                (f"pull-1/{n}", "all-reduce"),
            )
        ),
        threads=1,
    ),
    "gossip_cifar10": Plan(
        question="The same question for a pre-activation ResNet on CIFAR-10.",
        arms=gossip_arms(CIFAR, (32,)),
        seeds=tuple(range(6)),
        minutes=22,
        expect="Thesis, ResNet-18, 50 epochs: all-reduce 0.919, elastic 1/32 0.914, pull 0.907.",
        compare=(
            ("elastic-1/32", "pull-1/32"),
            ("elastic-1/32", "all-reduce"),
            ("pull-1/32", "all-reduce"),
        ),
        threads=1,
    ),
}
