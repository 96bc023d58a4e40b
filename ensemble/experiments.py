"""Lists the plans and verbs of `python -m ensemble`, without torch: --help and --list read this.

smoke boost boost_fashion    boosting, voting and longer training    ensemble.plans.boost
paper paper_smoke            the published ensemble of ResNets       ensemble.plans.paper
budget budget_*              one budget of connections, spent in ways    ensemble.plans.budget
cascade cascade_*            nets asked in turn                      ensemble.plans.cascade
"""

from ensemble.plans import boost, budget, cascade, paper
from harness.cli import Verb

PLANS = {**boost.PLANS, **paper.PLANS, **budget.PLANS, **cascade.PLANS}

VERBS = {
    "verify": Verb(
        "Checks the identities that ensembles must fulfil.", "ensemble.identities.findings:main"
    ),
}
