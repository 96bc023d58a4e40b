"""The plan that tries ten strategies on two small tasks: the whole path in a minute."""

from dataclasses import dataclass, replace

from harness.plan import Plan
from parallel.plans.gossip import Gossip


@dataclass(frozen=True)
class Every(Gossip):
    """Any strategy, with all settings that one may have."""

    rescale: bool = True
    """Subnets make up for absent neurons (ist)."""
    switch: int = 0
    """Last step with averaged gradients (post_local_sgd)."""


def both(base: Every) -> dict[str, Every]:
    """Return an arm of each strategy on one task."""
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


PLANS = {
    "smoke": Plan(
        question="Ten strategies on Iris and digits, four workers.",
        arms=both(Every("local", data="iris", model="iris", batch_size=16, epochs=8))
        | both(Every("local", batch_size=32, epochs=8)),
        seeds=tuple(range(3)),
        minutes=0.8,
        expect="All come close to one another but `local`: a mean of several starts is no net.",
        threads=1,
    ),
}
