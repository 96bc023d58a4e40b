"""How sure logits are, and who may leave: ordinary logits, infinite ones, a single class, NaN."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from harness.exits import CRITERIA
from harness.exits.leaving import leaves
from resnet.model import resnet


def test_extremes_hold_whatever_the_rounding():
    sure = torch.tensor([1.0, 1.0 + 1e-7, float("nan"), -1e-9])
    assert leaves(sure, 1.0).tolist() == [False] * 4
    assert leaves(sure, 0.0).tolist() == [True] * 4
    assert leaves(sure, 0.5).tolist() == [True, True, False, False]
    flat, peaked = torch.zeros(3, 10), torch.tensor([[1e4] + [0.0] * 9])
    for f in CRITERIA.values():
        assert -1e-6 <= f(flat).min() <= f(peaked).max() <= 1 + 1e-6
        assert f(peaked.double()).item() == pytest.approx(1)
    assert CRITERIA["entropy"](flat.double()).abs().max() < 1e-12
    assert CRITERIA["margin"](flat).abs().max() == 0


def test_the_words_of_the_settings_are_the_criteria():
    from harness.exits import words
    from resnet.words import STAGES

    assert set(words.CRITERIA) == set(CRITERIA)
    assert len(resnet(10, width=8).stages) == STAGES


INF = float("inf")


@pytest.mark.parametrize("name", CRITERIA)
def test_infinite_logits_and_a_single_class_have_a_score(name):
    score = CRITERIA[name]
    cases = {
        (INF, 0.0, 1.0): 1.0,  # outweighs all that is finite
        (0.0, -INF, -INF): 1.0,  # all but one are forbidden
        (INF, -INF, 5.0): 1.0,
        (3.0,): 1.0,  # nothing to be unsure of
        (-INF,): 1.0,
    }
    for dtype in (torch.float32, torch.float64):
        for logits, expected in cases.items():
            found = score(torch.tensor([logits, logits], dtype=dtype))
            assert found.shape == (2,)
            assert found.tolist() == pytest.approx([expected] * 2, abs=1e-6)


def test_two_equal_infinities_share_and_forbidden_classes_count_nothing():
    two, half = torch.tensor([INF, INF, 0.0, 1.0]).double(), torch.tensor([2.0, 2.0, -INF, -INF])
    for logits in (two, half.double()):
        assert CRITERIA["max_probability"](logits).item() == pytest.approx(0.5)
        assert CRITERIA["margin"](logits).item() == 0
        assert CRITERIA["entropy"](logits).item() == pytest.approx(1 - math.log(2) / math.log(4))


def test_nan_stays_nan_and_never_leaves_early():
    for score in CRITERIA.values():
        found = score(torch.tensor([[float("nan"), 1.0, 2.0]]))
        assert found.isnan().all()
        assert not leaves(found, 0.01).any()


def test_finite_logits_score_to_the_bit_as_by_the_plain_formula():
    """So that records made before infinities were thought of stay what they are."""
    logits = torch.randn(200, 7, generator=torch.Generator().manual_seed(0)).double() * 8
    log_p = F.log_softmax(logits, -1)
    plain = 1 + (log_p.exp() * log_p).sum(-1) / math.log(7)
    assert torch.equal(CRITERIA["entropy"](logits), plain)
    assert torch.equal(CRITERIA["max_probability"](logits), F.softmax(logits, -1).amax(-1))
    first, second = F.softmax(logits, -1).topk(2, -1).values.unbind(-1)
    assert torch.equal(CRITERIA["margin"](logits), first - second)


def test_the_rule_is_the_same_for_tensors_arrays_and_numbers():
    scores, bounds = [0.0, 0.2, 0.5, 0.9, 1.0, float("nan")], (0.0, 0.2, 0.9, 1.0)
    for bound in bounds:
        plain = [bound <= 0 or (s > bound and bound < 1) for s in scores]
        assert leaves(torch.tensor(scores, dtype=torch.float64), bound).tolist() == plain
        assert leaves(np.array(scores), bound).tolist() == plain
        assert [bool(leaves(s, bound)) for s in scores] == plain
    table = leaves(np.array(scores), np.array(bounds)[:, None])
    assert table.tolist() == [leaves(np.array(scores), b).tolist() for b in bounds]
