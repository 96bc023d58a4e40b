"""Lists plans and verbs of `python -m parallel`, without torch: `--help` and `--list` read this.

smoke                          ten strategies            parallel.plans.smoke
gossip_mnist gossip_cifar10    how little talk           parallel.plans.gossip
ist                            slices of every layer     parallel.plans.subnets
workers                        1 to 64 of them           parallel.plans.workers
staleness staleness_*          up to which rate          parallel.plans.staleness
spectrain_*                    what late weights cost    parallel.plans.spectrain
optimizers                     which of them bear it     parallel.plans.optimizers
link link_rates                what a slow link asks for parallel.plans.link
"""

from harness.cli import Verb
from parallel.plans import gossip, link, optimizers, smoke, spectrain, staleness, subnets, workers

PLANS = {
    **smoke.PLANS,
    **gossip.PLANS,
    **subnets.PLANS,
    **workers.PLANS,
    **staleness.PLANS,
    **spectrain.PLANS,
    **optimizers.PLANS,
    **link.PLANS,
}

VERBS = {
    "verify": Verb(
        "Checks the identities that strategies must fulfil.", "parallel.identities.findings:main"
    ),
    "schedule": Verb(
        "What a pipeline does when: table, bubble, activations, delays.",
        "parallel.pipeline.show:main",
    ),
    "memory": Verb(
        "What a rank holds and sends: all-reduce and ZeRO, by formula.",
        "parallel.zero.memory:main",
    ),
    "clock": Verb(
        "Predicts the seconds of a step: 8 to 1,024 workers, 1 to 400 Gbit/s.",
        "parallel.linked.clock:main",
    ),
    "gossip": Verb("The experiments of the elastic-gossip thesis.", "parallel.thesis.main:main"),
}
