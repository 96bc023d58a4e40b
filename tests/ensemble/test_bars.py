"""The original study's two pictures of its ensemble, and its dumps of sizes."""

import pickle
from dataclasses import replace

import pytest

from ensemble import pages
from ensemble import plot_ensemble_experiments as plot
from ensemble.plans.paper import INDEX, NET, PLANS, PUBLISHED, RULE, SIZES
from ensemble.plots import bars
from harness.experiment import Experiment, Run
from harness.plan import as_dict


@pytest.fixture
def whole():
    """A made-up record of plan paper: the rule and one net, three seeds, nine members."""
    plan, runs = PLANS["paper"], []
    for arm in (RULE, f"{NET}-single"):
        for seed in range(3):
            rows = [_row(m, seed, arm) for m in range(1, 10)]
            runs.append(Run(arm, seed, arm, as_dict(plan.arms[arm]), rows, {"split": "holdout"}))
    return Experiment("ensemble", "paper", plan.question, runs)


def _row(m, seed, arm):
    found = {"epoch": m, "test_accuracy": 0.4 + 0.01 * m + 0.001 * seed, "hard_accuracy": 0.4}
    found |= {"calibrated_nll": 1 / m, "mean_accuracy": 0.4, "disagreement": None}
    found["steps"] = 80 * m
    if arm == RULE:
        found["steps"] = 79 * (2 * m - 1)
        found |= {"vote_accuracy": 0.4 + 0.01 * m + 0.001 * seed * m, "weighted_error": 0.2}
        found |= {"effective": 1 / m, "disagreement": 0.3 if m > 1 else None}
    return found


def test_bars_are_the_sizes_that_were_published_and_the_gain_is_paired_by_seed(whole):
    found = {name: data for name, _, data in plot.figures(whole)}
    assert found["fig_ensemble_experiments"]["series"]["members"] == list(SIZES)
    gains = found["fig_ensemble_experiments_improved"]["series"]
    assert gains["members"] == list(SIZES[1:])
    assert gains["mean"] == pytest.approx([1.1 * (m - 1) for m in SIZES[1:]])
    assert {"ensemble_growth", "ensemble_boosting", "ensemble_diversity"} < set(found)


def test_the_figure_of_bars_has_the_line_of_a_single_member(whole):
    figures = {name: fig for name, fig, _ in plot.figures(whole)}
    (ax,) = figures["fig_ensemble_experiments"].axes
    (line,) = [line for line in ax.lines if line.get_label() == "a single member"]
    assert line.get_ydata()[0] == pytest.approx(0.411)
    assert ax.get_xlabel() == "# of base classifiers"
    texts = [t.get_text() for t in ax.texts]
    assert texts == [f"{100 * (0.4 + 0.011 * m):.1f} %" for m in SIZES]


def test_a_size_stands_beside_one_net_of_as_many_steps_where_there_is_one(whole):
    found = bars.as_long(whole)
    assert {m: v[0] for m, v in found.items()} == pytest.approx({1: 0.41, 3: 0.45, 5: 0.49})


def test_the_table_sets_our_sizes_beside_the_published_ones(whole):
    lines = list(plot.table(whole))
    assert [line.split()[0] for line in lines[1:6]] == [str(m) for m in SIZES]
    assert all(line.endswith(f"{PUBLISHED[m]:.4f}")
               for m, line in zip(SIZES, lines[1:6], strict=True))  # fmt: skip


@pytest.mark.parametrize("index", INDEX)
def test_a_dump_holds_the_sizes_of_its_argument_as_plain_values(
    whole, index, tmp_path, monkeypatch
):
    monkeypatch.setenv("INDEX", index)
    plot.write_sizes(whole, tmp_path, "20260102_030405")
    path = tmp_path / f"ensemble_result_{index}_20260102_030405.pkl"
    found = pickle.loads(path.read_bytes())
    assert found == {m: pytest.approx(0.4 + 0.011 * m) for m in INDEX[index]}
    assert b"numpy" not in path.read_bytes()


def test_nothing_is_dumped_unless_it_was_asked_for(whole, tmp_path, monkeypatch):
    monkeypatch.delenv("INDEX", raising=False)
    plot.write_sizes(whole, tmp_path, "20260102_030405")
    assert not list(tmp_path.iterdir())


def test_both_dumps_of_the_original_are_read_together_and_drawn(tmp_path):
    for index, sizes in INDEX.items():
        path = tmp_path / f"ensemble_result_{index}_2020051{index}_072746.pkl"
        path.write_bytes(pickle.dumps({m: PUBLISHED[m] for m in sizes}))
    assert plot.main([str(path), "--out", str(tmp_path / "out")]) == 0
    whole = plot.read(path)
    assert bars.by_size(whole) == {m: {0: PUBLISHED[m]} for m in SIZES}
    drawn = {p.name for p in (tmp_path / "out").glob("*.png")}
    assert drawn == {"fig_ensemble_experiments.png", "fig_ensemble_experiments_improved.png"}


@pytest.mark.parametrize(
    "content",
    [b"no pickle", pickle.dumps([1, 2]), pickle.dumps({1: 7.5}), pickle.dumps({1: print})],
)
def test_a_dump_of_something_else_is_refused_and_not_run(content, tmp_path, capsys):
    path = tmp_path / "ensemble_result_1_20200510_072746.pkl"
    path.write_bytes(content)
    assert plot.main([str(path), "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "is no dump of sizes" in said or "Nothing in it was run" in said


@pytest.mark.parametrize("arms", [1, 2])
def test_the_page_tells_each_size_also_while_only_the_rule_has_run(whole, monkeypatch, arms):
    part = [run for run in whole.runs if run.arm in list(whole.arms())[:arms]]
    monkeypatch.setattr(pages, "record", lambda plan: replace(whole, runs=part))
    head, one, *more = pages.TABLES["sizes"]()
    assert {len(line) for line in (one, *more)} == {len(head)}
    assert [line[0] for line in (one, *more)] == list(map(str, SIZES))
    assert one[2] == one[5] == ""
    assert all(line[2] and line[5] for line in more)
    assert bool(one[3]) is (arms == 2)
