"""Pictures, tables and pages of plans budget, cascade and factors, from made-up records."""

import pytest

from ensemble import pages
from ensemble import plot_ensemble_experiments as plot
from ensemble.chains import TIMED, thresholds
from ensemble.plans import budget, cascade, factors
from ensemble.plots import budget as draw_budget
from ensemble.plots import cascade as draw_cascade
from ensemble.plots import factors as draw_factors
from harness.experiment import Experiment, Run
from harness.plan import as_dict

FACTS = {"split": "fixed", "macs": 1000, "train_macs": 3000, "connections": 900}


def record(plan, name, row, arms=None, rows=None):
    runs = [
        Run(arm, seed, arm, as_dict(config), (rows or (lambda *a: [row(*a)]))(arm, config, seed),
            dict(FACTS))
        for arm, config in plan.arms.items()
        if arms is None or arm in arms
        for seed in range(3)
    ]  # fmt: skip
    return Experiment("ensemble", name, plan.question, runs)


def side(arm, config, seed):
    many = sorted({1, config.members})
    score = {"test_accuracy": 0.9 + 0.01 * seed, "calibrated_nll": 0.3 + 0.01 * seed, "disagreement": 0.1,
             "mean_accuracy": 0.88}  # fmt: skip
    score["disagreement"] = score["disagreement"] if config.members > 1 else None
    times = {"step": 2.0, "call_1": 3.0, "call_128": 4.0}
    times |= {f"dense_{k}": 1.0 for k in list(times)}
    bins = {"raw": [[200, 0.5, 0.4], [800, 0.9, 0.95]], "calibrated": [[1000, 0.9, 0.9]]}
    sizes = [{"members": m, **score} for m in many]
    return {"epoch": config.epochs, **score, "sizes": sizes, "reliability": bins, "time": times}


def chain(arm, config, seed):
    row = {"epoch": len(config.links), "test_accuracy": 0.95 + 0.001 * seed, "macs": 500.0}
    row |= {"whole_accuracy": 0.96 + 0.001 * seed}
    bounds = [None]
    if len(config.links) > 1 or "-" in arm:
        own = thresholds()[
            5 + seed
        ]  # (each seed has a fitted one of its own, of those of the curve)
        curve = [{"threshold": t, "accuracy": 0.9 + t / 20, "macs": 100 + 900 * t}
                 for t in thresholds()]  # fmt: skip
        row |= {"curve": curve, "fitted": {"threshold": own, "p99": 1000, "accuracy": 0.95}}
        bounds = [own, *TIMED]
    row["time"] = [{"threshold": b, "batch": n, "name": name, "cpu": cpu, "wall": cpu}
                   for b in bounds for n in (1, 128)
                   for name, cpu in (("chain", 0.5 * n), ("dense", 1.0 * n))]  # fmt: skip
    return row


def test_pictures_of_a_budget_show_every_side_that_was_run():
    whole = record(budget.PLANS["budget"], "budget", side)
    found = {name: (fig, data) for name, fig, data in plot.figures(whole)}
    assert set(found) == {"ensemble_members", "ensemble_cost", "ensemble_reliability",
                          "ensemble_diversity"}  # fmt: skip
    words = [t.get_text() for t in found["ensemble_cost"][0].legends[0].get_texts()]
    assert words == list(draw_budget.NAMES.values())
    assert set(draw_budget.NAMES) == set(budget.SIDES)
    point = found["ensemble_cost"][1]["points"]["narrow-4-flat"]
    assert (point["training step"], point["call at batch 128"]) == (2, 4)
    assert "dense-short" not in found["ensemble_diversity"][1]["points"]


def test_reliability_is_of_all_seeds_together_and_leaves_small_bins_out():
    whole = record(budget.PLANS["budget"], "budget", side, arms=("dense-short",))
    found = draw_budget.bins(whole.done(), "raw")
    assert found["x"] == pytest.approx([0.5, 0.9])
    assert found["gap"] == pytest.approx([-0.1, 0.05])
    for run in whole.done():
        run.rows[-1]["reliability"]["raw"][0][0] = 30
    assert draw_budget.bins(whole.done(), "raw")["x"] == pytest.approx([0.9])


def test_the_table_of_a_budget_has_a_line_for_each_side_and_length():
    lines = list(plot.table(record(budget.PLANS["budget"], "budget", side)))
    assert [line.split()[0] for line in lines[2:]] == list(budget.PLANS["budget"].arms)


def test_pictures_of_chains_show_single_nets_curves_and_fitted_thresholds():
    whole = record(cascade.PLANS["cascade"], "cascade", chain)
    ((name, fig, data),) = plot.figures(whole)
    assert name == "ensemble_cascade"
    assert len(fig.axes) == len(draw_cascade.AXES) == 3
    macs = data["series"]["macs"]
    assert macs["single"]["dense, of every size"]["net"] == ["dense", "half", "quarter", "eighth",
                                                            "slim"]  # fmt: skip
    assert set(macs["fitted"]) == set(draw_cascade.NAMES)
    assert len(macs["curves"]["sparse>dense"]["x"]) == len(thresholds())
    assert data["series"]["128"]["curves"]["sparse>dense"]["x"] == [0.5] * len(TIMED)


def test_the_table_of_chains_has_what_they_spend():
    lines = list(plot.table(record(cascade.PLANS["cascade"], "cascade", chain)))
    assert [line.split()[0] for line in lines[2:]] == list(cascade.ARMS)
    assert lines[-1].split()[-4:] == ["0.5", "1.0", "0.50", "0.50"]


def cells(arm, config, seed):
    base = 0.4 + 0.001 * seed + 0.05 * (config.pattern == "dense")
    grown = [{"epoch": m, "test_accuracy": base + 0.03 * (m > 1)} for m in range(1, 6)]
    grown[-1]["test_accuracy"] += 0.0001 * len(arm) * (seed - 1)
    return grown


def test_the_grid_finds_members_and_pattern_and_nothing_else():
    whole = record(factors.PLANS["factors"], "factors", None, rows=cells)
    found = draw_factors.analysis(whole)
    assert found
    effects = {(e.term, e.levels): e.interval.mean for e in found.effects}
    assert effects["members", ("4",)] == pytest.approx(1.5, abs=0.01)
    assert effects["pattern:members", ("dense", "4")] == pytest.approx(0, abs=0.02)
    drawn = [name for name, _, _ in plot.figures(whole)]
    assert drawn == ["ensemble_cells", "ensemble_effects"]
    assert any(line.startswith("members ") for line in plot.table(whole))


def test_a_grid_that_is_not_whole_is_drawn_without_effects():
    whole = record(factors.PLANS["factors"], "factors", None, rows=cells, arms=("dense-V1-full",))
    assert [name for name, _, _ in plot.figures(whole)] == ["ensemble_cells"]
    assert "not whole" in list(plot.table(whole))[-1]


def test_pages_say_what_was_not_run(monkeypatch):
    monkeypatch.setattr(pages, "record", lambda plan: None)
    for name in ("sizes", "paper", "budget", "cascade", "factors"):
        head, line = pages.TABLES[name]()
        assert line[0] == "not run yet"
        assert len(line) == len(head)


def test_pages_tell_records_of_budget_chains_and_grid(monkeypatch):
    known = {
        "budget": record(budget.PLANS["budget"], "budget", side),
        "cascade": record(cascade.PLANS["cascade"], "cascade", chain),
        "factors": record(factors.PLANS["factors"], "factors", None, rows=cells),
    }
    monkeypatch.setattr(pages, "record", known.get)
    for name, lines in (("budget", 22), ("cascade", 18), ("factors", 16)):
        head, *body = pages.TABLES[name]()
        assert len(body) == lines, name
        assert {len(line) for line in body} == {len(head)}
