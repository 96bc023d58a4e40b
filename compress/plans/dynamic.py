"""Plans that ask whether connections should move while a sparse net trains.

    arm                 what it is
    dense               all weights
    static-5            5 % of the weights at random places that stay
    set-5               ... every 100 steps some of the smallest go, and as many grow at random
    rigl-5              ... grow where the dense gradient is largest
    rigl_fan_in-5       ... as many for each output as it lost
    gradual-5           dense at first, pruned along a cubic; trained dense, under masks
    bibd                a design's own density, and static-bibd: as many at random places

Also: fan_in, random places, as many for each output; subset, a design's places, pruned gradually.

All but the designs and their twins have the layer densities of ERK. The nets are LeNet-300-100, and
one of 1024-1024-1056 units on pictures with a border, whose designs are whole planes.
"""

from dataclasses import dataclass, replace

from harness.data import DATASETS, SPLITS, check_dataset
from harness.names import check
from harness.plan import Plan
from harness.valid import check_counts

MOVED = ("set", "rigl", "rigl_fan_in")
METHODS = ("dense", "static", "fan_in", "bibd", *MOVED, "gradual", "subset")
DENSITIES = ("erk", "uniform", "bibd")
WORDS = {
    "method": METHODS,
    "densities": DENSITIES,
    "data": DATASETS,
    "test_split": SPLITS,
}


@dataclass(frozen=True)
class Dynamic:
    """A sparse net whose connections stay or move."""

    method: str
    """What happens to connections: {}."""
    hidden: tuple[int, ...] = (300, 100)
    """Widths of the hidden layers."""
    density: float = 1.0
    """Share of the weights of all layers that there are."""
    densities: str = "erk"
    """erk: thin layers are denser; uniform: all alike; bibd: those of the design."""
    data: str = "mnist"
    """Data set: {}, or csv:FILE[:COLUMN] of your own."""
    test_split: str = "official"
    """official, or holdout: test on the last fifth of the training set."""
    epochs: int = 100
    """Passes over the training set."""
    batch_size: int = 128
    """Samples per step."""
    lr: float = 0.1
    """First learning rate of SGD, which falls along a cosine to 0."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 5e-4
    """Weight decay of SGD."""
    every: int = 100
    """Connections move, or masks tighten, every so many steps."""
    until: float = 0.75
    """The share of the training after which they stay."""
    fraction: float = 0.3
    """The share of connections that moves first; it falls along a cosine to 0."""
    pad: int = 0
    """Border of zeros around the images; 2 makes 28x28 pixels 32x32."""

    def __post_init__(self):
        check_dataset(self.data)
        for name in ("method", "densities", "test_split"):
            check(name.replace("_", " "), getattr(self, name), WORDS[name])
        check_counts(self, "epochs", "batch_size", "every")
        for name in ("density", "until", "fraction"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in (0, 1], got {getattr(self, name)}")
        if not self.hidden or min(self.hidden) < 1 or self.pad < 0:
            raise ValueError(
                f"hidden must be widths of at least 1 and pad not negative, got {self.hidden} "
                f"and {self.pad}"
            )
        if not 0 < self.lr < float("inf") or not 0 <= self.momentum < 1 or self.weight_decay < 0:
            raise ValueError(
                "lr must be above 0 and finite, momentum in [0, 1), weight_decay not negative, got "
                f"{self.lr}, {self.momentum} and {self.weight_decay}"
            )


def arms(base: Dynamic, percents: tuple[float, ...]) -> dict[str, Dynamic]:
    """The dense net, a design with its random twin, and each method at each density."""
    found = {
        "dense": base,
        "bibd": replace(base, method="bibd", densities="bibd"),
        "static-bibd": replace(base, method="static", densities="bibd"),
    }
    for percent in percents:
        for method in ("static", *MOVED, "gradual"):
            found[f"{method}-{percent:g}"] = replace(base, method=method, density=percent / 100)
    return found


def pairs(percents: tuple[float, ...]) -> tuple[tuple[str, str], ...]:
    """What is compared: moving with staying, gradients with chance, and all with pruning."""
    found = [("bibd", "static-bibd")]
    for percent in percents:
        found += [(f"{m}-{percent:g}", f"static-{percent:g}") for m in MOVED]
        found += [(f"{m}-{percent:g}", f"set-{percent:g}") for m in MOVED[1:]]
        found += [(f"{m}-{percent:g}", f"gradual-{percent:g}") for m in ("static", *MOVED)]
    return tuple(found)


PERCENTS = (20.0, 5.0, 2.0)
SMOKE = Dynamic("dense", (32, 24), data="digits", epochs=8, every=10, batch_size=32)
LENET = Dynamic("dense")
WIDE = Dynamic("dense", (1024, 1056), pad=2, epochs=20)
EXPECT = (
    "Sparse Momentum, published, 100 epochs of MNIST: dense 1.34 % error, 5 %: 1.53, 2 %: 1.99; a "
    "probe of 15 epochs: 5 %: static 3.0, SET 2.5, RigL 2.4."
)


def plan(question: str, base: Dynamic, percents, minutes: float, expect: str = EXPECT) -> Plan:
    """The plan of one net on one data set."""
    return Plan(
        question=question,
        arms=arms(base, percents),
        seeds=tuple(range(5)),
        minutes=minutes,
        expect=expect,
        compare=pairs(percents),
        threads=1,
    )


PLANS = {
    "smoke": plan(
        "The whole path on the embedded digits, in seconds.", SMOKE, (30.0, 10.0), 0.3, ""
    ),
    "dynamic": plan("Should connections move? LeNet-300-100 on MNIST.", LENET, PERCENTS, 90),
    "dynamic_fashion": plan(
        "The same on Fashion-MNIST.", replace(LENET, data="fashion_mnist"), PERCENTS, 90, ""
    ),
    "dynamic_wide": plan(
        "The same for 1024-1024-1056 units, where designs are whole planes.", WIDE, PERCENTS, 100
    ),
}
