"""The entry point of `python -m ensemble`; its words are listed by `python -m ensemble --help`."""

from ensemble.experiments import PLANS, VERBS
from harness.cli import main

if __name__ == "__main__":
    raise SystemExit(main(PLANS, "ensemble", VERBS))
