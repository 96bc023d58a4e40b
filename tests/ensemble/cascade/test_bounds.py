"""The bound on what a cascade loses, against the binomial sum that it solves."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ensemble.cascade import lost, needed, upper
from ensemble.identities import oracle
from tests.drawn import examples


@examples(60)
@given(st.integers(1, 60), st.data(), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_the_bound_solves_the_binomial_sum(n, data, confidence):
    count = data.draw(st.integers(0, n))
    found = upper(count, n, confidence)
    assert found == pytest.approx(oracle.upper(count, n, confidence), abs=1e-10)
    assert found > count / n or count == n


@pytest.mark.parametrize("share", [0.01, 0.1, 0.4])
def test_it_is_below_the_truth_as_seldom_as_it_says(share):
    """Exactly, by the binomial distribution of all counts that 50 samples can give."""
    from scipy.stats import binom

    missed = sum(binom.pmf(d, 50, share) for d in range(51) if upper(d, 50, 0.9) < share)
    assert missed <= 0.1


def test_so_many_samples_are_needed():
    for loss, confidence in ((0.005, 0.95), (0.1, 0.9), (0.5, 0.999)):
        n = needed(loss, confidence)
        assert upper(0, n, confidence) <= loss + 1e-12
        assert upper(0, n - 1, confidence) > loss
    assert needed(0.005) == 598


def rows(*classes):
    return torch.log_softmax(5 * torch.nn.functional.one_hot(torch.tensor(classes), 3).double(), -1)


def test_agreement_and_accuracy_count_other_samples():
    answer, whole = rows(0, 1, 2, 0), rows(0, 2, 1, 1)
    both = lost(answer, whole)
    assert (both.lost, both.n, both.share) == (3, 4, 0.75)
    # of those the whole chain is right in one; where the cascade is right is not set against it
    right = lost(answer, whole, [0, 1, 1, 2])
    assert (right.lost, right.share, right.bound) == (1, 0.25, upper(1, 4))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: upper(1, 3, 1.0), "a confidence lies between 0 and 1"),
        (lambda: upper(1, 3, float("nan")), "a confidence lies between 0 and 1"),
        (lambda: upper(4, 3), "got 4 of 3"),
        (lambda: upper(0, 0), "got 0 of 0"),
        (lambda: needed(0.0), "lie between 0 and 1"),
        (lambda: needed(0.1, 1.0), "lie between 0 and 1"),
        (lambda: lost(rows(0, 1), rows(0)), r"shapes \(2, 3\) and \(1, 3\)"),
        (lambda: lost(rows(0)[:0], rows(0)[:0]), "to the same samples"),
        (lambda: lost(rows(0) * torch.nan, rows(0)), "an answer that is NaN"),
        (lambda: lost(rows(0), rows(0), [0.0]), "int64"),
    ],
)
def test_what_has_no_bound_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
