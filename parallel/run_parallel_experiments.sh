#!/usr/bin/env bash
# Runs one plan of the data-parallel studies, then draws its figures.
#
#   bash parallel/run_parallel_experiments.sh [plan] [options]      the plan is "workers" unless named
#   ./run_parallel_experiments.sh --detach gossip_mnist             in the background, survives logout
#
# Leaves  parallel/log/parallel_experiments_${BEGIN_TIME}.log       what was printed
#         parallel/log/parallel_experiments_${BEGIN_TIME}_pid.txt   process id of the run
#         parallel/parallel_experiments_${BEGIN_TIME}.p             the Experiment of this call
#         parallel/parallel_*.{png,eps}                             the figures
# The same plan again resumes. `python -m parallel --help` lists plans and options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../harness/run_study.sh" parallel workers "$@"
