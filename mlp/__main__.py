"""The entry point of `python -m mlp`; its words are listed by `python -m mlp --help`."""

from harness.cli import main
from mlp.experiments import PLANS, VERBS

raise SystemExit(main(PLANS, "mlp", VERBS))
