"""The house itself: floors, scripts, environments, papers, wheel, notebooks."""

import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib

import nbformat
import pytest
import yaml
from nbclient import NotebookClient

from tests.tree import PACKAGES, ROOT, STUDIES

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def run(*argv, cwd=ROOT, timeout=300, env=None):
    return subprocess.run(
        [str(a) for a in argv], cwd=cwd, capture_output=True, text=True, timeout=timeout, env=env
    )


def tracked(*patterns):
    done = run("git", "ls-files", *patterns) if shutil.which("git") else None
    if done is None or done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / line for line in done.stdout.splitlines()]


def test_floors_hold():
    code = "from importlinter.cli import lint_imports_command as main; main(['--no-cache'])"  # (the tree may be read-only)
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stdout


def test_only_the_store_unpickles():
    """A pickle is a program: nobody but harness.record.unpickle and harness.record.store may touch one."""
    allowed = {ROOT / "harness/record/unpickle.py", ROOT / "harness/record/store.py"}
    for package in (*PACKAGES, "benchmarks"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text()
            if path not in allowed:
                assert "import pickle" not in text, path
            assert "pickle.load" not in text, path
            if "torch.load(" in text:
                assert "weights_only=True" in text, path


def test_files_stay_small():
    for package in (*PACKAGES, "benchmarks"):
        for path in (ROOT / package).rglob("*.py"):
            assert len(path.read_text().splitlines()) <= 400, path
    for path in tracked():
        assert path.stat().st_size <= 2 * 2**20, path


def test_conda_has_no_list_of_its_own():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [d for d in environment["dependencies"] if isinstance(d, str)]
    (pip,) = [d["pip"] for d in environment["dependencies"] if isinstance(d, dict)]
    names = {re.split(r"[<>=]", d)[0] for d in conda}
    assert names == {"python", "pip", "make"}
    assert f"python{PROJECT['project']['requires-python']}" in conda
    assert pip == ["-e .[dev,notebook]"]
    assert {"dev", "notebook"} <= set(PROJECT["project"]["optional-dependencies"])


def test_the_tested_ends_are_the_ends_of_the_declared_range():
    makefile = (ROOT / "Makefile").read_text()
    for requirement in PROJECT["project"]["dependencies"][:2]:
        name, low, below = re.match(r"(\w+)>=([\d.]+),<([\d.]+)$", requirement).groups()
        tested = [v for n, v in re.findall(r"(torch|torchvision)==([\d.]+)", makefile) if n == name]
        assert tested[0] == f"{low}.0"
        major, minor = below.split(".")
        assert tested[1].startswith(f"{major}.{int(minor) - 1}.")


SCRIPTS = {
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


def test_records_are_small_enough_for_git():
    for path in tracked("results/*", "figure/*", "notebooks/*"):
        assert path.stat().st_size < 2 * 2**20, path


def test_committed_figures_of_the_two_plans_are_of_their_records(committed):
    from harness.record import store
    from mlp.plots import balance as plot_balance

    for plan in ("balance", "density"):
        whole = store.load(ROOT / "results" / "mlp" / plan / "experiment.json")
        committed("mlp", plan, plot_balance.figures(whole))


def test_committed_figures_are_of_the_committed_records():
    import json

    from harness.record import store
    from harness.result.stats import interval

    for plan in ("paper", "fashion"):
        whole = store.load(ROOT / "results" / "mlp" / plan / "experiment.json")
        folder = ROOT / "figure" / "mlp" / plan
        for suffix in ("png", "eps"):
            assert (folder / f"experiments.{suffix}").exists()
        data = json.loads((folder / "experiments.json").read_text())
        for series in data["series"].values():
            for arm, mean in zip(series["arm"], series["mean"], strict=True):
                got = interval(whole.final(arm, "test_accuracy").values()).mean
                assert mean == pytest.approx(got, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.name)
def test_notebooks(path):
    """Executed as committed: counts in order, outputs kept, no errors; and they run again."""
    book = nbformat.read(path, as_version=4)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert any(cell.outputs for cell in cells)
    assert path.stat().st_size < 2 * 2**20
    NotebookClient(book, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()


@pytest.mark.slow
def test_the_wheel_works_from_another_directory(tmp_path):
    wheel = run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        tmp_path,
        ROOT,
    )
    assert wheel.returncode == 0, wheel.stderr
    (file,) = tmp_path.glob("iddl-*.whl")
    site = tmp_path / "site"
    done = run(sys.executable, "-m", "pip", "install", "--no-deps", "--target", site, file)
    assert done.returncode == 0, done.stderr
    assert {p.name for p in site.iterdir() if not p.name.endswith(".dist-info")} == set(PACKAGES)
    sources = {p.name for p in (ROOT / "bibd" / "kernels").iterdir() if p.suffix in (".h", ".cpp")}
    assert sources <= {p.name for p in (site / "bibd" / "kernels").iterdir()}
    place = tmp_path / "elsewhere"
    place.mkdir()
    env = {"PYTHONPATH": str(site), "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    words = ["-m", "mlp", "smoke", "--seeds", "2", "--epochs", "1", "--json"]
    done = run(sys.executable, "-P", *words, cwd=place, env=env)
    assert done.returncode == 0, done.stderr
    assert (place / "results" / "mlp" / "smoke" / "epochs-1" / "report.html").exists()
    code = "import bibd, harness, mlp; print(bibd.__file__)"
    assert str(site) in run(sys.executable, "-P", "-c", code, cwd=place, env=env).stdout
