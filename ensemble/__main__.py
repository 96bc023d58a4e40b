"""The entry point of `python -m ensemble`; `python -m ensemble --help` lists its words."""

from harness.cli import Verb, main

VERBS = {
    "verify": Verb(
        "Checks the identities that ensembles must fulfil.", "ensemble.identities.findings:main"
    ),
}

if __name__ == "__main__":
    raise SystemExit(main({}, "ensemble", VERBS))
