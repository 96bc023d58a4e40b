"""Nets of runs that kept their weights: the same net, and the same as a file in ONNX."""

import pytest
import torch

from harness.cli import main
from harness.job import Job
from harness.record import store, weights
from harness.record.study import Study
from mlp import saved
from mlp.experiments import PLANS, VERBS
from mlp.trainer import train_stack
from tests.bibd.onnx.needs import needs_the_extra

ARM = "B-MLP-3-1"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of a run with its weights, as the runner leaves them, and of one without."""
    plan = PLANS["smoke"].override({"epochs": 1})
    study = Study("mlp", "smoke", plan, tmp_path_factory.mktemp("results"))
    job, kept = Job(), study.new_run(ARM, 2)
    for rows in train_stack(plan.arms[ARM], [2], job):
        kept.rows += rows
    weights.save(study.seed_dir(ARM, 2), job.parts["net"])
    for run in (kept, study.new_run(ARM, 1)):
        store.save_run(run, study.seed_dir(ARM, run.seed))
    return study.seed_dir(ARM, 2), study.seed_dir(ARM, 1)


@torch.no_grad()
def test_a_kept_net_is_the_one_that_was_tested(folders):
    net, config, data = saved.net(folders[0])
    right = (net(data.test_x).argmax(1) == data.test_y).double().mean()
    run = store.load_run(folders[0])
    assert float(right) == run.rows[-1]["test_accuracy"]
    assert config.epochs == len(run.rows) == 1


def test_weights_of_another_shape_are_not_bent_into_this_one():
    """Only axes of one member are dropped: as many numbers in another order are other weights."""
    like = {"w": torch.zeros(4, 6), "b": torch.zeros(4)}
    kept = {"w": torch.rand(1, 4, 6), "b": torch.rand(1, 4, 1)}
    found = saved.alone(kept, like)
    assert torch.equal(found["w"], kept["w"][0])
    assert torch.equal(found["b"], kept["b"][0, :, 0])
    for other in ((6, 4), (1, 6, 4), (2, 12)):
        assert saved.alone({"w": torch.rand(other)}, like)["w"].shape == other


def test_a_run_without_weights_says_how_they_are_kept(folders):
    with pytest.raises(FileNotFoundError, match=r"--seeds 1-1 --keep-weights"):
        saved.net(folders[1])
    with pytest.raises(ValueError, match=r"is no finished run.*name a folder such as results/"):
        saved.net(folders[1].parent)


@needs_the_extra
@torch.no_grad()
def test_the_command_writes_the_net_of_a_run(folders, tmp_path, capsys):
    from bibd.onnx.extras import session

    path = tmp_path / "net.onnx"
    assert main(PLANS, "mlp", VERBS, ["export", str(folders[0]), "--to", str(path)]) == 0
    said = capsys.readouterr().out
    assert f"{path}: {path.stat().st_size:,} bytes; ONNX, opset" in said
    assert "stages.1.0  20 x 16  plane" in said
    net, _, data = saved.net(folders[0])
    (y,) = session(path.read_bytes()).run(None, {"x": data.test_x.numpy()})
    torch.testing.assert_close(torch.from_numpy(y), net(data.test_x), rtol=0, atol=1e-5)


def test_a_run_of_another_study_is_refused(folders, capsys):
    from resnet.experiments import PLANS as others
    from resnet.experiments import VERBS as verbs

    code = main(others, "resnet", verbs, ["export", str(folders[0]), "--to", "net.onnx"])
    assert code == 2
    assert "is a run of another study" in capsys.readouterr().err
