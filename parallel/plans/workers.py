"""The plan of 1 to 64 workers at equal samples: who talks how, and how far they drift apart."""

from dataclasses import replace

from harness.plan import Plan
from parallel.plans.gossip import Gossip

NUMBERS = (1, 2, 4, 8, 16, 32, 64)
CROWD = Gossip("all_reduce", epochs=40, lr=0.02, momentum=0.9)


def worker_arms(base: Gossip) -> dict[str, Gossip]:
    """Return four strategies at each number of workers; 8 samples a worker and step."""
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


PLANS = {
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
