"""Entry point: `python -m examples.wine smoke`, from the folder that holds `examples`."""

from harness.cli import main

from .experiments import PLANS

raise SystemExit(main(PLANS, str(__package__)))
