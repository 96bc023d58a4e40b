"""The study to copy: whole, resumed, judged, and from a folder of one's own."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from types import SimpleNamespace

import pytest

from examples.wine import trainer
from examples.wine.experiments import PLANS, Config
from harness.cli import main
from harness.plan import Plan
from harness.record import store
from harness.record.study import Study
from harness.sweep.options import field_docs
from harness.sweep.runner import Sweep
from harness.sweep.show import Quiet
from tests.tree import ROOT

WINE = ROOT / "examples" / "wine"


def test_it_is_small_enough_to_be_read_and_every_option_has_help():
    lines = [line for path in WINE.glob("*.py") for line in path.read_text().splitlines()]
    assert sum(bool(line.strip()) for line in lines) <= 60
    assert set(field_docs(Config)) == {f.name for f in fields(Config)}


def test_a_table_a_verdict_a_report_and_nothing_to_do_twice(tmp_path, capsys):
    argv = ["smoke", "--seeds", "3", "--epochs", "3", "--jobs", "1", "--results", str(tmp_path)]
    assert main(PLANS, "examples.wine", None, [*argv, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [(line["name"], line["n"]) for line in document["table"]] == [("scaled", 3), ("raw", 3)]
    assert document["metric"] == "worst_recall"
    assert document["comparisons"][0]["verdict"] == "scaled is better than raw"
    home = tmp_path / "examples.wine" / "smoke" / "epochs-3"
    assert "scaled is better than raw" in (home / "report.html").read_text()
    assert main(PLANS, "examples.wine", None, [*argv, "--dry-run"]) == 0
    assert capsys.readouterr().out.count(" done ") == 6


def rows(whole):
    return {(run.arm, run.seed): run.rows for run in whole.runs}


def sweep(root, train):
    plan = Plan("?", {"scaled": Config(epochs=5)}, (0, 1), 1, metric="worst_recall")
    study = Study("examples.wine", "smoke", plan, root)
    own = SimpleNamespace(train=train)
    return Sweep(study, own, (0, 1), ("scaled",), Quiet(), checkpoint_every=0.0)


def test_cut_short_it_goes_on_as_if_it_never_was(tmp_path):
    def cut(config, seed, job):
        for row in trainer.train(config, seed, job):
            yield row
            if row["epoch"] == 3:
                raise KeyboardInterrupt

    def resumed(config, seed, job):
        begun.append((seed, job.saved and job.saved["epochs"]))
        yield from trainer.train(config, seed, job)

    begun = []
    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path / "cut", cut).run()
    expected = rows(sweep(tmp_path / "whole", trainer.train).run())
    assert rows(sweep(tmp_path / "cut", resumed).run()) == expected
    assert begun == [(0, 3), (1, None)]


@pytest.mark.parametrize("jobs", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_a_copy_in_a_folder_of_ones_own_runs_by_its_own_name_on_ones_own_file(tmp_path, jobs):
    """Under another name, away from the checkout, by one process and by two."""
    shutil.copytree(WINE, tmp_path / "mine", ignore=shutil.ignore_patterns("__pycache__"))
    table = [f"{i % 2 + i / 100},{('red', 'white')[i % 2]}" for i in range(40)]
    (tmp_path / "wines.csv").write_text("\n".join(["acid,colour", *table]))
    words = ["smoke", "--seeds", "2", "--epochs", "2", "--data", "csv:wines.csv", "--jobs", jobs]
    done = subprocess.run(
        [sys.executable, "-m", "mine", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    (record,) = (tmp_path / "results" / "mine" / "smoke").glob("*/experiment.json")
    whole = store.load(record)
    assert [(run.arm, run.seed, len(run.rows)) for run in whole.done()] == [
        (arm, seed, 2) for arm in ("scaled", "raw") for seed in (0, 1)
    ]
    assert (record.parent / "report.html").exists()


def test_the_plot_script_of_the_guide_draws_the_study(tmp_path):
    """In the report of a call, and as a script that is given a record."""
    page = (ROOT / "contribution_guide.md").read_text()
    (block,) = re.findall(r"```python\n((?:(?!```).)*plotting\.run.*?)```", page, re.DOTALL)
    shutil.copytree(WINE, tmp_path / "wine", ignore=shutil.ignore_patterns("__pycache__"))
    script = tmp_path / "wine" / "plot_wine_experiments.py"
    last = 'if __name__ == "__main__":\n    raise SystemExit(main(sys.argv[1:]))\n'
    script.write_text(f"{block}\n\n{last}")
    words = ["smoke", "--seeds", "2", "--epochs", "2", "--jobs", "1", "--quiet"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    options = dict(cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    done = subprocess.run([sys.executable, "-m", "wine", *words], **options)
    assert (done.returncode, done.stderr) == (0, "")
    (record,) = (tmp_path / "results" / "wine" / "smoke").glob("*/experiment.json")
    assert (record.parent / "wine_experiments.png").exists()
    argv = [sys.executable, str(script), str(record), "--out", "drawn"]
    done = subprocess.run(argv, **options)
    assert (done.returncode, done.stderr) == (0, "")
    assert "scaled: " in done.stdout
    assert (tmp_path / "drawn" / "wine_experiments.json").exists()


def test_a_study_without_a_trainer_is_told_what_is_missing(tmp_path, capsys):
    assert main(PLANS, "examples", None, ["smoke", "--results", str(tmp_path)]) == 2
    assert "the study examples has no trainer.py" in capsys.readouterr().err
