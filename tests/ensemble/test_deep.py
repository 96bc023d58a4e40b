"""The published ensemble: ResNets that grow by a member, how they go on, and what rows say."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from ensemble.deep import Deep
from ensemble.plans.paper import INDEX, PLANS, PUBLISHED, SIZES, Paper
from harness.data import Data

BASE = Paper("independent", members=3, each=2, batch_size=20, augment="flip", lr=0.2)
METHODS = {
    "single": {},
    "independent": {},
    "samme": dict(shrinkage=0.1),
    "iddl": dict(weights="repeat"),
}


@pytest.fixture(scope="module")
def data():
    """Two classes of small pictures that one can tell apart, though not all of them."""
    g = torch.Generator().manual_seed(0)
    y = torch.arange(140) % 2
    x = torch.randn(140, 1, 8, 8, generator=g) + 0.25 * (2 * y[:, None, None, None] - 1)
    parts = dict(validation_x=x[100:120], validation_y=y[100:120])
    return Data("noise", "140", x[:100], y[:100], x[120:], y[120:], **parts)


def factory():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.BatchNorm1d(4), nn.ReLU(),
                         nn.Linear(4, 2))  # fmt: skip


def grown(data, config, members=None, saved=None):
    growth, rows = Deep(factory, data, 0, config), []
    if saved:
        growth.load_state_dict(saved)
    while growth.done < (members or config.members):
        row = growth.member()
        if row is None:
            break
        rows.append({k: v for k, v in row.items() if not k.endswith("_time")})
    return rows, growth


@pytest.mark.parametrize("method", METHODS)
def test_an_ensemble_of_resnets_goes_on_bitwise_from_between_two_members(data, method):
    config = replace(BASE, method=method, **METHODS[method])
    whole, _ = grown(data, config)
    assert [row["epoch"] for row in whole] == [1, 2, 3][: len(whole)]
    assert len(whole) >= 2
    first, half = grown(data, config, 1)
    rest, _ = grown(data, config, saved=torch.load(_saved(half), weights_only=True))
    assert first + rest == whole


def _saved(growth):
    import io

    file = io.BytesIO()
    torch.save(growth.state_dict(), file)
    file.seek(0)
    return file


def test_the_first_members_of_a_larger_ensemble_are_the_smaller_one(data):
    assert grown(data, replace(BASE, members=2))[0] == grown(data, BASE)[0][:2]


def test_the_rule_of_the_original_study_steps_twice_from_the_second_member_on(data):
    rows, _ = grown(data, replace(BASE, method="iddl", weights="repeat"), 2)
    others, _ = grown(data, BASE, 2)
    once = BASE.each * 5  # passes, batches
    assert [row["steps"] for row in others] == [once, 2 * once]
    assert [row["steps"] for row in rows] == [once, 3 * once]


def test_one_net_trained_on_answers_alone(data):
    rows, growth = grown(data, replace(BASE, method="single"))
    assert rows[-1]["disagreement"] is None
    assert rows[-1]["test_accuracy"] == rows[-1]["alone_accuracy"]
    assert growth.single.groups[0].epoch == BASE.each * BASE.members


def test_what_is_kept_beside_a_run_is_what_all_members_say_to_both_parts(data):
    _, growth = grown(data, BASE)
    kept = growth.state_dict()["logp"]
    for part, n in (("test", 20), ("validation", 20)):
        logp = torch.stack(kept[part])
        assert logp.shape == (3, n, 2)
        assert logp.dtype == torch.float64
        torch.testing.assert_close(logp.exp().sum(-1), torch.ones(3, n, dtype=torch.float64))


def test_both_arguments_of_the_original_script_together_are_the_published_sizes():
    assert sorted(sum(INDEX.values(), ())) == list(SIZES) == sorted(PUBLISHED)
    members = {config.members for config in PLANS["paper"].arms.values()}
    assert members == {max(SIZES)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(method="bagging"), "unknown method 'bagging'"),
        (dict(weights="twice"), "unknown weights 'twice'"),
        (dict(batch_size=1), "batch_size must be at least 2"),
        (dict(shrinkage=0.0), r"shrinkage must be in \(0, 1\]"),
        (dict(momentum=1.0), r"momentum in \[0, 1\)"),
    ],
)
def test_settings_of_plan_paper_that_make_no_sense_are_refused_in_words(change, words):
    with pytest.raises(ValueError, match=words):
        replace(BASE, **change)
