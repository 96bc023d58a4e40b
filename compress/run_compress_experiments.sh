#!/usr/bin/env bash
# Runs one plan of the compression study, then draws its figures.
#
#   bash compress/run_compress_experiments.sh [plan] [options]    the plan is "dynamic" unless named
#   ./run_compress_experiments.sh --detach dynamic                in the background
#
# Leaves  compress/log/compress_experiments_${BEGIN_TIME}.log       what was printed
#         compress/log/compress_experiments_${BEGIN_TIME}_pid.txt   process id of the run
#         compress/compress_experiments_${BEGIN_TIME}.p             the Experiment of this call
#         compress/compress_result_${PLAN}_${BEGIN_TIME}.pkl        arm: its rows, means over seeds
#         compress/fig_compress_experiments*.{png,eps}              the figures
# The same plan again resumes. `python -m compress --help` lists plans and options.
export COMPRESS_RESULT=1
exec bash "$(dirname "${BASH_SOURCE[0]}")/../harness/run_study.sh" compress dynamic "$@"
