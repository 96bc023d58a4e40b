"""The entry point of `python -m resnet`; its words are listed by `python -m resnet --help`."""

from harness.cli import main
from resnet.experiments import PLANS, VERBS

raise SystemExit(main(PLANS, "resnet", VERBS))
