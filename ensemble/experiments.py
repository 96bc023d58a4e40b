"""Lists the plans and verbs of `python -m ensemble`, without torch: --help and --list read this.

smoke boost boost_fashion    boosting, voting and longer training            ensemble.plans.boost
paper paper_*                the published ensemble of ResNets               ensemble.plans.paper
budget budget_*              one budget of connections, spent in many ways   ensemble.plans.budget
cascade cascade_*            nets asked in turn                              ensemble.plans.cascade
factors factors_*            members beside pattern, groups and exits        ensemble.plans.factors
"""

from ensemble.plans import boost, budget, cascade, factors, paper
from harness.cli import Verb

PLANS = {
    **boost.PLANS,
    **paper.PLANS,
    **budget.PLANS,
    **cascade.PLANS,
    **factors.PLANS,
}

VERBS = {
    "verify": Verb(
        "Checks the identities that ensembles must fulfil.", "ensemble.identities.findings:main"
    ),
}
