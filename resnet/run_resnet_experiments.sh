#!/usr/bin/env bash
# Runs one plan of the ResNet study, then draws its figures.
#
#   bash resnet/run_resnet_experiments.sh [plan] [options]      the plan is "cpu" unless named
#   ./run_resnet_experiments.sh --detach paper               in the background, survives logout
#
# Leaves  resnet/log/resnet_experiments_${BEGIN_TIME}.log       what was printed
#         resnet/log/resnet_experiments_${BEGIN_TIME}_pid.txt   process id of the run
#         resnet/resnet_experiments_${BEGIN_TIME}.p             the Experiment of this call
#         resnet/fig_resnet_*.{png,eps}                   the figures
#         resnet/accuracy_array_${BEGIN_TIME}.pkl, resnet/model_name_array_${BEGIN_TIME}.pkl
# The same plan again resumes. `python -m resnet --help` lists plans and options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../harness/run_study.sh" resnet cpu "$@"
