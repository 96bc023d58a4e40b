"""Plans of the MLP study. No torch here: `--help` and `--list` read only this.

The twelve models are an input of 784 pixels (64 for digits), two hidden layers and ten classes.
(M, N) = (q^2, q(q+1)) for q = 4..7, so that the second sparse layer is the whole table of its q.

    name        hidden      connections on 784 inputs
    MLP-3-1     16, 20      13064       B-MLP-3-1, R-MLP-3-1     728
    MLP-3-2     25, 30      20650       B-MLP-3-2, R-MLP-3-2    1150
    MLP-3-3     36, 42      30156       B-MLP-3-3, R-MLP-3-3    1680
    MLP-3-4     49, 56      41720       B-MLP-3-4, R-MLP-3-4    2324

B- layers follow the pattern `iddl`, R- layers hold as many connections anywhere, anew per seed.
"""

from dataclasses import dataclass, replace
from math import inf

from bibd import families
from bibd.pattern import check_family
from harness.cli import Verb
from harness.data import DATASETS, SPLITS, check_dataset
from harness.names import check
from harness.plan import Plan

WORDS = {
    "pattern": families.FAMILIES,
    "data": DATASETS,
    "test_split": SPLITS,
    "init": ("true", "dense"),
}


@dataclass(frozen=True)
class Config:
    """One model and how it is trained."""

    hidden: tuple[int, ...]
    """Widths of the hidden layers."""
    pattern: str = "dense"
    """Connections of the hidden layers: {}."""
    data: str = "mnist"
    """Data set: {}, or csv:FILE[:COLUMN] of your own."""
    test_split: str = "official"
    """official, or holdout: test on the last fifth of the training set."""
    epochs: int = 10
    """Passes over the training set."""
    batch_size: int = 32
    """Samples per step."""
    lr: float = 0.01
    """Learning rate of SGD; constant."""
    momentum: float = 0.5
    """Momentum of SGD."""
    init: str = "true"
    """true: hidden layers start Kaiming normal by their true fan-in; dense: as in the original
    study, sparse ones by the width of their input and dense ones as torch does."""
    sparse_bias: bool = True
    """Whether sparse layers have a bias."""
    pad: int = 0
    """Border of zeros around the images; 2 makes 28x28 pixels 32x32."""
    relabel: bool = False
    """Permute the inputs and outputs of each pattern, anew per seed: a line of a design in its
    canonical order is a row of the image."""
    validation: int = 0
    """Training samples set aside to see when to stop."""
    patience: int = 0
    """Call a seed flat after so many epochs without a new minimum of its validation loss; it then
    cools down and ends. 0: all train to the last epoch."""
    cooldown: int = 0
    """Epochs at the end of a run in which the rate falls towards 0."""
    timed: bool = True
    """Measure after each epoch what one unstacked seed costs."""

    def __post_init__(self):
        check_family(self.pattern)
        check_dataset(self.data)
        for name in ("test_split", "init"):
            check(name.replace("_", " "), getattr(self, name), WORDS[name])
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("pad", "validation", "patience", "cooldown"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.cooldown > self.epochs:
            got = f"got {self.cooldown} of {self.epochs}"
            raise ValueError(f"cooldown must not be longer than the training, {got} epochs")
        if self.patience and not self.validation:
            raise ValueError("patience needs a validation set; set validation, for example to 5000")
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"hidden must be widths of at least 1, got {self.hidden}")
        if not 0 < self.lr < inf or not 0 <= self.momentum < 1:
            got = f"got {self.lr} and {self.momentum}"
            raise ValueError(f"lr must be above 0 and finite, momentum in [0, 1), {got}")


HIDDEN = {"3-1": (16, 20), "3-2": (25, 30), "3-3": (36, 42), "3-4": (49, 56)}
FAMILIES = {"MLP": "dense", "B-MLP": "iddl", "R-MLP": "random"}

# The original study's settings: sparse layers start by dense fan-in and have no bias.
ORIGINAL = Config(hidden=(1,), init="dense", sparse_bias=False)


def twelve(base: Config) -> dict[str, Config]:
    """The twelve models with the settings of `base`."""
    return {
        f"{family}-{size}": replace(base, hidden=hidden, pattern=pattern)
        for family, pattern in FAMILIES.items()
        for size, hidden in HIDDEN.items()
    }


SPARSE_PAIRS = tuple((f"B-MLP-{size}", f"R-MLP-{size}") for size in HIDDEN)
DENSE_PAIRS = tuple((f"B-MLP-{size}", f"MLP-{size}") for size in HIDDEN)

# Does balance help? Images of 32x32 pixels and a net 1024 -> q^2 -> q(q+1) -> 10, where each layer
# has as many connections under every pattern: at q = 16, 8192 + 4352.
BALANCE = Config(
    hidden=(256, 272),
    pad=2,
    relabel=True,
    validation=5000,
    batch_size=128,
    lr=0.1,
    momentum=0.9,
    cooldown=5,
    timed=False,
)
PATTERNS = {
    "bibd": "bibd",
    "iddl": "iddl",
    "biregular": "random_biregular",
    "fan-in": "random_fan_in",
    "random": "random",
    "grouped": "block_diagonal",
}
# Dense nets with as many connections: in all (within 0.2 %), or layer by layer (exactly).
NARROW = {8: (3, 21), 16: (14, 38), 32: (64, 156)}
BY_LAYER = (8, 544)
IMAGES = {"mnist": "mnist", "fashion": "fashion_mnist"}


def patterns_at(base: Config, q: int) -> dict[str, Config]:
    """All patterns at equal count, and the narrow dense net."""
    nets = {k: replace(base, hidden=(q * q, q * (q + 1)), pattern=v) for k, v in PATTERNS.items()}
    return nets | {"narrow": replace(base, hidden=NARROW[q], pattern="dense")}


def balance_arms(base: Config) -> dict[str, Config]:
    """The net of q = 16.

    `-canonical` arms keep the order of their design (lines of the image); `-slow` arms have a fifth
    of the rate, so that no arm loses for want of a rate that suits it.
    """
    arms = patterns_at(base, 16)
    for name in ("bibd", "iddl"):
        arms[f"{name}-canonical"] = replace(arms[name], relabel=False)
    arms["by-layer"] = replace(base, hidden=BY_LAYER, pattern="dense")
    arms["full"] = replace(base, pattern="dense")
    for name in ("bibd", "biregular", "narrow", "by-layer"):
        arms[f"{name}-slow"] = replace(arms[name], lr=base.lr / 5)
    return arms


def named(make, lengths: dict[str, dict]) -> dict[str, Config]:
    """The arms of `make` for both sets of images, "<arm>-<images>-<length>"."""
    return {
        "-".join(filter(None, (name, short, length))): config
        for length, changes in lengths.items()
        for short, data in IMAGES.items()
        for name, config in make(replace(BALANCE, data=data, **changes)).items()
    }


def density_arms(base: Config) -> dict[str, Config]:
    """The nets of q = 8, 16, 32."""
    return {f"{name}-{q}": config for q in NARROW for name, config in patterns_at(base, q).items()}


# Both cool down over their last five epochs; "flat" is 5 epochs without a lower validation loss.
LENGTHS = {"short": dict(epochs=10), "flat": dict(epochs=60, patience=5)}

BALANCE_PAIRS = tuple(
    (f"{first}-{short}-{length}", f"{second}-{short}-{length}")
    for length in LENGTHS
    for short in IMAGES
    for first, second in (
        *(("bibd", name) for name in ("biregular", "fan-in", "random", "iddl", "grouped")),
        ("biregular", "random"),
        ("iddl", "random"),
        ("bibd-canonical", "bibd"),
        ("bibd-canonical", "iddl-canonical"),
        ("bibd", "narrow"),
        ("bibd", "by-layer"),
        ("bibd", "full"),
        *(("bibd-slow", f"{name}-slow") for name in ("biregular", "narrow", "by-layer")),
    )
)

# The accuracies that the original study published: one unseeded run each, last of 10 epochs. The
# last three are the 112-56 models of its notebook.
PUBLISHED = {
    "MLP-3-1": 0.9486,
    "MLP-3-2": 0.9556,
    "MLP-3-3": 0.9583,
    "MLP-3-4": 0.9646,
    "B-MLP-3-1": 0.8396,
    "B-MLP-3-2": 0.8665,
    "B-MLP-3-3": 0.8884,
    "B-MLP-3-4": 0.8925,
    "R-MLP-3-1": 0.8289,
    "R-MLP-3-2": 0.8462,
    "R-MLP-3-3": 0.8837,
    "R-MLP-3-4": 0.8831,
    "MLP": 0.9689,
    "B-MLP": 0.8998,
    "R-MLP": 0.9004,
}

PLANS = {
    "smoke": Plan(
        question="The whole path on the embedded digits: twelve small MLPs, five seeds.",
        arms=twelve(replace(ORIGINAL, data="digits", epochs=20, lr=0.1)),
        seeds=tuple(range(5)),
        minutes=0.34,
        expect="Dense nets at 0.93 to 0.97; sparse ones below, by less the wider they are.",
        compare=SPARSE_PAIRS + DENSE_PAIRS,
        threads=1,
    ),
    "paper": Plan(
        question="How much accuracy do sparse MLPs lose on MNIST, and does the pattern matter?",
        arms=twelve(ORIGINAL),
        seeds=tuple(range(10)),
        minutes=2.5,
        expect="Published, one run each: 0.949 to 0.965 dense, 0.829 to 0.893 sparse.",
        compare=SPARSE_PAIRS + DENSE_PAIRS,
        threads=1,
    ),
    "fashion": Plan(
        question="The same twelve models and settings on Fashion-MNIST.",
        arms=twelve(replace(ORIGINAL, data="fashion_mnist")),
        seeds=tuple(range(10)),
        minutes=2.5,
        expect="Nothing published to compare with.",
        compare=SPARSE_PAIRS + DENSE_PAIRS,
        threads=1,
    ),
    "notebook": Plan(
        question="The 112-56 MLP of the original notebook on MNIST.",
        arms={
            family: replace(ORIGINAL, hidden=(112, 56), pattern=pattern)
            for family, pattern in FAMILIES.items()
        },
        seeds=tuple(range(10)),
        minutes=1.5,
        expect="Published, one run each: MLP 0.9689, B-MLP 0.8998, R-MLP 0.9004.",
        compare=(("B-MLP", "R-MLP"), ("B-MLP", "MLP")),
        threads=1,
    ),
    "balance": Plan(
        question="Does balance help? BIBD, random, modular, grouped at equal connections.",
        arms=named(balance_arms, LENGTHS),
        seeds=tuple(range(10)),
        minutes=50,
        expect="Open; the original study compared single runs of other widths and init.",
        compare=BALANCE_PAIRS,
        threads=1,
    ),
    "density": Plan(
        question="How does accuracy grow with connections, q = 8, 16, 32, for each pattern?",
        arms=named(density_arms, {"": LENGTHS["short"]}),
        seeds=tuple(range(10)),
        minutes=25,
        expect="Open; q = 16 is the net of plan balance.",
        compare=tuple(
            (f"bibd-{q}-{short}", f"{name}-{q}-{short}")
            for short in IMAGES
            for q in NARROW
            for name in ("biregular", "random", "iddl", "grouped", "narrow")
        ),
        threads=1,
    ),
}

VERBS = {
    "costs": Verb(
        "Connections, parameters, MACs, FLOPs, bytes and latency of each model.", "mlp.costs:main"
    )
}
