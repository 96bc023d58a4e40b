"""Shows anyone the identities that compressed nets must fulfil: `python -m compress verify`."""

from harness.result.subjects import Subjects

SUBJECTS: dict[str, str] = {
    "moving": "compress.identities.moving",
    "file": "compress.identities.filing",
    "prune": "compress.identities.prune",
    "tickets": "compress.identities.tickets",
    "int8": "compress.identities.int8",
}

verify = Subjects("compress", SUBJECTS)
main = verify.main
