"""A run with the weights of a small net that is not trained, and what its page is made of."""

from dataclasses import replace

import torch
from torch import nn

from harness.job import Job
from harness.record import store, weights
from harness.record.study import Study
from resnet.experiments import PLANS
from resnet.trainer import build, read
from tests.tree import ROOT

ARM, PLAIN = "B-ResNet-10-V2-EE", "ResNet-10"
RUNTIME = ROOT / "node_modules" / "onnxruntime-web"
FITTED = [{"name": "lose 0.5%", "held_out": {"thresholds": [0.121, 0.3]}}]
ROW = {"epoch": 1, "test_accuracy": 0.4, "exit_accuracy": [0.2, 0.3, 0.4]}
ROW["exits"] = {"fitted": FITTED}


def kept(place, arm=ARM, rows=(ROW,)):
    """The folder of a run, its net in evaluation, and its data.

    The net's last layers are larger than a fresh net's, so that some answers are sure.
    """
    config = replace(PLANS["smoke"].arms[arm], width=4)
    plan = replace(PLANS["smoke"], arms={arm: config}, compare=())
    study = Study("resnet", "smoke", plan, place)
    data = read(config, Job())
    net, folder = build(config, data, 7).eval(), study.seed_dir(arm, 7)
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, nn.Linear):
                layer.weight.mul_(4)
    weights.save(folder, net)
    run = study.new_run(arm, 7)
    run.rows.extend(rows)
    store.save_run(run, folder)
    return folder, net, data
