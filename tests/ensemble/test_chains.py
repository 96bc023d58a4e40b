"""Chains of trained nets: what they spend, and how they go on after an interruption."""

import re
from dataclasses import replace

import pytest
import torch

from ensemble import chains, trainer
from ensemble.chains import Chained, thresholds
from ensemble.plans.cascade import ARMS, LINKS, PLANS
from ensemble.scores.answers import accuracy
from ensemble.sides import Side
from harness.exits import EarlyExit
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


@pytest.mark.parametrize("name", ["sparse>dense", "sparse>narrow-4", "sparse>stairs-exits"])
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


def test_exits_of_one_net_are_asked_in_turn_each_at_its_own_cost(few):
    config = replace(SMOKE["sparse>stairs-exits"], links=("stairs-exits",), each=1)
    chain = Chained(config, DATA, 0)
    row = chain.link()
    ((net,),) = chain.nets
    assert isinstance(net, EarlyExit)
    with torch.no_grad():
        said = torch.stack(net.eval().forward_exits(DATA.test_x)).double()
    expected = torch.log_softmax(said, -1)
    torch.testing.assert_close(chain.logp["test"][0], expected, rtol=1e-6, atol=1e-6)
    exits = [cost.macs for cost in net.costs()]
    first, last = row["curve"][0], row["curve"][-1]
    assert (first["macs"], last["macs"]) == (exits[0], exits[-1])
    assert exits[0] < exits[1] < exits[2]
    assert first["accuracy"] == accuracy(expected[0], DATA.test_y)
    assert row["whole_accuracy"] == last["accuracy"] == accuracy(expected[-1], DATA.test_y)
    assert trainer.describe(config, Job())["macs"] == exits[-1]
    assert {t["name"] for t in chain.times(row["fitted"]["threshold"])} == {"chain", "dense"}


def test_a_net_with_exits_learns_from_all_of_them():
    side = Side(SMOKE["sparse>stairs-exits"].side("stairs-exits"), DATA, 0)
    before = [p.clone() for p in side.nets[0].heads.parameters()]
    side.run()
    after = list(side.nets[0].heads.parameters())
    assert len(after) == 4
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))


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


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(exits=()), "exits must be hidden layers, 1 to 2, in ascending order, got ()"),
        (dict(exits=(2, 1)), r"in ascending order, got (2, 1)"),
        (dict(exits=(3,)), r"1 to 2, in ascending order, got (3,)"),
        (dict(members=4), "exits are those of one net, dense or of a design, got members=4"),
        (dict(designs="packed"), "got members=1 and designs='packed'"),
    ],
)
def test_exits_that_a_net_has_not_are_refused_in_words(change, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        replace(LINKS["dense-exits"], **change)
