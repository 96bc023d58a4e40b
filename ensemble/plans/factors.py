"""The grid of the ResNet study with one more axis: are ensembles independent of its settings?

    pattern    dense, iddl, random_biregular          groups    1, 4
    exits      none, two                              members   1, 4

A run trains five nets: the first is the one of `members` 1, the others are the four. So no net
stands in two cells of the grid, and the errors of its cells are independent. Nets are trained as
those of plan `factors` of the ResNet study; with exits the last one answers.
"""

from dataclasses import dataclass
from itertools import product

from harness.plan import Plan
from resnet.plans.config import Config
from resnet.plans.parts import SMALL

FACTORS = {
    "pattern": ("dense", "iddl", "random_biregular"),
    "groups": (1, 4),
    "exits": ((), (2, 3)),
    "members": (1, 4),
}


@dataclass(frozen=True)
class Grid:
    """A kind of ResNet of which one is trained, and an ensemble of others."""

    pattern: str = "dense"
    """Connections between channels in the blocks."""
    groups: int = 1
    """Separate parts of channels in the blocks."""
    exits: tuple[int, ...] = ()
    """Stages after which a head answers early."""
    members: int = 4
    """Nets of the ensemble."""
    depth: int = 10
    """Layers of a net."""
    width: int = SMALL.width
    """Channels of the stem."""
    each: int = SMALL.epochs
    """Passes over the training set for each net."""
    data: str = SMALL.data
    """Data set, one of pictures."""
    test_split: str = SMALL.test_split
    """holdout: test on the last fifth of the training set; or official."""
    first: int = SMALL.first
    """Read so many training images only; 0: all."""
    validation: int = 500
    """Of these, images set aside, by which one temperature is fitted."""
    batch_size: int = SMALL.batch_size
    """Samples per step."""

    def __post_init__(self):
        if self.members < 1 or self.validation < 1:
            raise ValueError(
                f"members and validation must be at least 1, got {self.members} and "
                f"{self.validation}"
            )
        self.net()

    @property
    def epochs(self) -> int:
        """How many rows a run has: one for each net, the single one first.

        Passes over the samples are --each.
        """
        return self.members + 1

    def net(self) -> Config:
        """Return the config of a net in the ResNet study."""
        return Config(
            depth=self.depth,
            pattern=self.pattern,
            groups=self.groups,
            exits=self.exits,
            width=self.width,
            head="pool",
            data=self.data,
            test_split=self.test_split,
            first=self.first,
            validation=self.validation,
            epochs=self.each,
            batch_size=self.batch_size,
            lr=SMALL.lr,
            momentum=SMALL.momentum,
            weight_decay=SMALL.weight_decay,
            schedule=SMALL.schedule,
        )


def arms(**changes: object) -> dict[str, Grid]:
    """Return every kind of net of the grid, "<pattern>-V<groups>-<full or EE>"."""
    kinds = product(FACTORS["pattern"], FACTORS["groups"], FACTORS["exits"])
    return {
        f"{pattern}-V{groups}-{'EE' if exits else 'full'}": Grid(
            pattern,
            groups,
            exits,
            **changes,  # pyright: ignore[reportArgumentType]
        )
        for pattern, groups, exits in kinds
    }


TINY = dict(data="synthetic_images", test_split="official", first=400, validation=100)
TINY |= dict(width=8, each=2, members=2, batch_size=50)

PLANS = {
    "factors": Plan(
        question="Pattern, groups, exits and four members instead of one: do they act "
        "independently?",
        arms=arms(),
        seeds=(0, 1, 2),
        row="net",
        minutes=90,
        expect="The original study calls its settings orthogonal; nothing published tests it.",
        threads=1,
        keep=True,
    ),
    "factors_smoke": Plan(
        question="The path of plan factors on embedded pictures, tiny nets.",
        arms=arms(**TINY),
        seeds=(0, 1),
        row="net",
        minutes=2,
        threads=1,
    ),
}
