"""Levels of pruning as rows of a run."""

import copy
from dataclasses import replace

import pytest

from compress.plans.tickets import SMOKE
from compress.trainer import describe, train_stack
from harness.job import Job

SHORT = replace(SMOKE, levels=3, controls=(1,), iterations=60, every=20)


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


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"levels": 0}, "levels must be at least 1"),
        ({"controls": (3,)}, "controls are levels from 1 to 2"),
        ({"rewind": 60}, r"rewind must be in \[0, 60\), got 60"),
        ({"rate": 1.0}, r"rate must be in \[0, 1\), got 1.0"),
        ({"lr": 0.0}, "lr above 0"),
    ],
)
def test_a_wrong_config_is_refused_in_words(change, text):
    with pytest.raises(ValueError, match=text):
        replace(SHORT, **change)
