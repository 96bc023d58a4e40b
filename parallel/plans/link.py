"""Plans that ask what a slow link asks for: four hosts on a bridge, accuracy over seconds.

plan          what is asked
link_rates    which learning rate reaches the goal in the fewest steps (one seed, simulated)
link          seconds to the goal, over the bandwidth and over the latency of the cables
link_pairs    the same where two workers share a host and its cable

Each run ends when the goal is reached, or at the limit. Arms are named strategy@Mbit/s-ms.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from harness.metric import Metric
from harness.plan import Plan
from harness.valid import check_counts
from parallel.link.cable import Cable
from parallel.plans.gossip import Gossip


@dataclass(frozen=True)
class Linked(Gossip):
    """Workers on hosts of their own, behind cables; or simulated, to tune what a link needs not."""

    switch: int = 0
    """Last step with averaged gradients (post_local_sgd)."""
    rescale: bool = True
    """Subnets make up for absent neurons (ist)."""
    fraction: float = 0.01
    """Of each tensor's gradient, how much is sent (top_k)."""
    rank: int = 2
    """Columns of the thin matrices that are sent (power_sgd)."""
    per_machine: int = 2
    """Workers that average their gradients in every step (hierarchical)."""
    hosts: bool = True
    """Workers are on hosts behind cables; else all are simulated."""
    per_host: int = 1
    """Workers of a host, which share its cable."""
    mbit: float = 0.0
    """Megabits a second that leave a host; 0: as fast as this machine can."""
    latency: float = 0.0
    """Milliseconds that a packet is under way."""
    every: int = 20
    """Steps between two looks at the accuracy (a row each; `epochs` is the most looks)."""
    goal: float = 0.95
    """Test accuracy at which a run ends."""
    limit: float = 60.0
    """Seconds of training after which it ends, too; 0: none."""

    def __post_init__(self):
        super().__post_init__()
        check_counts(self, "every", "per_host", "per_machine")
        if not 0 < self.goal <= 1 or self.limit < 0:
            raise ValueError(f"goal is in (0, 1] and limit >= 0, got {self.goal}, {self.limit}")
        self.cable()

    def cable(self) -> Cable:
        """Return the cable of each host."""
        return Cable(rate=self.mbit * 1e6, delay=self.latency / 1e3)


KINDS: dict[str, dict] = {
    "all-reduce": {},
    "local-sgd": dict(strategy="local_sgd", period=16),
    "post-local-sgd": dict(strategy="post_local_sgd", period=16, switch=40),
    "elastic": dict(strategy="elastic_gossip", probability=0.125),
    "pull": dict(strategy="gossip_pull", probability=0.125),
    "ring": dict(strategy="ring"),
    "exponential": dict(strategy="exponential"),
    "push-sum": dict(strategy="push_sum", period=8),
    "diloco": dict(strategy="diloco", period=16),
    "ist": dict(strategy="ist", period=16),
    "easgd": dict(strategy="easgd", period=16, alpha=0.2),
    "bf16": dict(strategy="bf16"),
    "top-k": dict(strategy="top_k"),
    "power-sgd": dict(strategy="power_sgd"),
}
# Of workers that share hosts; the first is what is new there.
SHARED: dict[str, dict] = {
    "hierarchical": dict(strategy="hierarchical", period=16),
    **{kind: KINDS[kind] for kind in ("all-reduce", "local-sgd")},
}
# Megabits a second and milliseconds. (Latency is 100 Mbit/s at most where the kernel has no netem.)
LINKS = ((1000, 0), (100, 0), (10, 0), (100, 1), (100, 10), (100, 50))
FEW = ((1000, 0), (100, 0), (10, 0), (100, 10))  # behind which the others are tried
ASKED = ("all-reduce", "local-sgd", "post-local-sgd", "elastic", "pull", "ist", "easgd")
BASE = Linked(
    "all_reduce",
    data="mnist",
    test_split="holdout",
    hidden=(256, 256),
    batch_size=256,
    epochs=60,
    lr=0.2,
)
TRIED = (0.05, 0.1, 0.2, 0.4, 0.8)
# (by link_rates, seed 9: the fewest steps. Of most that is the largest rate that was tried)
TUNED = dict.fromkeys(KINDS | SHARED, 0.8) | {"ist": 0.05, "easgd": 0.4}
STEPS = Metric("step", better="lower", unit="", scale=1.0, digits=0)


def arm(kind: str, link: tuple[float, float], base: Linked = BASE) -> tuple[str, Linked]:
    """Return name and config of a strategy behind such cables."""
    mbit, latency = link
    more = dict(mbit=float(mbit), latency=float(latency), lr=TUNED[kind])
    return f"{kind}@{mbit:g}-{latency:g}", replace(base, **(KINDS | SHARED)[kind] | more)


def behind(kind: str, link: tuple[float, float]) -> bool:
    """Return whether plan `link` has a strategy behind such cables."""
    return kind in ASKED or link in FEW


def against(kinds: Iterable[str], link: tuple[float, float]) -> list[tuple[str, str]]:
    """Return the arms of these kinds beside all-reduce, over such cables."""
    return [(arm(kind, link)[0], arm("all-reduce", link)[0]) for kind in kinds]


PAIRS = replace(BASE, per_host=2)
SMOKE = replace(BASE, data="digits", test_split="official", workers=2, batch_size=64, epochs=3)
PLANS = {
    "link_rates": Plan(
        question="The learning rate with which each strategy needs the fewest steps, simulated.",
        arms={
            f"{kind}-{lr:g}": replace(BASE, **words, lr=lr, hosts=False, epochs=100, limit=0)
            for kind, words in (KINDS | SHARED).items()
            for lr in TRIED
        },
        seeds=(9,),
        row="look",
        minutes=12,
        metric=STEPS,
        threads=1,
    ),
    "link": Plan(
        question="What does a slow link ask for? Four machines, seconds to 95 %.",
        arms=dict(arm(kind, link) for link in LINKS for kind in KINDS if behind(kind, link)),
        seeds=tuple(range(5)),
        row="look",
        minutes=120,
        expect="Where bytes cost, who sends less is sooner there; where messages cost, who talks "
        "less often. Needs root, on Linux.",
        compare=tuple(
            pair
            for link in LINKS
            for pair in against([k for k in tuple(KINDS)[1:] if behind(k, link)], link)
        ),
        metric="seconds",
    ),
    "link_pairs": Plan(
        question="Two workers share a host and its cable: what does it gain to agree there first?",
        arms=dict(arm(kind, link, PAIRS) for link in LINKS[:3] for kind in SHARED),
        seeds=tuple(range(5)),
        row="look",
        minutes=28,
        expect="Over a slow cable hierarchical is sooner than all-reduce, and no later than local "
        "SGD. Needs root, on Linux.",
        compare=(
            *(pair for x in LINKS[:3] for pair in against(("hierarchical", "local-sgd"), x)),
            *((arm("hierarchical", x)[0], arm("local-sgd", x)[0]) for x in LINKS[:3]),
        ),
        metric="seconds",
    ),
    "link_smoke": Plan(
        question="The path of plan link on the embedded digits: two machines, two cables.",
        arms=dict(
            arm(kind, link, SMOKE)
            for link in ((100, 0), (100, 5))
            for kind in ("all-reduce", "local-sgd")
        ),
        seeds=(0, 1),
        row="look",
        minutes=0.5,
        metric="seconds",
    ),
}
