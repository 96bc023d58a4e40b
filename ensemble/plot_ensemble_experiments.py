#!/usr/bin/env python3
"""Draws a dump of the ensemble study: `python plot_ensemble_experiments.py [dump]`, the newest one.

Writes beside this script
    ensemble_growth.{png,eps,json}      accuracy and calibrated NLL over members, a panel per net
    ensemble_boosting.{png,eps,json}    weighted error and effective sample of each boosted member
    ensemble_diversity.{png,eps,json}   how often members disagree, over how good they are alone
    fig_ensemble_experiments{,_improved}.{png,eps,json}     (paper) as the original study's
    (of plans budget, cascade and factors: what plots/ has for these)
    log/ensemble_experiments_plot_${BEGIN_TIME}.log      the table that it prints

Also reads the original project's ensemble_result_*.pkl (plain values; nothing is run). With INDEX
1 or 2 in the environment it writes such a dump of the plan paper, as the run script does.
--publish writes the figures of a committed study into figure/ensemble/<plan>/ as well.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
if not __package__:  # started as a script: the packages are one folder up
    sys.path[:1] = [str(HERE.parent)]

from harness.experiment import Experiment  # noqa: E402
from harness.record import store  # noqa: E402
from harness.result import pictures, plotting  # noqa: E402


def main(argv: Sequence[str]) -> int:
    """Run the script; returns 2 where the dump cannot be read."""
    return plotting.run(argv, HERE, figures, table, read, write_sizes, drawers)


def figures(whole: Experiment) -> list[pictures.Picture]:
    """Return name, figure and data of each picture."""
    return pictures.all_of(drawers(whole))


def drawers(whole: Experiment) -> pictures.Drawers:
    """Return what draws each picture, by the picture's name."""
    from ensemble.plots import bars, budget, cascade, factors, growth

    for kind in (budget, cascade, factors):
        if whole.plan.partition("_")[0] == kind.__name__.rpartition(".")[2]:
            return kind.drawers(whole)
    found: dict[str, pictures.Callable] = {}
    if bars.arm(whole) and whole.plan.partition("_")[0] in ("paper", "original"):
        found = {
            "fig_ensemble_experiments": partial(bars.draw, whole, note(whole)),
            "fig_ensemble_experiments_improved": partial(bars.improved, whole, note(whole)),
        }
    if whole.plan != "original":
        found["ensemble_growth"] = partial(growth.draw, whole)
        found["ensemble_boosting"] = partial(growth.boosting, whole)
        found["ensemble_diversity"] = partial(growth.diversity, whole)
    return found


def note(whole: Experiment) -> str:
    """Say what the bars stand on."""
    from ensemble.plots import growth

    return "a dump, one run" if whole.plan == "original" else growth.stands_on(whole)


def table(whole: Experiment) -> Iterator[str]:
    """Yield the lines of the plan's table."""
    from ensemble.plots import tables

    yield from tables.lines(whole)


def read(path: Path) -> Experiment:
    """Read a record, or sizes and accuracies as the original project dumped them."""
    from ensemble.plots import bars

    return bars.read(path) if path.name.startswith(bars.STEM) else store.load(path)


def write_sizes(whole: Experiment, out: Path, begin: str) -> None:
    """Write the accuracies of the sizes that INDEX stands for, as the original script did."""
    index = os.environ.get("INDEX", "")
    if not index or whole.plan != "paper":
        return
    from ensemble.plots import bars

    folder = Path(os.environ.get("ENSEMBLE_RESULT_DIR") or out)
    path = folder / f"{bars.STEM}{index}_{begin}.pkl"
    print(f"sizes: {store.dump_plain(bars.dump(whole, index), path)}")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
