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
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# $PYTHON, else the active environment, else the .venv that make has built here.
for PYTHON in "${PYTHON:-python}" .venv/bin/python; do
  if "$PYTHON" -c 'import tyro, harness' 2> /dev/null; then break; fi
  PYTHON=
done
if [ -z "$PYTHON" ]; then
  echo "error: no Python here has the package; 'make demo' installs it into .venv (see setup.md)" >&2
  exit 2
fi

BEGIN_TIME="${BEGIN_TIME:-$(date +%Y%m%d_%H%M%S)}"
export BEGIN_TIME PYTHON
LOG="mlp/log/mlp_experiments_${BEGIN_TIME}"
DUMP="mlp/mlp_experiments_${BEGIN_TIME}.p"

if [ "${1:-}" = --detach ]; then
  shift
  mkdir -p mlp/log
  nohup bash mlp/run_mlp_experiments.sh "$@" > /dev/null 2>&1 < /dev/null &
  echo "started in the background; follow it with: tail -f ${LOG}.log"
  exit 0
fi

PLAN=paper
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
  PLAN=$1
  shift
fi

mkdir -p mlp/log
# -i: Ctrl-C is for python, which still has something to say.
exec > >(tee -i -a "${LOG}.log") 2>&1
STATUS=0
"$PYTHON" -m mlp "$PLAN" --dump "$DUMP" --pid "${LOG}_pid.txt" "$@" || STATUS=$?
if [ -f "$DUMP" ]; then
  "$PYTHON" mlp/plot_mlp_experiments.py "$DUMP" || STATUS=$?
fi
echo "log: ${LOG}.log"
exit "$STATUS"
