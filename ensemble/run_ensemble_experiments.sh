#!/usr/bin/env bash
# Runs one plan of the MLP study, then draws its figures.
#
#   bash mlp/run_mlp_experiments.sh [plan] [options]      the plan is "paper" unless named
#   ./run_mlp_experiments.sh --detach paper               in the background, survives logout
#
# Leaves  mlp/log/mlp_experiments_${BEGIN_TIME}.log       what was printed
#         mlp/log/mlp_experiments_${BEGIN_TIME}_pid.txt   process id of the run
#         mlp/mlp_experiments_${BEGIN_TIME}.p             the Experiment of this call
#         mlp/mlp_experiments*.{png,eps}                  the figures
# The same plan again resumes. `python -m mlp --help` lists plans and options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../harness/run_study.sh" mlp paper "$@"
