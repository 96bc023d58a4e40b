"""Lists the plans and verbs of `python -m ensemble`, without torch: --help and --list read this.

smoke boost boost_fashion    boosting, voting and longer training    ensemble.plans.boost
"""

from ensemble.plans import boost
from harness.cli import Verb

PLANS = {**boost.PLANS}

VERBS = {
    "verify": Verb(
        "Checks the identities that ensembles must fulfil.", "ensemble.identities.findings:main"
    ),
}
