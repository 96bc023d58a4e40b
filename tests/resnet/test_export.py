"""`python -m resnet export`: the net of a run, with its exits, as a file in ONNX."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bibd.onnx.extras import session
from harness.cli import main
from harness.data.pictures import images
from harness.job import Job
from harness.record import store, weights
from harness.record.study import Study
from resnet.experiments import PLANS, VERBS
from resnet.trainer import build, layout, read
from tests.bibd.onnx.needs import needs_the_extra

ARM = "B-ResNet-10-V2-EE"
PLAN = PLANS["smoke"]


@pytest.fixture
def run(tmp_path):
    """The folder of a run with its weights, its net, and pictures of its data."""
    config = replace(PLAN.arms[ARM], width=4)
    plan = replace(PLAN, arms={ARM: config}, compare=())
    study = Study("resnet", "smoke", plan, tmp_path)
    data = read(config, Job())
    net, folder = build(config, data, 7).eval(), study.seed_dir(ARM, 7)
    weights.save(folder, net)
    store.save_run(study.new_run(ARM, 7), folder)
    return folder, net, images(data.test_x[:40], data, layout(config, "cpu"))


@needs_the_extra
@torch.no_grad()
def test_the_net_of_a_run_leaves_as_it_does(run, tmp_path):
    folder, net, x = run
    scores = [net.score(logits).sort().values for logits in net.forward_exits(x)[:-1]]
    bounds = [float((s[20] + s[19]) / 2) for s in scores]
    path = tmp_path / "net.onnx"
    words = ["export", str(folder), "--to", str(path), "--exits", "if"]
    assert main(PLANS, "resnet", VERBS, [*words, "--thresholds", *map(str, bounds)]) == 0
    want, runner = net.early(x, bounds), session(path.read_bytes())
    found = [runner.run(["logits", "exit"], {"x": one[None].numpy()}) for one in x]
    assert [int(exit) for _, (exit,) in found] == want.exit.tolist()
    logits = torch.from_numpy(np.concatenate([y for y, _ in found]))
    torch.testing.assert_close(logits, want.logits, rtol=0, atol=1e-5)


def test_settings_that_do_not_fit_are_answered(run, tmp_path, capsys):
    folder, _, _ = run
    words = ["export", str(folder), "--to", str(tmp_path / "net.onnx"), "--exits", "if"]
    assert main(PLANS, "resnet", VERBS, words) == 2
    assert "thresholds= are for exits='if' and 'split', which need them" in capsys.readouterr().err
