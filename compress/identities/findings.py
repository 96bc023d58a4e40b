"""Shows anyone the identities that compressed nets must fulfil: `python -m compress verify`."""

from harness.result.findings import Findings
from harness.result.subjects import Subjects

SUBJECTS: dict[str, str] = {
    "moving": "compress.identities.moving",
    "file": "compress.identities.filing",
    "prune": "compress.identities.prune",
    "tickets": "compress.identities.tickets",
    "int8": "compress.identities.int8",
}

_SUBJECTS = Subjects("compress", SUBJECTS)
main = _SUBJECTS.main


def verify(*subjects: str) -> Findings:
    """Check the identities that compressed nets must fulfil: `print(verify("moving", "file"))`.

    Args:
        *subjects: Of moving, file, prune, tickets, int8; none: all.

    Raises:
        ValueError: an unknown subject.
    """
    return _SUBJECTS(*subjects)
