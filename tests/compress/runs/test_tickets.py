"""Levels of pruning as rows of a run."""

import copy
from dataclasses import replace

import pytest

from compress.plans.tickets import CONV, PLANS, RESNET, SMOKE
from compress.trainer import describe, stacks, train, train_stack
from harness.job import Job

SHORT = replace(SMOKE, levels=3, controls=(1,), iterations=60, every=20)
TINY = dict(width=2, iterations=8, every=4)
(CONVS,) = PLANS["tickets_conv_smoke"].arms.values()
(DEEP,) = PLANS["tickets_resnet_smoke"].arms.values()
CONVS, DEEP = replace(CONVS, **TINY), replace(DEEP, **TINY, also=(2, 4))


def test_a_run_goes_on_between_levels_bit_for_bit():
    whole = list(train_stack(SHORT, [0, 1], Job()))
    half = Job()
    first = next(steps := train_stack(SHORT, [0, 1], half))
    saved = copy.deepcopy(half.state(1))
    steps.close()
    assert [first, *train_stack(SHORT, [0, 1], Job(saved=saved))] == whole


def test_levels_shrink_by_a_fifth_and_controls_are_where_they_were_asked_for():
    rows = list(train_stack(SHORT, [0, 1], Job()))
    shares = [row[0]["remaining"] for row in rows]
    counts = (2048, 768, 240)
    second = (2048 - 410) + (768 - 154) + (240 - 24)
    assert shares == pytest.approx([1, second / sum(counts), 0.652814], abs=1e-6)
    assert [set(row[1]) & {"new", "random"} for row in rows] == [set(), {"new", "random"}, set()]
    assert all(0 < row[0]["stop"] <= 60 and row[0]["stop"] % 20 == 0 for row in rows)


def test_sparse_levels_say_what_masked_ones_say():
    masked = list(train_stack(replace(SHORT, sparse=0.0), [0, 1], Job()))
    sparse = list(train_stack(replace(SHORT, sparse=1.0), [0, 1], Job()))
    for a, b in zip(masked, sparse, strict=True):
        for one, other in zip(a, b, strict=True):
            assert one["stop"] == other["stop"]
            # (float32 sums in another order, over at most 180 steps)
            assert one["validation_loss"] == pytest.approx(other["validation_loss"], rel=1e-3)


def test_weights_go_back_to_a_later_step():
    rows = [list(train_stack(replace(SHORT, rewind=r), [0], Job())) for r in (0, 20)]
    assert rows[0][0] == rows[1][0]
    assert rows[0][1][0]["validation_loss"] != rows[1][1][0]["validation_loss"]
    assert describe(SHORT, Job())["connections"] == 3056


def test_layers_of_each_kind_lose_their_own_share():
    """A quarter of the convolutions, half of the full layers, a tenth of the last one."""
    config = replace(CONVS, convolutions=0.25, rate=0.5, output=0.1, levels=2, controls=())
    convs, full, last = 18 + 36, 2 * 4 * 4 * 8 + 64, 80
    left = (18 - 5) + (36 - 9) + (256 - 128) + (64 - 32) + (80 - 8)
    row = list(train(config, 0))[1]
    assert row["remaining"] == pytest.approx(left / (convs + full + last), abs=1e-6)


def test_where_layers_compete_the_share_is_that_of_all():
    rows = list(train(DEEP, 0))
    of = describe(DEEP, Job())["connections"]
    left = [of, of - round(DEEP.rate * of)]
    left.append(left[1] - round(DEEP.rate * left[1]))
    assert [row["remaining"] for row in rows] == pytest.approx([n / of for n in left], abs=1e-6)


def test_chains_of_levels_share_their_dense_nets():
    """And each is what a run with that one step gives."""
    rows = list(train(DEEP, 0))
    assert [set(row) & {"step-2", "step-4"} for row in rows] == [set(), *[{"step-2", "step-4"}] * 2]
    for step in (0, 2, 4):
        alone = list(train(replace(DEEP, rewind=step, also=()), 0))
        for row, one in zip(rows, alone, strict=True):
            found = row.get(f"step-{step}", row)
            assert found["validation_loss"] == one["validation_loss"]
            assert found["test_accuracy"] == one["test_accuracy"]


@pytest.mark.parametrize("config", [CONVS, DEEP], ids=["conv_2", "resnet_20"])
def test_a_run_of_convolutions_goes_on_between_levels_bit_for_bit(config):
    assert not stacks(config)
    whole = list(train(config, 1))
    half = Job()
    first = next(steps := train(config, 1, half))
    saved = copy.deepcopy(half.state(1))
    steps.close()
    assert [first, *train(config, 1, Job(saved=saved))] == whole


def test_the_shortened_rounds_are_the_papers_at_once():
    assert 1 - CONV.rate == pytest.approx(0.8**3)
    assert 1 - CONV.convolutions == 1 - CONV.output == pytest.approx(0.9**3)
    assert (1 - RESNET.rate) ** 2 == pytest.approx(0.168, abs=5e-4)  # the paper's 16.8 %


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"levels": 0}, "levels must be at least 1"),
        ({"controls": (3,)}, "controls are levels from 1 to 2"),
        ({"rewind": 60}, r"rewind and also must be different steps in \[0, 60\), got 60"),
        ({"also": (5, 5)}, r"different steps in \[0, 60\), got 0, 5, 5"),
        ({"net": "conv_3"}, "unknown net 'conv_3'"),
        ({"scope": "all"}, "unknown scope 'all'"),
        ({"optimizer": "adamw"}, "unknown optimizer 'adamw'"),
        ({"weight_decay": -1.0}, "weight_decay must not be negative, got -1.0"),
        ({"rate": 1.0}, r"rate must be in \[0, 1\), got 1.0"),
        ({"lr": 0.0}, "lr above 0"),
    ],
)
def test_a_wrong_config_is_refused_in_words(change, text):
    with pytest.raises(ValueError, match=text):
        replace(SHORT, **change)
