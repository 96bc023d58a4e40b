"""The table of rates for a slow link: steps to the goal, and what is said of those that missed it."""

import json
from types import SimpleNamespace

from harness.experiment import DONE, Experiment, Run
from harness.plan import as_dict
from parallel.plans.link import PLANS
from parallel.plots import link_rates


def runs():
    """Two strategies at two rates each; one run has not come to the goal."""
    steps = {"all-reduce-0.1": 40, "all-reduce-0.4": 20, "top-k-0.1": 80, "top-k-0.4": None}
    for arm, step in steps.items():
        row = {"step": step or 99, "reached": step is not None}
        config = as_dict(PLANS["link_rates"].arms[arm])
        run = Run(arm, 9, arm, config, rows=[{"step": 10, "reached": False}, row], status=DONE)
        run.facts = {"split": "holdout"}
        yield run


def test_steps_are_those_of_the_last_row_and_a_dash_where_the_goal_was_missed():
    whole = Experiment("parallel", "link_rates", "?", list(runs()))
    assert link_rates.steps(whole) == {
        "all-reduce": {0.1: 40, 0.4: 20},
        "top-k": {0.1: 80, 0.4: None},
    }
    ((name, fig, data),) = link_rates.drawers(whole)[link_rates.NAME]()
    assert name == "parallel_rates"
    (ax,) = fig.axes
    cells = {
        (text.get_position()[1] - 0.5, text.get_position()[0] - 0.5): text.get_text()
        for text in ax.texts
    }
    assert cells == {(0, 0): "40", (0, 1): "20", (1, 0): "80", (1, 1): "\N{EN DASH}"}
    frames = [tuple(map(int, p.get_xy())) for p in ax.patches if not p.get_fill()]
    assert frames == [(1, 0), (0, 1)]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["all-reduce", "top-k"]
    assert json.loads(json.dumps(data))["steps"]["top-k"] == {"0.1": 80, "0.4": None}
    assert "steps to 95 %, n = 1 seed" in data["note"]
    note, *lines = link_rates.table(whole)
    assert note == data["note"]
    assert [line.split() for line in lines] == [
        ["rate", "0.1", "0.4"],
        ["all-reduce", "40", "20"],
        ["top-k", "80", "\N{EN DASH}"],
    ]


def test_shades_grow_with_the_steps_and_one_count_is_no_division_by_zero():
    whole = Experiment("parallel", "link_rates", "?", list(runs()))
    ((_, fig, _),) = link_rates.by_rate(whole)
    shades = [sum(p.get_facecolor()[:3]) for p in fig.axes[0].patches if p.get_fill()]
    forty, twenty, eighty = shades
    assert eighty < forty < twenty
    alone = Experiment("parallel", "link_rates", "?", list(runs())[:1])
    assert list(link_rates.by_rate(alone))
    assert link_rates.drawers(SimpleNamespace(done=lambda: [])) == {}
