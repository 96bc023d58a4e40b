"""Thresholds: what they give, how they are fitted, and that a rounding sends nobody elsewhere."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from harness.exits import CRITERIA, Record, attach, fit, losses, outcome, record, sweep
from harness.exits.fitting import CANDIDATES, ROUNDING
from harness.exits.thresholds import APART, leave_at, midway
from tests.drawn import examples


def records(rng, samples, exits=2):
    scores = rng.random((exits, samples))
    right = rng.random((exits + 1, samples)) < np.linspace(0.5, 0.8, exits + 1)[:, None]
    right[:-1] |= scores > 0.7  # sure answers are right
    return Record(scores, right, tuple(np.cumsum(rng.integers(10, 50, exits + 1)).tolist()))


@examples(30)
@given(st.integers(0, 2**31), st.floats(0, 1), st.floats(0, 1))
def test_outcomes_by_a_plain_loop(seed, a, b):
    found = records(np.random.default_rng(seed), 40)
    o, macs, hits, at = outcome(found, (a, b)), 0, 0, [0, 0, 0]
    for i in range(40):
        exit_ = 2
        for k, bound in ((1, b), (0, a)):
            if bound <= 0 or (bound < 1 and found.scores[k, i] > bound):
                exit_ = k
        at[exit_] += 1
        macs += found.macs[exit_]
        hits += bool(found.right[exit_, i])
    assert o["shares"] == pytest.approx([n / 40 for n in at])
    assert sum(o["shares"]) == pytest.approx(1)
    assert o["macs"] == pytest.approx(macs / 40)
    assert o["accuracy"] == pytest.approx(hits / 40)


def test_the_sweep_goes_from_the_first_exit_to_the_last():
    found = records(np.random.default_rng(1), 500)
    curve = sweep(found)
    assert len(curve) == 21
    assert (curve[0]["shares"], curve[-1]["shares"]) == ([1, 0, 0], [0, 0, 1])
    assert curve[0]["accuracy"] == found.right[0].mean()
    assert curve[-1]["accuracy"] == found.right[-1].mean()
    macs = [point["macs"] for point in curve]
    assert macs == sorted(macs)


def midpoints(scores):
    """Of all neighbours that are not the same score but for rounding; by a plain loop."""
    order = sorted(scores)
    return [(a + b) / 2 for a, b in itertools.pairwise(order) if b - a > APART]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("exits", [1, 2])
def test_fitted_thresholds_are_the_best_that_there_are(seed, exits):
    """Brute force over every combination of all places between scores is the oracle."""
    found = records(np.random.default_rng(seed), 50, exits)
    grid = [[0.0, *midpoints(s), 1.0] for s in found.scores]
    every = [outcome(found, pair) for pair in itertools.product(*grid)]
    full = outcome(found, 1.0)
    target = full["accuracy"] - 0.01
    best = fit(found, accuracy=target)
    assert best["accuracy"] >= target
    assert best["macs"] == min(o["macs"] for o in every if o["accuracy"] >= target)
    budget = 0.7 * full["macs"]
    most = budget * (1 + ROUNDING)  # (a mean of whole numbers may be the budget but for rounding)
    within = [o["accuracy"] for o in every if o["macs"] <= most]
    if within:
        best = fit(found, budget=budget)
        assert best["macs"] <= most
        assert best["accuracy"] == max(within)


@pytest.mark.parametrize("seed", range(4))
def test_of_many_samples_the_best_of_all_candidates_is_found(seed):
    found = records(np.random.default_rng(seed), 200)
    grid = [[0.0, *midway(s, CANDIDATES), 1.0] for s in found.scores]
    every = [outcome(found, pair) for pair in itertools.product(*grid)]
    target = outcome(found, 1.0)["accuracy"] - 0.01
    best = fit(found, accuracy=target)
    assert best["macs"] == min(o["macs"] for o in every if o["accuracy"] >= target)


VALUES = st.lists(st.integers(0, 1000), min_size=1, max_size=90)


@examples(200)
@given(VALUES, st.integers(1, 70), st.floats(0, 2e-5))
def test_thresholds_keep_their_distance_from_every_score(values, count, noise):
    """Scores in thousandths, some of them a rounding apart."""
    scores = np.array(values) / 1000 + noise * np.arange(len(values)) / len(values)
    scores = scores.clip(0, 1)
    found = midway(scores, count)
    assert len(found) == count
    assert (np.diff(found) >= 0).all()
    between = found[found < 1]
    distance = np.abs(between[:, None] - scores).min(1, initial=1)
    assert (distance >= APART / 2 - 1e-15).all()
    if len(values) <= count + 1:
        assert np.unique(between).tolist() == pytest.approx(midpoints(scores.tolist()))
    elif midpoints(scores.tolist()):
        assert len(between) == count


@examples(60)
@given(st.integers(0, 2**31), st.integers(3, 400), st.floats(0.4, 0.95), st.sampled_from([1, 2, 3]))
def test_what_a_fit_promises_is_spent_when_scores_are_off_by_rounding(seed, samples, share, exits):
    """Another batch size is another sum order: each score moves by some roundings of float32."""
    rng = np.random.default_rng(seed)
    found = records(rng, samples, exits)
    try:
        best = fit(found, budget=share * found.macs[-1])
    except ValueError:  # below the first exit
        return
    noise = rng.uniform(-0.49, 0.49, found.scores.shape) * APART
    alone = Record(np.clip(found.scores + noise, 0, 1), found.right, found.macs)
    assert (leave_at(alone, best["thresholds"]) == leave_at(found, best["thresholds"])).all()
    assert outcome(alone, best["thresholds"]) == best
    point = sweep(found)[10]
    assert outcome(alone, point["thresholds"]) == point


@pytest.fixture(scope="module")
def net():
    """A net of one's own in float32 with two early exits that are neither sure nor clueless."""
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in ((64, 96), (96, 96), (96, 96))]
    made = attach(nn.Sequential(*layers, nn.Linear(96, 10)), (0, 1), (64,), 10, head="linear")
    x, y = torch.randn(400, 64), torch.randint(10, (400,))
    optimizer = torch.optim.SGD(made.parameters(), lr=0.5)
    for _ in range(30):
        optimizer.zero_grad()
        losses(made.forward_exits(x), y).sum().backward()
        optimizer.step()
    return made.eval()


def one_at_a_time(net, x, bounds):
    with torch.no_grad():
        return torch.cat([net.early(sample, bounds).exit for sample in x.split(1)])


def test_fitted_thresholds_send_a_batch_where_its_samples_go_alone(net):
    """64 times 32 samples and one: every 64th part of their ranks ends in a sample."""
    torch.manual_seed(1)
    x, y = torch.randn(2049, 64), torch.randint(10, (2049,))
    for criterion in CRITERIA:
        net.criterion = criterion
        found = record(net, x, y, batch=128)
        best = fit(found, budget=0.8 * found.macs[-1])
        with torch.no_grad():
            batches = torch.cat([net.early(p, best["thresholds"]).exit for p in x.split(128)])
        alone = one_at_a_time(net, x, best["thresholds"])
        assert torch.equal(batches, alone)
        assert alone.unique().numel() > 1
        assert best["shares"] == pytest.approx((alone.bincount(minlength=3) / 2049).tolist())


@examples(25)
@given(
    st.integers(3, 65), st.integers(0, 2**31), st.floats(0.5, 0.95), st.sampled_from([*CRITERIA])
)
def test_what_is_fitted_on_few_samples_is_what_they_spend_alone(net, n, seed, share, criterion):
    g = torch.Generator().manual_seed(seed)
    x, y = torch.randn(n, 64, generator=g), torch.randint(10, (n,), generator=g)
    net.criterion = criterion
    found = record(net, x, y)
    try:
        best = fit(found, budget=share * found.macs[-1])
    except ValueError:  # less than leaving at the first exit costs
        return
    spent = np.array(found.macs)[one_at_a_time(net, x, best["thresholds"]).numpy()].mean()
    assert spent == pytest.approx(best["macs"], rel=1e-12)


def test_scores_all_alike_are_not_split():
    right = np.array([[True] * 6, [True] * 6])
    for scores in (np.full((1, 6), 0.5), 1 - np.arange(6)[None] * 1e-7):
        found = Record(scores, right, (1, 10))
        assert fit(found, budget=5)["thresholds"] == [0.0]
        assert [p["thresholds"][0] for p in sweep(found, 5)] == [0.0, 1.0, 1.0, 1.0, 1.0]


def test_a_sweep_has_two_ends():
    found = records(np.random.default_rng(1), 50)
    assert [p["thresholds"] for p in sweep(found, 2)] == [[0.0, 0.0], [1.0, 1.0]]
    with pytest.raises(ValueError, match="steps is 2 or more, got 1"):
        sweep(found, 1)


def test_fits_of_many_exits_are_no_worse_than_one_threshold_for_all():
    found = records(np.random.default_rng(3), 400, exits=4)
    target = outcome(found, 1.0)["accuracy"] - 0.01
    best = fit(found, accuracy=target)
    assert best["accuracy"] >= target
    grid = np.linspace(0, 1, 201)
    shared = [outcome(found, float(t)) for t in grid]
    assert best["macs"] <= min(o["macs"] for o in shared if o["accuracy"] >= target)


def test_fits_that_cannot_be():
    found = records(np.random.default_rng(0), 100)
    with pytest.raises(ValueError, match=r"no thresholds reach accuracy 1\.01; the best is 0"):
        fit(found, accuracy=1.01)
    with pytest.raises(ValueError, match="no thresholds stay within 1 MACs; the least is"):
        fit(found, budget=1)
    for wrong in ({}, {"accuracy": 0.5, "budget": 10}):
        with pytest.raises(ValueError, match="either accuracy= or budget="):
            fit(found, **wrong)
    for wrong in ("x", True, float("nan"), [1.0]):
        with pytest.raises(ValueError, match=r"budget is a number of multiply-adds per sample, s"):
            fit(found, budget=wrong)
        with pytest.raises(ValueError, match=r"accuracy is a share of right answers, such as 0\.9"):
            fit(found, accuracy=wrong)


def test_aims_of_numpy_and_torch_are_numbers():
    found = records(np.random.default_rng(0), 100)
    wanted = fit(found, budget=45)
    for budget in (np.float32(45), np.int64(45), torch.tensor(45.0), np.array(45)):
        assert fit(found, budget=budget) == wanted


def test_scores_that_are_nan_are_not_fitted():
    found = records(np.random.default_rng(0), 100)
    found.scores[1, [3, 5]] = np.nan
    with pytest.raises(ValueError, match="scores of early exit 1 are NaN for 2 of 100 samples"):
        fit(found, budget=30)
    assert len(sweep(found)) == 21  # (the others can be looked at)


def test_a_record_whose_parts_do_not_fit_is_refused():
    scores, right = np.zeros((2, 7)), np.zeros((3, 7), bool)
    for wrong in ((scores, right[:2], (1, 2, 3)), (scores, right[:, :6], (1, 2, 3))):
        with pytest.raises(ValueError, match=r"need `right` of shape \(3, 7\) and 3 macs"):
            Record(*wrong)
    with pytest.raises(ValueError, match=r"need `right`.* and 2"):
        Record(scores, right, (1, 2))
    with pytest.raises(ValueError, match=r"axes \(early exits, samples\), got shape \(7,\)"):
        Record(scores[0], right, (1, 2, 3))
