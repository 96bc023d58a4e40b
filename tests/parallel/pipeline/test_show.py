"""`python -m parallel schedule`: what it prints, writes and refuses."""

import json
import subprocess
import sys

import pytest

from parallel import __main__ as cli
from parallel.experiments import PLANS, VERBS
from parallel.identities import pipelines
from parallel.pipeline.checks import check
from parallel.pipeline.policies import POLICIES, policy
from parallel.pipeline.schedules import SCHEDULES
from parallel.pipeline.show import Options, read_costs
from tests.tree import ROOT


@pytest.fixture
def show(capsys, monkeypatch):
    """Run the verb on a screen of 140 columns; its status and what it said."""
    monkeypatch.setenv("COLUMNS", "140")

    def run(words: str):
        status = cli.main(PLANS, "parallel", VERBS, ["schedule", *words.split()])
        return status, *capsys.readouterr()

    return run


def test_it_prints_the_table_the_bubble_and_what_is_held(show):
    status, out, err = show("1f1b --stages 4 --micro 8")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith(
        "1f1b, simulated from given costs: makespan 33, bubble 3/11 = 0.2727"
    )
    assert lines[1].endswith("F=I=W=1, B=2 and nothing on the way: 3/11 = 0.2727")
    assert "3: .  .  .  F0 B0--- F1 B1--- F2 B2---" in out
    cells = [[c.strip() for c in line.strip("│").split("│")] for line in lines if "│" in line]
    assert cells == [[str(k), str(k), *[str(4 - k)] * 2, "24", "9", "0 (8)", "1"] for k in range(4)]


def test_it_prints_delays_and_versions(show):
    _, out, _ = show("async_1f1b --stages 3")
    assert "0 (1) 1 (1) 2 (4) │                  3 │" in out
    assert "0 (6) │                  1 │" in out


@pytest.mark.parametrize("name", SCHEDULES)
def test_as_json_it_says_the_same_of_every_schedule(show, name):
    status, out, _ = show(f"{name} --stages 4 --minibatches 3 --micro 4 --json")
    found = json.loads(out)
    assert status == 0
    assert (found["schedule"], found["stages"], found["micro"]) == (name, 4, 4)
    assert found["bubble_exact"] == found["bubble_formula"]
    assert found["activations"] == found["activations_formula"]
    assert len(found["table"]) == found["ranks"] == len(found["idle"])
    assert sum(map(len, found["table"])) == 4 * 3 * (4 * (3 if name.startswith("zb") else 2) + 1)
    assert found["versions"] == ([2, 2, 2, 1] if name == "async_1f1b" else [1] * 4)


def test_it_says_what_a_policy_holds(show):
    status, out, _ = show("1f1b --stages 3 --weights pipemare --stage-bytes 1000")
    assert status == 0
    assert out.startswith("async_1f1b, simulated")
    said = "pipemare: 7 copies of the weights of a stage (2.33 times the net's weights"
    assert f"{said}, for even stages), 7,000 bytes" in out
    assert "│ 0     │     2 │         0, 0 │             2 │      1 │ 3,000 │" in out
    _, out, _ = show("async_1f1b --stages 4 --weights spectrain_v2")
    assert "│ 1     │     2 │         2, 2 │             4 │      0 │     ? │" in out


def test_what_a_policy_holds_is_in_the_json(show):
    _, out, _ = show("1f1b --stages 4 --weights two_bw --stage-bytes 10 --json")
    found = json.loads(out)
    assert (found["policy"], found["micro"]) == ("two_bw", 3)
    keys = "delay", "versions", "bytes"
    assert [[row[key] for key in keys] for row in found["held"]] == [[1, 2, 20]] * 4


@pytest.mark.parametrize("name", POLICIES)
def test_what_a_policy_holds_beside_versions_is_what_a_run_holds(name):
    how = policy(name)
    stages = pipelines.trained(pipelines.pipeline(how, 3)).executor.stages
    for k, stage in stages.items():
        extra = [w.numel() for one in stage.weights.extra.values() for w in one.values()]
        own = sum(p.numel() for p in stage.weights.params.values())
        assert sum(extra) == how.theory(k, 3).get("beside", 0) * own


def test_it_writes_a_picture(show, tmp_path):
    for to, stem in (("mine.png", "mine"), ("v1.0", "v1.0"), (".", "schedule_zb_h1_4x1x8")):
        status, out, _ = show(f"zb_h1 --chunks 2 --draw {tmp_path / to}")
        assert status == 0
        assert out.splitlines()[-3:] == [f"{tmp_path / stem}.{s}" for s in ("png", "eps", "json")]
        assert (tmp_path / f"{stem}.png").read_bytes().startswith(b"\x89PNG")


def test_a_place_that_cannot_be_written_is_told_in_a_sentence(show, tmp_path):
    (tmp_path / "file").write_text("")
    status, _, err = show(f"1f1b --draw {tmp_path / 'file' / 'x'}")
    assert status == 1
    assert "name another place with --draw" in err


def test_costs_by_op_and_by_stage(show):
    table = Options("1f1b", stages=3, micro=2).table()
    assert read_costs("F=1, 1B=5/2,U=0.5", table) == {"F": 1, (1, "B"): 2.5, "U": 0.5}
    assert read_costs("", table) == {}
    _, out, _ = show("naive --stages 2 --micro 1 --costs F=2,B=3,1F=4 --communication 0.5 --json")
    assert json.loads(out)["makespan"] == 2 + 4 + 3 + 3 + 2 * 0.5


def test_a_table_that_is_too_long_to_read_is_told_so(show):
    status, out, _ = show("naive --stages 2 --micro 400")
    assert status == 0
    assert "(more than 2000 columns: not drawn)" in out


def test_where_there_is_no_formula_it_says_so(show):
    _, out, _ = show("zbv --stages 8 --micro 4 --minibatches 2")
    assert "nothing on the way: none for these sizes" in out
    _, out, _ = show("zbv --stages 8 --micro 4 --minibatches 2 --json")
    assert json.loads(out)["bubble_formula"] is None


@pytest.mark.parametrize(("words", "said"), [
    ("1fb1", "unknown schedule '1fb1': did you mean '1f1b'?"),
    ("1f1b --chunks 2", "1f1b has no options, got chunks=2"),
    ("gpipe --micro 0", "gpipe: micro must be a whole number from 1, got 0"),
    ("async_1f1b --stages 0", "async_1f1b: stages must be a whole number from 1, got 0"),
    ("interleaved --stages 8 --micro 9", "expected 8 or 10"),
    ("1f1b --costs W=1", "unknown cost of 1f1b 'W': there are F, B, U"),
    ("1f1b --costs F:1", "cost 'F:1': expected such as F=1,B=2, or 0F=1.5 on stage 0 only"),
    ("1f1b --costs 9B=2", "cost '9B=2': expected a stage from 0 to 3"),
    ("1f1b --costs B=x", "cost 'B=x': expected a number such as 2, 1.5 or 3/2, got 'x'"),
    ("1f1b --costs B=-1", "the cost of 0B0 is -1: expected a time, 0 or more"),
    ("1f1b --costs F=0,B=0", "nothing takes any time"),
    ("1f1b --communication 1/0", "--communication: expected a number such as 2, 1.5 or 3/2"),
    ("gpipe --weights pipedream", "schedule='gpipe' waits for each update"),
    ("1f1b --weights pipdream", "unknown weight policy 'pipdream': did you mean 'pipedream'?"),
    ("1f1b --weights two_bw --micro 2", "two_bw with 4 stages needs micro=3 or more, got 2"),
    ("1f1b --stage-bytes 3", "--stage-bytes 3: expected 1 or more, with --weights POLICY"),
    ("gpipe --stages 8 --micro 400 --draw x", "6408 actions are too many to see"),
])  # fmt: skip
def test_wrong_words_are_refused_in_a_sentence(show, words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = show(words)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert said in err
    assert not list(tmp_path.iterdir())


def test_without_words_every_schedule_is_shown_at_its_default_sizes():
    for name in SCHEDULES:
        check(Options(name).table())


def test_nothing_of_it_needs_torch(tmp_path):
    code = (
        "import sys; from harness.cli import main; from parallel.experiments import PLANS, VERBS\n"
        f"argv = ['schedule', 'zbv', '--draw', {str(tmp_path / 'x')!r}]\n"
        "assert main(PLANS, 'parallel', VERBS, argv) == 0\n"
        "raise SystemExit('torch' in sys.modules)\n"
    )
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "x.png").exists()


def test_a_picture_goes_into_a_folder_that_is_not_there_yet(show, tmp_path):
    status, _, _ = show(f"1f1b --draw {tmp_path / 'new'}/")
    assert status == 0
    assert sorted(p.suffix for p in (tmp_path / "new").iterdir()) == [".eps", ".json", ".png"]
    assert [p.name for p in tmp_path.iterdir()] == ["new"]


def test_a_picture_of_another_kind_is_refused(show, tmp_path):
    status, _, err = show(f"1f1b --draw {tmp_path / 'x.pdf'}")
    assert status == 2
    assert "pictures are .png and .eps: name one, or no suffix" in err
    assert not list(tmp_path.iterdir())


def test_two_words_tell_what_a_table_meets_from_what_a_policy_keeps(show):
    _, out, _ = show("async_1f1b --weights spectrain_v2")
    assert "versions in flight" in out
    assert "versions kept" in out
