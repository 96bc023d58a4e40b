"""The shell scripts of the studies, run as a user does."""

import os
import pickle
import sys

import pytest

from tests.tree import PACKAGES, ROOT, STUDIES, run

SCRIPTS = {
    "compress": (
        ["--seeds", "2", "--epochs", "1", "--arms", "dense", "static-30", "rigl-30"],
        ["fig_compress_experiments_dynamic.png", "fig_compress_experiments_dynamic.eps"],
        ["compress_result_smoke_20260102_030405.pkl"],
    ),
    "ensemble": (
        ["--seeds", "2", "--arms", "B-3-1-independent", "B-3-1-samme-0.1"],
        ["ensemble_growth.png", "ensemble_growth.eps", "ensemble_boosting.png"],
    ),
    "mlp": (
        ["--seeds", "2", "--epochs", "1", "--arms", "B-MLP-3-1"],
        ["mlp_experiments.png", "mlp_experiments.eps"],
        ["mlp_experiments_sparse_only.png", "mlp_experiments_sparse_only.eps"],
    ),
    "parallel": (
        ["--seeds", "2", "--epochs", "1", "--arms", "elastic-digits", "ist-digits"],
        ["parallel_experiments.png", "parallel_experiments.eps"],
    ),
    "resnet": (
        ["--seeds", "2", "--epochs", "1", "--first", "256", "--arms", "B-ResNet-10"],
        ["fig_resnet_experiments.png", "fig_resnet_experiments.eps"],
        ["fig_resnet_experiments_sparse_only.png", "fig_resnet_experiments_sparse_only.eps"],
        ["accuracy_array_20260102_030405.pkl", "model_name_array_20260102_030405.pkl"],
    ),
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what git would check out, to run the scripts in."""
    copy = tmp_path_factory.mktemp("scripts") / "checkout"
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            if path.suffix in (".py", ".sh", ".h", ".cpp"):
                target = copy / path.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
                target.chmod(path.stat().st_mode)
    return copy


def script_environment(tmp_path, begin):
    env = {"PATH": os.environ["PATH"], "PYTHON": sys.executable, "BEGIN_TIME": begin}
    return env | {"HOME": str(tmp_path), "IDDL_CACHE": os.environ["IDDL_CACHE"]}


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_the_shell_script_leaves_what_it_says(study, checkout, tmp_path):
    """Run as a user does, from inside the folder."""
    words, *names = SCRIPTS[study]
    env = script_environment(tmp_path, "20260102_030405")
    script = f"./run_{study}_experiments.sh"
    done = run(script, "smoke", *words, cwd=checkout / study, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    stem = f"{study}_experiments"
    for name in (
        f"log/{stem}_20260102_030405.log",
        f"log/{stem}_20260102_030405_pid.txt",
        f"log/{stem}_plot_20260102_030405.log",
        f"{stem}_20260102_030405.p",
        *(name for group in names for name in group),
    ):
        assert (checkout / study / name).stat().st_size > 0, name
    log = (checkout / study / "log" / f"{stem}_20260102_030405.log").read_text()
    assert "report.html" in log
    assert int((checkout / study / "log" / f"{stem}_20260102_030405_pid.txt").read_text()) > 1


@pytest.mark.slow
def test_the_shell_script_elsewhere_and_in_the_background(checkout, tmp_path):
    env = script_environment(tmp_path, "20260102_030406")
    script, words = checkout / "mlp" / "run_mlp_experiments.sh", SCRIPTS["mlp"][0]
    wrong = run("bash", script, "papre", cwd=tmp_path, env=env)
    assert wrong.returncode == 2
    assert "did you mean 'paper'" in wrong.stdout
    detached = run("bash", script, "--detach", "smoke", *words, "--quiet", cwd=tmp_path, env=env)
    assert "follow it with: tail -f mlp/log/mlp_experiments_20260102_030406.log" in detached.stdout
    path = checkout / "mlp" / "log" / "mlp_experiments_plot_20260102_030406.log"
    for _ in range(600):
        if path.exists():
            break
        run("sleep", "0.1")
    assert path.exists()


@pytest.mark.slow
def test_the_original_command_line_of_the_ensemble_works_from_resnet(checkout, tmp_path):
    """Tiny nets on embedded pictures; argument 2 then reads what argument 1 has trained."""
    env = script_environment(tmp_path, "20260102_030407")
    tiny = "--data synthetic_images --test-split official --first 300 --validation 100 --seeds 2"
    tiny += " --depth 10 --width 8 --groups 2 --each 3 --batch-size 20"
    for index, sizes in ((1, {1, 3, 9}), (2, {5, 7})):
        done = run("bash", "run_ensemble_experiments.sh", str(index), *tiny.split(),
                   cwd=checkout / "resnet", env=env)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        path = checkout / "resnet" / f"ensemble_result_{index}_20260102_030407.pkl"
        found = pickle.loads(path.read_bytes())
        assert set(found) <= sizes  # (boosting may end before)
        assert all(type(v) is float and 0 <= v <= 1 for v in found.values())
    assert "nothing to train" in done.stdout
    assert (checkout / "ensemble" / "fig_ensemble_experiments.eps").stat().st_size > 0
