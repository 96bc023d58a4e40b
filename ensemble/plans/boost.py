"""Plans that ask what boosting, voting and longer training each give, at equally many steps.

    arm                    what it is
    B-3-1-single           one net, trained as long as all members of the others together
    B-3-1-snapshots        the same, its rate falling to 0 once per member; a member at each end
    B-3-1-independent      members that differ by their start and the order of their data
    B-3-1-bagging          each on its own draw of the data, with replacement
    B-3-1-samme-0.1        boosting as in scikit-learn, a tenth of a member's weight counts
    B-3-1-iddl             the original study's rule, which raises the samples that are right

B-3-1 and B-3-4 are the smallest and the largest sparse net of the original study (pattern iddl,
784-16-20-10 and 784-49-56-10), 3-1 the dense net of the smaller size. Each has nine members.
"""

from dataclasses import replace

from ensemble.plans.config import Config
from harness.plan import Plan

NETS = {
    "B-3-1": dict(hidden=(16, 20), pattern="iddl"),
    "B-3-4": dict(hidden=(49, 56), pattern="iddl"),
    "3-1": dict(hidden=(16, 20), pattern="dense"),
}
SHRINKAGES = (1.0, 0.3, 0.1)
PLAIN = ("single", "snapshots", "independent", "bagging")
KINDS = (*PLAIN, *(f"samme-{s:g}" for s in SHRINKAGES), "iddl")
RIVALS = ("single", "independent")


def kind(base: Config, name: str) -> Config:
    """The config of a kind of ensemble, such as samme-0.1."""
    method, _, shrinkage = name.partition("-")
    return replace(base, method=method, shrinkage=float(shrinkage or 1))


def arms(base: Config, nets: tuple[str, ...] = tuple(NETS)) -> dict[str, Config]:
    """Each kind of ensemble, of each net."""
    found = {}
    for net in nets:
        shaped = replace(base, **NETS[net])  # pyright: ignore[reportArgumentType]
        found |= {f"{net}-{name}": kind(shaped, name) for name in KINDS}
    return found


def pairs(nets: tuple[str, ...] = tuple(NETS)) -> tuple[tuple[str, str], ...]:
    """What is compared: each kind with one net trained as long, and with independent members."""
    return tuple(
        (f"{net}-{name}", f"{net}-{rival}")
        for net in nets
        for rival in RIVALS
        for name in KINDS
        if name != rival and (rival, name) != ("independent", "single")
    )


MNIST = Config("single")
DIGITS = Config("single", data="digits", members=3, each=8, validation=200, lr=0.1, hidden=(16, 20))
EXPECT = "A probe, MNIST, B-3-1, nine members: single 88.4, independent 90.7, SAMME at .3 91.7."

PLANS = {
    "smoke": Plan(
        question="The whole path on the embedded digits: every kind of ensemble, three members.",
        arms=arms(DIGITS, ("B-3-1",)),
        seeds=tuple(range(5)),
        row="member",
        minutes=0.3,
        compare=pairs(("B-3-1",)),
        threads=1,
    ),
    "boost": Plan(
        question="What do boosting, voting and longer training each give, at equal steps? MNIST.",
        arms=arms(MNIST),
        seeds=tuple(range(10)),
        row="member",
        minutes=25,
        expect=EXPECT,
        compare=pairs(),
        threads=1,
    ),
    "boost_fashion": Plan(
        question="The same on Fashion-MNIST.",
        arms=arms(replace(MNIST, data="fashion_mnist")),
        seeds=tuple(range(10)),
        row="member",
        minutes=25,
        compare=pairs(),
        threads=1,
    ),
}
