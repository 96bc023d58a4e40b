"""The entry point of `python -m parallel`; `python -m parallel --help` lists its words."""

from harness.cli import main
from parallel.experiments import PLANS, VERBS

if __name__ == "__main__":  # (processes of World.procs import this file again)
    raise SystemExit(main(PLANS, "parallel", VERBS))
