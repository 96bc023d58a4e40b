"""Chains of trained nets: what they spend, and how they go on after an interruption."""

from dataclasses import replace

import pytest

from ensemble import chains, trainer
from ensemble.chains import Chained, thresholds
from ensemble.plans.cascade import ARMS, LINKS, PLANS
from harness.job import Job

SMOKE = PLANS["cascade_smoke"].arms


DATA = trainer.read(SMOKE["dense"], Job())


@pytest.fixture
def few(monkeypatch):
    """Few calls are timed."""
    monkeypatch.setattr(chains, "CALLS", {1: 2, 128: 2})


def rows(config, saved=None, stop=None):
    chain, found = Chained(config, DATA, 0), []
    if saved:
        chain.load_state_dict(saved)
    while chain.done < (stop or config.epochs):
        row = chain.link()
        found.append({k: v for k, v in row.items() if k != "train_time"})
    return found, chain.state_dict()


@pytest.mark.parametrize("name", ["sparse>dense", "sparse>narrow-4"])
def test_a_chain_grows_by_links_and_goes_on_bitwise(name):
    config = replace(SMOKE[name], each=1)
    whole, _ = rows(config)
    assert [row["epoch"] for row in whole] == [1, 2]
    first, state = rows(config, stop=1)
    assert first + rows(config, saved=state)[0] == whole


def test_the_ends_of_a_curve_are_the_first_link_and_the_whole_chain():
    """Threshold 0 asks one net only, 1 asks all of them of every sample."""
    (first, last), _ = rows(replace(SMOKE["sparse>dense"], each=1))
    low, high = last["curve"][0], last["curve"][-1]
    assert (low["threshold"], high["threshold"]) == (0, 1)
    assert (low["accuracy"], low["asked"]) == (first["test_accuracy"], 1)
    assert (high["accuracy"], high["asked"]) == (last["whole_accuracy"], 2)
    assert low["macs"] == first["macs"]
    assert high["macs"] == high["whole"] == high["p99"]
    spent = [point["macs"] for point in last["curve"]]
    assert spent == sorted(spent)


def test_a_chain_says_what_its_fitted_threshold_loses_and_times_it_beside_the_dense_net(few):
    *_, last = trainer.train(replace(SMOKE["slim>dense"], each=1), 0, Job())
    assert last["fitted"]["lost"] <= last["fitted"]["bound"]
    assert last["test_accuracy"] == last["fitted"]["accuracy"]
    names = {line["name"] for line in last["time"]}
    assert names == {"chain", "dense"}
    assert last["fitted"]["threshold"] in {line["threshold"] for line in last["time"]}


def test_one_net_is_timed_by_itself(few):
    (row,) = trainer.train(replace(SMOKE["slim"], each=1), 0, Job())
    assert {line["threshold"] for line in row["time"]} == {None}
    assert row["test_accuracy"] == row["whole_accuracy"]


def test_arms_are_named_by_the_links_that_they_ask():
    assert {link for config in ARMS.values() for link in config.links} == set(LINKS)
    assert all(name == ">".join(config.links) for name, config in ARMS.items())
    assert thresholds() == sorted(set(thresholds()))
    for plan in PLANS.values():
        assert {arm for pair in plan.compare for arm in pair} <= set(plan.arms)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(links=("huge",)), "unknown link 'huge'"),
        (dict(links=()), "a chain has links"),
        (dict(answer="vote"), "unknown answer 'vote'"),
        (dict(loss=1.0), r"a loss in \]0, 1\["),
        (dict(each=0), "each must be at least 1, got 0"),
        (dict(momentum=1.5), r"momentum in \[0, 1\), got 0.1 and 1.5"),
    ],
)
def test_settings_of_a_chain_that_make_no_sense_are_refused_in_words(change, words):
    with pytest.raises(ValueError, match=words):
        replace(ARMS["dense"], **change)
