"""Thresholds with a promise: the cheapest rule whose loss is shown to be small."""

import pytest
import torch

from ensemble.cascade import Rule, answered, fitted, lost
from ensemble.cascade.fitting import candidates
from ensemble.combine import pooled

MACS = (1, 10, 30)


def chain(seed, samples, links=3, classes=4):
    """Links that know more and more: log-probabilities and targets."""
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(classes, (samples,), generator=g)
    noise = torch.randn(links, samples, classes, generator=g, dtype=torch.float64)
    pull = torch.nn.functional.one_hot(y, classes) * torch.arange(2, links + 2)[:, None, None]
    return torch.log_softmax(2 * (noise + pull), -1), y


@pytest.mark.parametrize("answer", ["average", "replace"])
@pytest.mark.parametrize("of", ["agreement", "accuracy"])
def test_it_keeps_what_it_promises_on_its_samples_and_saves(answer, of):
    logp, y = chain(0, 4000)
    target = y if of == "accuracy" else None
    found = fitted(logp, Rule(answer=answer), "validation", target, loss=0.02, macs=MACS)
    whole = pooled(logp) if answer == "average" else logp[-1]
    assert found.loss == lost(answered(logp, found.rule).logp, whole, target)
    assert found.loss.bound <= 0.02
    assert 0 < found.rule.thresholds < 1
    assert found.spent["mean"] < 0.6 * sum(MACS)
    assert found.split == "validation"


def test_the_next_cheaper_rule_could_not_be_shown():
    logp, y = chain(0, 4000)
    found = fitted(logp, Rule(), "validation", y, loss=0.02)
    rules = list(candidates(Rule(), 3))
    after = rules[rules.index(found.rule) + 1]
    assert lost(answered(logp, after).logp, pooled(logp), y).bound > 0.02


def test_more_loss_never_costs_more():
    logp, y = chain(1, 4000)
    means = [
        fitted(logp, Rule(), "validation", y, loss=loss, macs=MACS).spent["mean"]
        for loss in (0.002, 0.005, 0.02, 0.1)
    ]
    assert means == sorted(means, reverse=True)


def test_the_promise_is_broken_as_seldom_as_it_says():
    """Of 100 fits; each of at most .2 by chance, so more than 34 of them in 4 of 10,000 cases.

    (The binomial distribution: P(more than 34 of 100 | .2) = 3.1e-4.)
    """
    all_of_them, target = chain(999, 3000)
    truth, broken = {}, 0
    for seed in range(100):
        g = torch.Generator().manual_seed(seed)
        some = torch.randint(len(target), (300,), generator=g)  # (with replacement: independent)
        logp, y = all_of_them[:, some], target[some]
        rule = fitted(logp, Rule(), "validation", y, loss=0.03, confidence=0.8).rule
        if rule not in truth:
            answer = answered(all_of_them, rule).logp
            truth[rule] = lost(answer, pooled(all_of_them), target).share
        broken += truth[rule] > 0.03
    assert broken <= 34
    assert len(truth) > 1


def test_rules_come_from_the_whole_chain_to_the_first_link():
    rules = list(candidates(Rule(answer="replace", criterion="margin"), 3))
    bounds = [rule.thresholds for rule in rules]
    assert bounds == sorted(bounds, reverse=True)
    assert (bounds[0], bounds[-1]) == (1.0, 0.0)
    assert {(rule.answer, rule.criterion) for rule in rules} == {("replace", "margin")}
    assert [rule.agree for rule in candidates(Rule(agree=2), 3)] == [3, 2, 1]


def test_several_thresholds_keep_the_proportion_of_their_distances_from_one():
    rules = list(candidates(Rule((0.9, 0.6)), 3))
    assert rules[0].thresholds == 1.0
    for rule in rules[1:]:
        first, second = (1 - bound for bound in rule.thresholds)
        assert second == pytest.approx(4 * first, rel=1e-9)
    assert rules[-1].thresholds == pytest.approx((0.75, 0.0))
    level = list(candidates(Rule((1.0, 1.0)), 3))
    assert [rule.thresholds for rule in level] == [r.thresholds for r in candidates(Rule(), 3)]
    logp, y = chain(0, 4000)
    found = fitted(logp, Rule((0.9, 0.6)), "validation", y, loss=0.02, macs=MACS)
    assert found.loss.bound <= 0.02
    assert found.spent["mean"] < sum(MACS)


def test_how_many_must_agree_is_found_too():
    logp, y = chain(2, 3000, links=5)
    found = fitted(logp, Rule(agree=1, combine="hard"), "validation", y, loss=0.05)
    assert 1 <= found.rule.agree <= 5
    assert found.loss.bound <= 0.05
    sloppy = fitted(logp, Rule(agree=1, combine="hard"), "validation", y, loss=0.9)
    assert sloppy.rule.agree == 1


def test_links_that_always_agree_are_asked_once():
    logp, _ = chain(3, 700, links=1)
    found = fitted(logp.repeat(3, 1, 1), Rule(), "validation", loss=0.005, macs=MACS)
    assert found.rule.thresholds == 0.0
    assert found.spent["mean"] == 1.0


def test_too_few_samples_are_refused_with_the_number_that_it_takes():
    logp, y = chain(0, 597)
    with pytest.raises(ValueError, match=r"597 samples cannot show .* it takes 598"):
        fitted(logp, Rule(), "validation", y)


@pytest.mark.parametrize("split", ["train", "test"])
def test_thresholds_are_not_fitted_on_training_or_test_samples(split):
    logp, y = chain(0, 1000)
    with pytest.raises(ValueError, match=f"thresholds cannot be fitted on '{split}'"):
        fitted(logp, Rule(), split, y)
