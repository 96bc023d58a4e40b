"""Shows anyone the identities that compressed nets must fulfil: `python -m compress verify`."""

from harness.result.subjects import Subjects

SUBJECTS: dict[str, str] = {
    "file": "compress.identities.filing",
}

verify = Subjects("compress", SUBJECTS)
main = verify.main
