"""The entry point of `python -m compress`; its words are listed by `python -m compress --help`."""

from compress.experiments import PLANS, VERBS
from harness.cli import main

if __name__ == "__main__":
    raise SystemExit(main(PLANS, "compress", VERBS))
