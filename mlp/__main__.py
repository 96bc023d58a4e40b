"""Entry point: `python -m mlp --help`."""

from harness.cli import main
from mlp.experiments import PLANS, VERBS

raise SystemExit(main(PLANS, "mlp", VERBS))
