#!/usr/bin/env python3
"""Draws a dump of the pipeline studies: `python plot_pipeline_experiments.py [dump]`.

Writes beside this script
    parallel_{rates,largest,prediction}.{png,eps,json}   of plans staleness*
    parallel_nets.{png,eps,json}                         of plans spectrain_*
    parallel_optimizers.{png,eps,json}                   of plan optimizers
    log/parallel_experiments_plot_${BEGIN_TIME}.log      the table that it prints

It is plot_parallel_experiments.py by another name: parallel is one study.
"""

import sys
from pathlib import Path

if not __package__:  # started as a script: the packages are one folder up
    sys.path[:1] = [str(Path(__file__).resolve().parent.parent)]

from parallel.plot_parallel_experiments import main

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
