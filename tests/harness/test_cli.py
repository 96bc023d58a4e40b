"""The command line as people and scripts meet it."""

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import Verb, main
from harness.sweep.options import field_docs, parse
from mlp.experiments import PLANS
from mlp.plans.config import Config
from tests.tree import ROOT, STUDIES

VERBS = ("verify", "schedule", "memory", "clock")


@pytest.mark.parametrize(
    "words",
    [
        *(["mlp", *words] for words in (["--help"], ["smoke", "--help"], ["--list"])),
        *(["parallel", verb, "--help"] for verb in VERBS),
    ],
)
def test_help_does_not_pay_for_torch(words):
    """(That it takes under half a second is measured by benchmarks/startup.py.)."""
    code = (
        "import runpy, sys\n"
        f"sys.argv = {words!r}\n"
        f"try:\n    runpy.run_module({words[0]!r}, run_name='__main__')\n"
        "except SystemExit as done:\n    assert not done.code, done.code\n"
        "heavy = {'torch', 'torchvision', 'pandas', 'sklearn', 'scipy.stats', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == "[]"
    assert ("smoke" if words[0] == "mlp" else f"parallel {words[1]}") in done.stdout


def test_a_terminal_without_the_signs_of_a_table_shows_the_rest():
    code = (
        "from harness.cli import main; from harness.plan import Plan\n"
        "main({'smoke': Plan('90 \\u00b1 1?', {}, (0,), 1)}, 'mlp', {}, [])\n"
    )
    argv, env = [sys.executable, "-c", code], {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, env=env, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "90 ? 1?" in done.stdout


def test_overview_names_every_plan_and_verb(capsys):
    assert main(PLANS, "mlp", {}, []) == 0
    text = capsys.readouterr().out
    for name, plan in PLANS.items():
        assert name in text
        assert plan.question.split()[0] in text


@pytest.mark.parametrize("study", STUDIES)
def test_what_the_overview_recommends_can_be_typed(study, capsys):
    module = importlib.import_module(f"{study}.experiments")
    main(module.PLANS, study, {}, [])
    shown = " ".join(capsys.readouterr().out.split())
    typed = re.search(rf"python -m {study} (\S+) (--seeds 3(?: --\S+ 2)?) fewer seeds", shown)
    options, changed = parse(typed[1], module.PLANS[typed[1]], study, typed[2].split())
    assert options.seeds == "3"
    assert list(changed.values()) == [2]


def test_an_option_that_follows_from_others_says_from_which(capsys):
    module = importlib.import_module("ensemble.experiments")
    assert main(module.PLANS, "ensemble", {}, ["smoke", "--epochs", "2"]) == 2
    said = capsys.readouterr().err
    assert "--epochs is no option of smoke, it follows: How many rows a run has" in said
    assert "--each" in said


def test_list_as_json(capsys):
    assert main(PLANS, "mlp", {}, ["--list", "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)
    assert [line["name"] for line in lines] == list(PLANS)
    assert len(lines[0]["arms"]) == 12


def test_every_config_field_has_help():
    assert set(field_docs(Config)) == set(Config.__dataclass_fields__)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["papre"], "unknown plan 'papre': did you mean 'paper'?"),
        (["smoke", "--arms", "MLP-3-9"], "unknown arm 'MLP-3-9': did you mean 'MLP-3-"),
        (["smoke", "--data", "digit"], "unknown data set 'digit': did you mean 'digits'"),
        (["smoke", "--seeds", "many"], "--seeds got 'many'; expected a count such as 5"),
        (["smoke", "--lr", "0"], "lr must be above 0"),
        (["smoke", "--epochs", "0"], "epochs must be at least 1, got 0"),
        (["smoke", "--batch-size", "-4"], "batch_size must be at least 1, got -4"),
        (["smoke", "--init", "xavier"], "unknown init 'xavier'"),
        (["smoke", "--device", "gpu7"], "--device got 'gpu7'; expected auto, cpu"),
        (["smoke", "--device", "cuda:99"], "this machine has"),
        (["smoke", "--device", "meta"], "--device got 'meta'; expected auto, cpu"),
        (["smoke", "--lr", "nan"], "lr must be above 0 and finite"),
        (["papre", "--list"], "unknown plan 'papre'"),
        (["--lst"], "unknown option before a plan '--lst': did you mean '--list'?"),
        (["smoke", "--pattern", "bibd"], "--pattern is no option of smoke: it is what differs"),
        (["smoke", "--hidden=3"], "Pick arms with --arms, such as --arms MLP-3-1 MLP-3-2;"),
        (["smoke", "--jobs", "-1"], "error: --jobs and --checkpoint-every must not be negative"),
        (["smoke", "--validation", "5000", "--dry-run"], "validation=5000 would leave no"),
    ],
)
def test_wrong_words_exit_2_and_say_what_to_type(argv, says, capsys, tmp_path):
    assert main(PLANS, "mlp", {}, [*argv, "--results", str(tmp_path)]) == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.rglob("run.json"))


def test_a_function_of_the_package_is_no_plan_and_says_so(capsys):
    import compress  # noqa: F401 (as `python -m compress` has done)

    assert main({}, "compress", {}, ["explain"]) == 2
    assert "explain is a function: from compress import explain" in capsys.readouterr().err


def test_a_verb_that_is_interrupted_promises_nothing(capsys, monkeypatch):
    def interrupted(argv):
        raise KeyboardInterrupt

    monkeypatch.setattr("bibd.draw.main", interrupted)
    assert main({}, "bibd", {"draw": Verb("", "bibd.draw:main")}, ["draw", "--in", "9"]) == 130
    assert capsys.readouterr().err == "\ninterrupted. Again: python -m bibd draw --in 9\n"


def test_typos_in_flags_are_tyros_to_explain(capsys):
    with pytest.raises(SystemExit) as done:
        main(PLANS, "mlp", {}, ["smoke", "--epoch", "3"])
    assert done.value.code == 2
    assert "--epochs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "argv", "says"),
    [
        ("parallel.thesis.main", ["--agg-prob", "2"], "--agg-prob must be in (0, 1], got 2.0"),
        ("resnet.bench", ["--steps", "1"], "bench needs an arm, --steps of at least 2"),
        ("bibd.draw", ["--in", "999", "--out", "999", "--conv"], "kernels are too many to see"),
    ],
)
def test_wrong_values_of_verbs_are_sentences_without_a_class(target, argv, says, capsys):
    with pytest.raises(ValueError, match=re.escape(says)) as error:
        importlib.import_module(target).main(argv)
    assert "Options" not in str(error.value)
    assert capsys.readouterr() == ("", "")


def test_the_help_of_a_verb_keeps_its_words(capsys):
    with pytest.raises(SystemExit):
        importlib.import_module("parallel.thesis.main").main(["--help"])
    shown = capsys.readouterr().out
    options = importlib.import_module("parallel.thesis.main").Options
    assert options.__doc__.split("\n")[0] in " ".join(shown.split())
    assert "Flags" not in shown
    assert " ".join(field_docs(options)["log_path"].split())[:20] in " ".join(shown.split())


@pytest.mark.parametrize("study", [*STUDIES, "examples.wine"])
def test_help_fits_80_columns_and_says_what_nothing_and_off_mean(study, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    module = importlib.import_module(f"{study}.experiments")
    verbs = getattr(module, "VERBS", {})
    for word in [*module.PLANS, *verbs]:
        with pytest.raises(SystemExit):
            main(module.PLANS, study, verbs, [word, "--help"])
        usage, *lines = capsys.readouterr().out.splitlines()
        assert usage.startswith(f"usage: python -m {study} {word}")
        assert not [line for line in lines if len(line) > 80], word
        text = " ".join(" ".join(lines).replace("\u2502", " ").split())
        assert "(default: )" not in text, word
        assert not re.search(r"--no-\S+ Whether|--no-\S+ Turn off: whether", text), word


def test_a_flag_that_can_only_be_turned_off_says_so(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        main(PLANS, "mlp", {}, ["smoke", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    said = "--no-timed Turn off: measure after each epoch what one unstacked seed costs."
    assert f"{said} (default: on)" in text
    assert "--no-figures Save no figures beside the report" in text
    assert "--arms [STR [STR ...]] Only these arms, by name. (default: all)" in text


def test_dry_run_touches_nothing(tmp_path, capsys):
    argv = ["smoke", "--dry-run", "--json", "--results", str(tmp_path / "r"), "--seeds", "2"]
    assert main(PLANS, "mlp", {}, argv) == 0
    lines = json.loads(capsys.readouterr().out)
    assert len(lines) == 24
    assert {line["status"] for line in lines} == {"to do"}
    assert not (tmp_path / "r").exists()


@pytest.fixture
def call(tmp_path, capsys):
    """The command line in this process: exit status, stdout, stderr."""

    def run(*words):
        argv = [*words, "--jobs", "1", "--results", str(tmp_path / "results")]
        status = main(PLANS, "mlp", {}, argv)
        return status, *capsys.readouterr()

    return run


def test_json_is_one_document(call):
    words = ["smoke", "--seeds", "2", "--epochs", "2", "--arms", "MLP-3-1"]
    status, out, err = call(*words, "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert [line["name"] for line in document["table"]] == ["MLP-3-1"]
    assert document["table"][0]["n"] == 2
    assert all(Path(path).exists() for path in document["paths"])
    assert call(*words, "--dry-run")[1].count(" done ") == 2
    assert call(*words, "--quiet") == (0, "", "")


def test_a_run_whose_loss_explodes_is_reported(call):
    words = ["smoke", "--arms", "MLP-3-1", "MLP-3-2", "--seeds", "2", "--epochs", "2"]
    status, _, err = call(*words, "--lr", "1e9")
    assert status == 1
    assert "failed: MLP-3-1 seed 0: the loss became" in err
    assert "try them again with:" in err


def test_the_estimate_is_that_of_the_chosen_arms_and_seeds(call):
    words = ["smoke", "--epochs", "1", "--arms", "MLP-3-1", "--no-figures"]
    _, _, err = call(*words, "--seeds", "1")
    assert "1 arm x 1 seed; estimate 1 s on 2 cores (the whole plan: 20 s)" in err
    assert "(the whole plan: 20 s), with the plan's own settings; overrides: epochs=1" in err
    status, out, err = call(*words, "--seeds", "1")
    assert status == 0
    again = "python -m mlp smoke --epochs 1 --arms MLP-3-1 --no-figures --seeds 1 --jobs 1"
    assert f"to train them anew, in a folder of your own: {again} --results mine\n" in err
    assert "figures:" not in out


def test_who_has_results_in_mine_already_is_told_of_another_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    argv = ["smoke", "--epochs", "1", "--arms", "MLP-3-1", "--no-figures", "--seeds", "1"]
    argv += ["--jobs", "1", "--results", "mine"]
    assert main(PLANS, "mlp", {}, argv) == main(PLANS, "mlp", {}, argv) == 0
    again = "python -m mlp smoke --epochs 1 --arms MLP-3-1 --no-figures --seeds 1 --jobs 1"
    assert f"your own: {again} --results mine-2\n" in capsys.readouterr().err


def test_missing_data_says_what_to_do(command, tmp_path, no_network):
    done = command("mlp", "paper", "--seeds", "1", env={"IDDL_DATA": str(tmp_path / "none")})
    assert done.returncode == 2
    for part in (
        "train-images-idx3-ubyte",
        str(tmp_path / "none" / "MLP".replace("MLP", "MNIST")),
        "'digits'",
    ):
        assert part in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unwritable_results_folder_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(PLANS, "mlp", {}, ["smoke", "--results", str(tmp_path / "file")]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_the_command_to_reproduce_is_one_that_parses(tmp_path):
    from harness.record.study import Study
    from harness.result.report import reproduce

    argv = ["--epochs", "2", "--sparse-bias", "--lr", "0.5", "--results", str(tmp_path / "a b")]
    options, overrides = parse("smoke", PLANS["smoke"], "mlp", argv)
    study = Study("mlp", "smoke", PLANS["smoke"].override(overrides), options.results, overrides)
    words = shlex.split(reproduce(study))
    assert words[:4] == ["python", "-m", "mlp", "smoke"]
    again = parse("smoke", PLANS["smoke"], "mlp", words[4:])
    assert again == (options, overrides)
