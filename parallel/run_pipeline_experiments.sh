#!/usr/bin/env bash
# Runs one plan of the pipeline studies, then draws its figures.
#
#   bash parallel/run_pipeline_experiments.sh [plan] [options]      the plan is "staleness" unless named
#   bash parallel/run_pipeline_experiments.sh vgg16 pipedream 4     one net, method, number of stages
#   ./run_pipeline_experiments.sh --detach staleness_fashion        in the background, survives logout
#
# Methods are sgd (no pipeline; any number), vanilla, pipedream, v1, v2. Leaves what
# run_parallel_experiments.sh leaves; the same plan again resumes.
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

DETACH=()
if [ "${1:-}" = --detach ]; then
  DETACH=(--detach)
  shift
fi
case "${1:-}" in
  vgg16 | resnet50) PLAN=spectrain_images ;;
  densenet121) PLAN=spectrain_images2 ;;
  googlenet) PLAN=spectrain_images3 ;;
  residual_lstm | transformer) PLAN=spectrain_texts ;;
  *) PLAN= ;;
esac
if [ -n "$PLAN" ]; then
  if [ $# -lt 3 ]; then
    echo "error: got '$*'; expected <net> <method> <stages>, such as $1 pipedream 4" >&2
    exit 2
  fi
  case "$2" in
    sgd) ARM="$1-sgd" ;;
    v1 | v2) ARM="$1-spectrain_$2-$3" ;;
    *) ARM="$1-$2-$3" ;;
  esac
  shift 3
  set -- "$PLAN" --arms "$ARM" "$@"
fi
exec bash "$HERE/../harness/run_study.sh" parallel staleness "${DETACH[@]}" "$@"
