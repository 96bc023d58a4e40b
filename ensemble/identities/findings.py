"""Shows anyone the identities that ensembles must fulfil: `python -m ensemble verify`."""

from harness.result.subjects import Subjects

SUBJECTS = {
    "members": "ensemble.identities.joining",
    "combine": "ensemble.identities.combining",
    "scores": "ensemble.identities.scoring",
    "cascade": "ensemble.identities.cascading",
    "boosting": "ensemble.identities.boosting",
    "training": "ensemble.identities.training",
}

verify = Subjects("ensemble", SUBJECTS)
main = verify.main
