"""The study: ensembles that grow, their rows, and how they go on after an interruption."""

from dataclasses import replace

import pytest
import torch

from ensemble import trainer
from ensemble.growth import Growth, falling
from ensemble.plans.boost import DIGITS, KINDS, PLANS, kind
from ensemble.plans.config import METHODS
from harness.job import Job

SMALL = replace(DIGITS, each=2, members=3)


def grown(config, seeds, saved=None, stop=None):
    job = Job(saved=saved)
    rows = []
    for found in trainer.train_stack(config, seeds, job):
        rows.append(found)
        if len(rows) == stop:
            break
    return rows, job.state(len(rows))


def plain(rows):
    return [[None if r is None else {k: v for k, v in r.items() if k != "train_time"} for r in some]
            for some in rows]  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_grows_by_members_and_goes_on_bitwise_from_between_two(name):
    config = kind(SMALL, name)
    whole, _ = grown(config, [0, 1])
    assert [[r["epoch"] for r in some] for some in whole] == [[1, 1], [2, 2], [3, 3]]
    first, state = grown(config, [0, 1], stop=1)
    rest, _ = grown(config, [0, 1], saved=state)
    assert plain(first + rest) == plain(whole)


@pytest.mark.parametrize("method", METHODS)
def test_a_smaller_ensemble_is_the_first_members_of_a_larger_one(method):
    config = replace(SMALL, method=method)
    whole, _ = grown(config, [3])
    assert plain(grown(replace(config, members=2), [3])[0]) == plain(whole[:2])


def test_a_seed_does_not_depend_on_which_others_train_beside_it():
    """To the bit: a stack of two makes the same sums for a member, whoever the other one is."""
    config = replace(SMALL, method="samme")
    some, others = (plain(grown(config, seeds)[0]) for seeds in ([0, 5], [7, 5]))
    assert [row[1] for row in some] == [row[1] for row in others]
    assert [row[0] for row in some] != [row[0] for row in others]


def test_one_net_that_trains_on_answers_alone_and_others_answer_together():
    for name in ("single", "independent"):
        (row,) = grown(kind(SMALL, name), [0])[0][-1]
        alone = row["alone_accuracy"] == row["test_accuracy"]
        assert alone == (name == "single")
        assert (row["disagreement"] is None) == (name == "single")


def test_rows_of_boosting_say_what_it_did_with_its_samples():
    (first,), (second,), _ = grown(kind(SMALL, "samme-1"), [0])[0]
    assert first["effective"] == pytest.approx(1)
    assert 0 < second["effective"] < first["effective"]
    assert first["alpha"] > 0
    assert "weighted_error" not in grown(kind(SMALL, "bagging"), [0])[0][0][0]


def test_a_member_in_training_tells_how_far_it_is():
    data = trainer.read(SMALL, Job())
    growth = Growth(lambda s: trainer.build(SMALL, data, s), data, [0], SMALL)
    seen = []
    growth.member(seen.append)
    assert growth.done == 1
    assert seen == [0.5, 1.0]


def test_a_cycle_of_snapshots_begins_at_the_whole_rate_and_ends_near_none():
    assert falling(10, 0) == falling(10, 10) == 1
    assert falling(10, 5) == pytest.approx(0.5)
    assert 0 < falling(10, 9) < 0.03


def test_settings_that_make_no_sense_are_refused_in_words():
    for change, words in (
        (dict(method="boosting"), "unknown method 'boosting'"),
        (dict(members=0), "members must be at least 1, got 0"),
        (dict(shrinkage=0.0), r"shrinkage must be in \(0, 1\], got 0"),
        (dict(lr=-1.0), "lr must be above 0"),
        (dict(validation=0), "validation must be at least 1"),
    ):
        with pytest.raises(ValueError, match=words):
            replace(SMALL, **change)


def test_what_is_compared_is_an_arm_of_its_plan():
    for plan in PLANS.values():
        assert {arm for pair in plan.compare for arm in pair} <= set(plan.arms)


def test_facts_count_the_whole_ensemble():
    one = trainer.describe(replace(SMALL, method="single"), Job())
    three = trainer.describe(replace(SMALL, method="bagging"), Job())
    assert three["connections"] == 3 * one["connections"]
    assert torch.is_tensor(trainer.build(SMALL, trainer.read(SMALL, Job()), 0)(torch.rand(2, 64)))
