#!/usr/bin/env bash
# Runs one plan of the ensemble study, then draws its figures.
#
#   bash ensemble/run_ensemble_experiments.sh [plan] [options]      the plan is "boost" unless named
#   bash ensemble/run_ensemble_experiments.sh 1                     as the original: sizes 1 3 9
#   bash ensemble/run_ensemble_experiments.sh 2                     sizes 5 7
#   ./run_ensemble_experiments.sh --detach boost               in the background, survives logout
#
# Leaves  ensemble/log/ensemble_experiments_${BEGIN_TIME}.log       what was printed
#         ensemble/log/ensemble_experiments_${BEGIN_TIME}_pid.txt   process id of the run
#         ensemble/ensemble_experiments_${BEGIN_TIME}.p             the Experiment of this call
#         ensemble/*ensemble_*.{png,eps}                            the figures
#         ensemble/ensemble_result_${INDEX}_${BEGIN_TIME}.pkl       (of 1 and 2) size: accuracy
# 1 and 2 are the rule's arm of plan paper, whose nine members hold all sizes: what one of them has
# trained, the other reads. The same plan again resumes. `python -m ensemble --help` lists plans.
WORDS=()
if [ "${1:-}" = --detach ]; then
  WORDS=(--detach)
  shift
fi
case "${1:-}" in
  1 | 2)
    export INDEX=$1
    shift
    set -- paper --arms B-ResNet-18-V4-iddl "$@"
    ;;
esac
RUN="$(dirname "${BASH_SOURCE[0]}")/../harness/run_study.sh"
exec bash "$RUN" ensemble boost ${WORDS[@]+"${WORDS[@]}"} "$@"
