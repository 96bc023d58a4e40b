#!/usr/bin/env bash
# The original study's command line, from where it had it: sizes 1 3 9 (of 1) or 5 7 (of 2).
#
#   cd resnet; ./run_ensemble_experiments.sh 1
#
# Leaves resnet/ensemble_result_${INDEX}_${BEGIN_TIME}.pkl; all else as, and by, the script of the
# ensemble study: bash ensemble/run_ensemble_experiments.sh
FOLDER="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export ENSEMBLE_RESULT_DIR="$FOLDER"
exec bash "$FOLDER/../ensemble/run_ensemble_experiments.sh" "$@"
