"""What is told of cables, from a made-up record whose seconds follow the formula exactly."""

import re
from dataclasses import asdict

import pytest

from harness.experiment import Experiment, Run
from parallel import pages_link
from parallel.plans.link import LINKS, PLANS
from parallel.plots import link

WORK = {"all-reduce": 0.01, "local-sgd": 0.008, "ist": 0.02}  # seconds a step
BYTES = {"all-reduce": 1.6e6, "local-sgd": 1e5, "ist": 3e4}  # of the busiest host, a step
ROUNDS = {"all-reduce": 6, "local-sgd": 6 / 16, "ist": 2 / 16}
STEPS = 400


def made(seeds=(0, 1), limit=60.0):
    """Runs of three strategies, each to the goal after STEPS steps, or to the limit."""
    runs = []
    for arm, config in PLANS["link"].arms.items():
        name = arm.split("@")[0]
        if name in WORK:
            runs += [Run(arm, s, arm, asdict(config), _rows(name, config, s, limit)) for s in seeds]
    return Experiment("parallel", "link", "?", runs)


def _rows(name, config, seed, limit):
    cable = 8 * BYTES[name] / (1e6 * config.mbit) + ROUNDS[name] * config.latency / 1e3
    rows = []
    for step in range(20, STEPS + 1, 20):
        seconds = step * (WORK[name] * (1 + 0.01 * seed) + cable)
        row = dict(epoch=step // 20, step=step, seconds=seconds, cable_time=step * cable)
        row |= dict(reached=step == STEPS, test_accuracy=1 - 0.8 * 0.993**step, train_loss=1.0)
        rows.append(row | dict(test_loss=1.0))
        if seconds > limit:
            break
    return rows


def test_a_prediction_is_the_work_of_the_fastest_cable_and_what_the_cable_costs():
    whole = made(seeds=(0, 1))
    for cable in LINKS:
        for name in WORK:
            found = link.to_goal(link.of(whole, name, cable))
            told = link.predicted(whole, name, cable)
            if found is not None:
                assert told == pytest.approx(found.mean)
    # who met the limit is predicted none the less
    assert link.to_goal(link.of(whole, "all-reduce", (10, 0))) is None
    assert link.predicted(whole, "all-reduce", (10, 0)) == pytest.approx(
        STEPS * (1.005 * WORK["all-reduce"] + 8 * BYTES["all-reduce"] / 10e6)
    )


def test_bandwidth_and_latency_are_swept_apart():
    whole = made()
    assert link.sweep(whole, 0) == [(10, 0), (100, 0), (1000, 0)]
    assert link.sweep(whole, 1) == [(100, 0), (100, 1), (100, 10), (100, 50)]


def test_both_pictures_hold_what_was_measured():
    whole = made()
    ((_, _, curves),) = link.drawers(whole)["parallel_accuracy"]()
    assert len(curves["series"]) == len(LINKS)
    ((_, _, data),) = link.drawers(whole)["parallel_seconds"]()
    slow = data["series"]["bandwidth (Mbit/s)"]["all-reduce"]
    assert (slow["x"], slow["missed"]) == ([100, 1000], [10])
    assert all(slow["predicted"])
    assert "4 hosts on one machine, to 95 % or 60 s" in data["note"]


def test_what_does_not_differ_has_no_panel():
    """Plan link_pairs has cables without latency, and a call may ask for a single cable."""
    whole = made()
    some = [run for run in whole.done() if not run.config["latency"]]
    ((_, fig, data),) = link.over_links(Experiment("parallel", "link_pairs", "?", some))
    assert (len(fig.axes), [*data["series"]]) == (1, ["bandwidth (Mbit/s)"])
    one = [run for run in some if run.config["mbit"] == 10]
    assert not [*link.over_links(Experiment("parallel", "link_pairs", "?", one))]


def test_the_table_of_the_page_has_measured_seconds_and_in_brackets_the_formulas(monkeypatch):
    monkeypatch.setattr(pages_link, "record", lambda plan: made() if plan == "link" else None)
    head, *lines = pages_link.seconds("link")
    assert head[:2] == ("strategy", "1 Gbit/s")
    (slow,) = [line for line in lines if line[0] == "all-reduce"]
    assert slow[3] == "0 of 2 in 60 s (516.0)"
    (local,) = [line for line in lines if line[0] == "local SGD"]
    assert re.fullmatch(r"(\d+\.\d) ± \d\.\d \(\1\)", local[2])
    assert [*pages_link.seconds("link_pairs")][1] == ("not run yet",)
    with pytest.raises(AssertionError, match="has no seconds"):
        pages_link.sooner("link", "local-sgd", "all-reduce", (10, 0))
    assert pages_link.off("link") == "0 %"


def test_the_table_says_who_did_not_come_to_the_goal():
    lines = list(link.table(made()))
    assert len(lines) == 1 + len(LINKS) * len(WORK)
    (slow,) = [x for x in lines if x.startswith("10 Mbit/s") and "all-reduce" in x]
    assert "not reached" in slow
    assert "predicted 516.02" in slow


def test_simulated_runs_have_no_picture_of_cables():
    arm, config = next(iter(PLANS["link_rates"].arms.items()))
    run = Run(arm, 9, arm, asdict(config), [dict(epoch=1, step=20, reached=True)])
    assert link.drawers(Experiment("parallel", "link_rates", "?", [run])) == {}
