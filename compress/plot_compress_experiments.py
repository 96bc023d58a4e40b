#!/usr/bin/env python3
"""Draws a dump of the compression study: `python plot_compress_experiments.py [dump]`, the newest.

Writes beside this script
    fig_compress_experiments_dynamic.{png,eps,json}    error over density, connections that move
    fig_compress_experiments{,_bits}.{png,eps,json}    (deep) error over bytes; what bytes are for
    fig_compress_experiments_bytes.{png,eps,json}      (bytes) error over bytes, kinds of nets
    fig_compress_experiments_tickets.{png,eps,json}    accuracy and stopping over weights left
    fig_compress_experiments_int8.{png,eps,json}       points beside float32 over bytes
    log/compress_experiments_plot_${BEGIN_TIME}.log    the table that it prints

With COMPRESS_RESULT=1 in the environment, as the run script has it, also plain values, the means
over seeds of all rows of each arm: compress_result_${PLAN}_${BEGIN_TIME}.pkl.
--publish writes the figures of a committed study into figure/compress/<plan>/ as well.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
if not __package__:  # started as a script: the packages are one folder up
    sys.path[:1] = [str(HERE.parent)]

from harness.experiment import Experiment  # noqa: E402
from harness.record import store  # noqa: E402
from harness.result import pictures, plotting  # noqa: E402


def main(argv: Sequence[str]) -> int:
    """Run the script; returns 2 where the dump cannot be read."""
    return plotting.run(argv, HERE, figures, table, more=write_means, drawers=drawers)


def figures(whole: Experiment) -> list[pictures.Picture]:
    """Return name, figure and data of each picture."""
    return pictures.all_of(drawers(whole))


def drawers(whole: Experiment) -> pictures.Drawers:
    """Return what draws each picture, by the picture's name."""
    return _plots(whole).drawers(whole)


def table(whole: Experiment) -> Iterator[str]:
    """Yield the lines of the plan's table."""
    yield from _plots(whole).text(whole)


def write_means(whole: Experiment, out: Path, begin: str) -> None:
    """Write the plain values of a run of the script; of a record that is only drawn, nothing."""
    if os.environ.get("COMPRESS_RESULT") == "1":
        from compress.plots.means import plain

        path = out / f"compress_result_{whole.plan}_{begin}.pkl"
        print(f"values: {store.dump_plain(plain(whole), path)}")


def _plots(whole: Experiment) -> Any:
    """Return the module that knows the plan of this record."""
    from compress.plots import dynamic, files, int8, kinds, tickets

    known = {"deep": files, "bytes": kinds, "tickets": tickets, "int8": int8}
    return known.get(whole.plan.partition("_")[0], dynamic)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
