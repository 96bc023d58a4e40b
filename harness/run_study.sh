#!/usr/bin/env bash
# What the run_*_experiments.sh of all studies do: run one plan with a dated log and dump, then draw.
#
#   harness/run_study.sh FOLDER PLAN-UNLESS-NAMED [--detach] [plan] [options]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
FOLDER=$1 PLAN=$2
shift 2

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
LOG="${FOLDER}/log/${FOLDER}_experiments_${BEGIN_TIME}"
DUMP="${FOLDER}/${FOLDER}_experiments_${BEGIN_TIME}.p"

if [ "${1:-}" = --detach ]; then
  shift
  mkdir -p "${FOLDER}/log"
  nohup bash harness/run_study.sh "$FOLDER" "$PLAN" "$@" > /dev/null 2>&1 < /dev/null &
  echo "started in the background; follow it with: tail -f ${LOG}.log"
  exit 0
fi

if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
  PLAN=$1
  shift
fi

mkdir -p "${FOLDER}/log"
# -i: Ctrl-C is for python, which still has something to say.
exec > >(tee -i -a "${LOG}.log") 2>&1
STATUS=0
# The figures are drawn once: by the plot script, beside it; the report has them in itself.
"$PYTHON" -m "$FOLDER" "$PLAN" --no-figures --dump "$DUMP" --pid "${LOG}_pid.txt" "$@" || STATUS=$?
if [ -f "$DUMP" ]; then
  "$PYTHON" "${FOLDER}/plot_${FOLDER}_experiments.py" "$DUMP" || STATUS=$?
fi
echo "log: ${LOG}.log"
exit "$STATUS"
