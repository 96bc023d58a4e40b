#!/usr/bin/env bash
# Runs one plan of the ensemble study, then draws its figures.
#
#   bash ensemble/run_ensemble_experiments.sh [plan] [options]      the plan is "boost" unless named
#   ./run_ensemble_experiments.sh --detach boost               in the background, survives logout
#
# Leaves  ensemble/log/ensemble_experiments_${BEGIN_TIME}.log       what was printed
#         ensemble/log/ensemble_experiments_${BEGIN_TIME}_pid.txt   process id of the run
#         ensemble/ensemble_experiments_${BEGIN_TIME}.p             the Experiment of this call
#         ensemble/ensemble_experiments*.{png,eps}                  the figures
# The same plan again resumes. `python -m ensemble --help` lists plans and options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../harness/run_study.sh" ensemble boost "$@"
