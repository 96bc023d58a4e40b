#!/usr/bin/env python3
"""Draws a dump of the ensemble study: `python plot_ensemble_experiments.py [dump]`, the newest one.

Writes beside this script
    ensemble_growth.{png,eps,json}     accuracy and calibrated NLL over members, a panel per net
    ensemble_boosting.{png,eps,json}   weighted error and effective sample of each boosted member
    log/ensemble_experiments_plot_${BEGIN_TIME}.log      the table that it prints

--publish writes the figures of a committed study into figure/ensemble/<plan>/ as well.
"""

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
if not __package__:  # started as a script: the packages are one folder up
    sys.path[:1] = [str(HERE.parent)]

from harness.experiment import Experiment  # noqa: E402
from harness.result import pictures, plotting  # noqa: E402
from harness.result.stats import interval, paired  # noqa: E402


def main(argv: Sequence[str]) -> int:
    """Run the script; returns 2 where the dump cannot be read."""
    return plotting.run(argv, HERE, figures, table, drawers=drawers)


def figures(whole: Experiment) -> list[pictures.Picture]:
    """Return name, figure and data of each picture."""
    return pictures.all_of(drawers(whole))


def drawers(whole: Experiment) -> pictures.Drawers:
    """Return what draws each picture, by the picture's name."""
    from ensemble.plots import growth

    return {
        "ensemble_growth": partial(growth.draw, whole),
        "ensemble_boosting": partial(growth.boosting, whole),
    }


def table(whole: Experiment) -> Iterator[str]:
    """Yield the lines of the table: accuracy of each arm, and what is gained over one net."""
    from ensemble.plots.growth import kinds, nets, stands_on

    yield stands_on(whole)
    head = "mean of probabilities", "majority", "boosting's vote", "minus one net, as long"
    yield f"{'':<22} {head[0]:<22} {head[1]:<22} {head[2]:<22} {head[3]}"
    for net in nets(whole):
        for kind in kinds(whole, net):
            arm = f"{net}-{kind}"
            cells = [_cell(whole, arm, k) for k in ("test_accuracy", "hard_accuracy")]
            cells.append(_cell(whole, arm, "vote_accuracy"))
            yield f"{arm:<22} " + " ".join(f"{c:<22}" for c in [*cells, _gain(whole, net, kind)])


def _cell(whole: Experiment, arm: str, key: str) -> str:
    values = [v for v in whole.final(arm, key).values() if v is not None]
    return interval(values).text() if values else "-"


def _gain(whole: Experiment, net: str, kind: str) -> str:
    first, second = f"{net}-{kind}", f"{net}-single"
    a, b = (whole.final(arm, "test_accuracy") for arm in (first, second))
    found = paired(first, second, a, b) if kind != "single" else None
    return found.text if found else "-"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
