"""Nets asked in turn until one is sure, against single nets of every size.

    single nets     dense half quarter eighth slim      dense, 334,496 to 15,248 connections
                    sparse wide                         sparse, 15,264 and 77,120
    averaged        narrow-4, wide-4, sparse-22         while the mean is unsure
                    sparse>narrow-4                     one sparse net first
    replaced        sparse>dense slim>dense half>dense  the dense net has the last word
    exits           dense-exits                         a head after the first hidden layer of dense
                    stairs-exits                        1024-72-256-900-10, a head after each of two
                    wide-exits                          a head after the first hidden layer of wide
                    sparse>stairs-exits                 one sparse net first

`stairs` has as many connections as `dense`, and layers that grow, so that its first answers are
cheap. Heads are linear and learn with the net, from the sum of all losses; the last exit that was
asked has the word. A head's answer costs what it needs beyond the answers before it.

`slim` has as many connections as `sparse`: what a cheap first opinion is worth, sparse or not. The
threshold is fitted on the validation part with a one-sided bound on the loss. The nets are those of
plan `budget`, from the same starts, designs and orders.
"""

from dataclasses import dataclass, replace

from ensemble.plans.budget import DENSE, SIDES, WIDE, WORDS, Budget
from harness.data import check_dataset
from harness.metric import Metric
from harness.names import check
from harness.plan import Plan
from harness.valid import check_counts, check_sgd


@dataclass(frozen=True)
class Exits(Budget):
    """One net that answers after some of its hidden layers too."""

    exits: tuple[int, ...] = (1,)
    """Hidden layers, from 1, after which a head answers; the end of the net is one more exit."""

    def __post_init__(self):
        super().__post_init__()
        fine = range(1, len(self.hidden) + 1)
        if not self.exits or sorted({*self.exits} & {*fine}) != list(self.exits):
            raise ValueError(
                f"exits must be hidden layers, 1 to {len(self.hidden)}, in ascending order, got "
                f"{self.exits}"
            )
        if self.members != 1 or self.designs not in ("dense", "different"):
            raise ValueError(
                "exits are those of one net, dense or of a design, got "
                f"members={self.members} and designs={self.designs!r}"
            )

    @property
    def answers(self) -> int:
        """How many answers the net gives to a sample: one at each exit."""
        return len(self.exits) + 1


LINKS = {
    "dense": SIDES["dense"],
    "half": Budget(hidden=(136, 150)),
    "quarter": Budget(hidden=(72, 90)),
    "eighth": Budget(hidden=(38, 50)),
    "slim": Budget(hidden=(14, 38)),
    "sparse": Budget("different"),
    "wide": Budget("different", hidden=WIDE),
    "narrow-4": SIDES["narrow-4"],
    "wide-4": SIDES["wide-4"],
    "sparse-22": SIDES["different-22"],
    "dense-exits": Exits(),
    "stairs-exits": Exits(hidden=(72, 256, 900), exits=(1, 2)),
    "wide-exits": Exits("different", hidden=WIDE),
}
SINGLE = ("dense", "half", "quarter", "eighth", "slim", "sparse", "wide")
AVERAGED = ("narrow-4", "wide-4", "sparse-22", "sparse>narrow-4")
REPLACED = ("sparse>dense", "slim>dense", "half>dense")
EXITS = ("dense-exits", "stairs-exits", "wide-exits", "sparse>stairs-exits")


@dataclass(frozen=True)
class Chain:
    """Nets that are asked in turn, and how they are trained."""

    links: tuple[str, ...]
    """Nets in the order in which they are asked."""
    answer: str = "average"
    """average: of all that were asked; replace: the last one's."""
    loss: float = 0.005
    """The most that the threshold may lose, of all samples, against asking all links."""
    each: int = 8
    """Passes over the training set for each net."""
    data: str = "mnist"
    """Data set: {}, or csv:FILE[:COLUMN] of your own."""
    test_split: str = "official"
    """official, or holdout: test on the last fifth of the training set."""
    pad: int = 2
    """Border of zeros around pictures."""
    validation: int = 5000
    """Training samples set aside, by which temperature and thresholds are fitted."""
    batch_size: int = 128
    """Samples per step."""
    lr: float = 0.1
    """Learning rate of SGD, falling to 0 by a cosine."""
    momentum: float = 0.9
    """Momentum of SGD."""
    small: int = 1
    """Divide all widths by this, for a trial."""

    def __post_init__(self):
        check_dataset(self.data)
        for link in self.links:
            check("link", link, LINKS)
        check("answer", self.answer, ("average", "replace"))
        check("test_split", self.test_split, WORDS["test_split"])
        check_counts(self, "each", "batch_size", "validation", "small")
        if not self.links or not 0 < self.loss < 1:
            raise ValueError(
                f"a chain has links, and a loss in ]0, 1[; got {self.links} and {self.loss}"
            )
        check_sgd(self)

    @property
    def epochs(self) -> int:
        """How many rows a run has: one for each link, with the chain so far.

        Passes over the samples are --each.
        """
        return len(self.links)

    def side(self, link: str) -> Budget:
        """Return the config of a link's nets."""
        found = LINKS[link]
        shared = ("data", "test_split", "pad", "validation", "batch_size", "lr", "momentum")
        changes = {name: getattr(self, name) for name in shared}
        hidden = tuple(max(4, width // self.small) for width in found.hidden)
        return replace(found, hidden=hidden, epochs=self.each, **changes)


def chain(name: str) -> Chain:
    """Return the chain of this name, such as sparse>dense."""
    return Chain(tuple(name.split(">")), "replace" if name in REPLACED + EXITS else "average")


ARMS = {name: chain(name) for name in (*SINGLE, *AVERAGED, *REPLACED, *EXITS)}
TINY = dict(data="digits", pad=0, validation=400, batch_size=32, each=3, small=8, loss=0.02)
assert ARMS["dense"].side("dense").hidden == DENSE


def compared(names: dict[str, Chain]) -> tuple[tuple[str, str], ...]:
    """Return the pairs: every chain with the one dense net, and sparse first with slim first."""
    pairs = [(name, "dense") for name in names if name not in SINGLE]
    return (*pairs, ("sparse>dense", "slim>dense"))


ACCURACY = Metric("test_accuracy")
PLANS = {
    "cascade": Plan(
        question="Nets asked in turn until one is sure: what accuracy costs, in MACs and time. "
        "MNIST.",
        arms=ARMS,
        seeds=tuple(range(5)),
        row="link",
        minutes=40,
        expect="A probe: sparse, then four narrow: the dense net's 98.2 at 22 % of its MACs.",
        compare=compared(ARMS),
        metric=ACCURACY,
        threads=1,
        keep=True,
    ),
    "cascade_fashion": Plan(
        question="The same on Fashion-MNIST.",
        arms={name: replace(config, data="fashion_mnist") for name, config in ARMS.items()},
        seeds=tuple(range(5)),
        row="link",
        minutes=40,
        expect="A probe: sparse, then dense: the dense net's 88.5 at 20 to 36 % of its MACs.",
        compare=compared(ARMS),
        metric=ACCURACY,
        threads=1,
        keep=True,
    ),
    "cascade_smoke": Plan(
        question="The path of plan cascade on the embedded digits, tiny nets.",
        arms={
            name: replace(ARMS[name], **TINY)
            for name in (
                "dense",
                "slim",
                "sparse>narrow-4",
                "sparse>dense",
                "slim>dense",
                "sparse>stairs-exits",
            )
        },
        seeds=(0, 1),
        row="link",
        minutes=0.3,
        compare=(("sparse>dense", "dense"), ("sparse>dense", "slim>dense")),
        metric=ACCURACY,
        threads=1,
    ),
}
