"""Plans of the data-parallel studies. No torch here: `--help` and `--list` read only this.

arm             what is sent
all-reduce      gradients, in every step
local-sgd       weights, averaged every H steps
elastic-1/32    a worker starts a talk with probability 1/32 per step; both ends move
pull-1/32       the same, only the one who asked moves
ist             slices of the net, dealt and collected every H steps
"""

from dataclasses import dataclass, replace

from harness.cli import Verb
from harness.data import DATASETS, SPLITS, check_dataset
from harness.names import check
from harness.plan import Plan

MODELS = ("mlp", "iris", "mnist", "resnet")
STRATEGY_NAMES = (
    *("local", "no_comm", "all_reduce", "local_sgd", "post_local_sgd", "easgd"),
    *("gossip_pull", "gossip_push", "elastic_gossip", "ist"),
)

WORDS = {
    "strategy": STRATEGY_NAMES,
    "data": DATASETS,
    "test_split": SPLITS,
    "model": MODELS,
}


@dataclass(frozen=True)
class Config:
    """One strategy on one task, all workers in one process (World.sim)."""

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
    """Steps between communications (1: where probability decides)."""
    probability: float = 1.0
    """That a worker starts a talk in an eligible step (gossip)."""
    alpha: float = 0.5
    """Strength of springs (elastic gossip)."""
    weights: str = "thesis"
    """Of elastic gossip: thesis or metropolis."""
    rescale: bool = True
    """Whether subnets make up for absent neurons (ist)."""
    switch: int = 0
    """Last step with averaged gradients (post_local_sgd)."""

    def __post_init__(self):
        check_dataset(self.data)
        for name in ("strategy", "test_split", "model"):
            check(name.replace("_", " "), getattr(self, name), WORDS[name])
        for name in ("workers", "batch_size", "epochs", "period"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("probability", "alpha"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in (0, 1], got {getattr(self, name)}")


def both(base: Config) -> dict[str, Config]:
    """Every strategy on one task."""
    settings = {
        "local": {},
        "no-comm": {},
        "all-reduce": {},
        "local-sgd": dict(period=8),
        "post-local-sgd": dict(period=8, switch=20),
        "easgd": dict(period=4, alpha=0.2),
        "pull": dict(strategy="gossip_pull", probability=0.125),
        "push": dict(strategy="gossip_push", probability=0.125),
        "elastic": dict(strategy="elastic_gossip", probability=0.125),
        "ist": dict(period=8, lr=0.05),
    }
    named = {k: {"strategy": k.replace("-", "_"), **v} for k, v in settings.items()}
    return {f"{k}-{base.data}": replace(base, **v) for k, v in named.items()}


CHANCES = (8, 32, 128, 512)


def gossip_arms(base: Config, chances: tuple[int, ...] = CHANCES) -> dict[str, Config]:
    """All-reduce, and both kinds of gossip at each probability."""
    arms = {"all-reduce": base}
    for short, name in (("elastic", "elastic_gossip"), ("pull", "gossip_pull")):
        for n in chances:
            arms[f"{short}-1/{n}"] = replace(base, strategy=name, probability=1 / n)
    return arms


# The thesis: 51,200 training images, 4 workers, 128 images a step, 400 steps an epoch.
MNIST = Config(
    "all_reduce",
    data="mnist",
    validation=8800,
    model="mnist",
    lr=0.001,
    momentum=0.99,
)
CIFAR = Config(
    "all_reduce",
    data="cifar10",
    test_split="holdout",
    model="resnet",
    lr=0.01,
    momentum=0.9,
    epochs=6,
)
# Rates chosen on held-out training images (0.5 to 0.005, 3 epochs, widths 128 and 1024): where a
# subnet makes up for absent neurons, its gradients grow with it.
WIDE = Config("local_sgd", data="mnist", first=12800, epochs=8, lr=0.2, period=20)
SUBNET_RATE = 0.03
WIDTHS = (128, 256, 512, 1024)


def ist_arms(base: Config) -> dict[str, Config]:
    """Local SGD on the whole net and independent subnets, at each width."""
    arms = {}
    for width in WIDTHS:
        wide = replace(base, hidden=(width, width))
        arms[f"local-sgd-{width}"] = wide
        arms[f"ist-{width}"] = replace(wide, strategy="ist", lr=SUBNET_RATE)
        arms[f"ist-unscaled-{width}"] = replace(wide, strategy="ist", rescale=False)
    return arms


NUMBERS = (1, 2, 4, 8, 16, 32, 64)
CROWD = Config("all_reduce", epochs=40, lr=0.02, momentum=0.9)


def worker_arms(base: Config) -> dict[str, Config]:
    """Four strategies at each number of workers; 8 samples a worker and step."""
    kinds = {
        "all-reduce": dict(strategy="all_reduce"),
        "local-sgd": dict(strategy="local_sgd", period=8),
        "elastic": dict(strategy="elastic_gossip", probability=0.125, weights="metropolis"),
        "no-comm": dict(strategy="no_comm"),
    }
    return {
        f"{name}-{n}": replace(base, workers=n, batch_size=8 * n, **settings)
        for name, settings in kinds.items()
        for n in NUMBERS
    }


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
    "smoke": Plan(
        question="Every strategy on Iris and digits, four workers.",
        arms=both(Config("local", data="iris", model="iris", batch_size=16, epochs=8))
        | both(Config("local", batch_size=32, epochs=8)),
        seeds=tuple(range(3)),
        minutes=0.8,
        expect="All come close to one another but `local`: a mean of several starts is no net.",
        threads=1,
    ),
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
    "ist": Plan(
        question="Independent subnets: width against accuracy, bytes and time.",
        arms=ist_arms(WIDE),
        seeds=tuple(range(3)),
        minutes=3,
        expect="The wider the net, the less accuracy the subnets lose.",
        compare=tuple((f"ist-{w}", f"local-sgd-{w}") for w in WIDTHS)
        + tuple((f"ist-{w}", f"ist-unscaled-{w}") for w in WIDTHS),
        threads=1,
    ),
    "workers": Plan(
        question="1 to 64 workers at equal samples: accuracy and how far they drift apart.",
        arms=worker_arms(CROWD),
        seeds=tuple(range(5)),
        minutes=6,
        expect="Fewer steps for more workers; who does not talk falls apart.",
        compare=tuple(
            (f"{name}-{n}", f"all-reduce-{n}") for n in NUMBERS for name in ("local-sgd", "elastic")
        ),
        threads=1,
    ),
}

VERBS = {
    "verify": Verb(
        "Checks the identities that strategies must fulfil.", "parallel.identities.findings:main"
    ),
    "gossip": Verb("The experiments of the elastic-gossip thesis.", "parallel.thesis.main:main"),
}
