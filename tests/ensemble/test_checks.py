"""What is scored is log-probabilities; everything else is refused in words."""

import warnings

import numpy as np
import pytest
import torch

from ensemble.checks import checked, held_out, log_probabilities, nan_members, targets


def logp(samples=3, classes=4):
    return torch.log_softmax(torch.randn(samples, classes, dtype=torch.float64), -1)


def test_logits_of_any_floating_type_become_float64():
    logits = torch.tensor([[0.5, -0.25, 2.0]])
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        found = log_probabilities(logits.to(dtype))
        assert found.dtype == torch.float64
        assert torch.equal(found, torch.log_softmax(logits.double(), -1))  # (all exact in 8 bits)


def test_members_come_as_a_list_too():
    parts = [torch.randn(3, 4) for _ in range(2)]
    assert torch.equal(log_probabilities(parts), log_probabilities(torch.stack(parts)))


def test_a_class_may_be_excluded():
    found = log_probabilities(torch.tensor([[0.0, -torch.inf, 0.0]]))
    assert found.exp().tolist() == [[0.5, 0.0, 0.5]]


@pytest.mark.parametrize(
    ("logits", "words"),
    [
        ([], "no members"),
        (np.zeros((2, 3)), "a tensor or a list of such, got an ndarray"),
        ([np.zeros((2, 3))], "member 0 answers with an ndarray, and logits are one tensor"),
        ([torch.zeros(2, 3), torch.zeros(2, 4)], r"member 1 .* shape \(2, 4\), member 0 of \(2, 3"),
        ([torch.zeros(2, 3), torch.zeros(1, 3)], "the same samples in the same classes"),
        (torch.zeros(2, 3, dtype=torch.int64), "floating-point numbers, got torch.int64"),
        ([torch.zeros(2, 3).long()] * 2, "floating-point numbers, got torch.int64"),
        (torch.tensor([[0.0, torch.nan]]), "sample 0: logits that are NaN or infinite"),
        (torch.tensor([[0.0, torch.inf]]), "sample 0: logits that are NaN or infinite"),
        (torch.tensor([[-torch.inf, -torch.inf]]), "in 1 of 1 answers"),
    ],
)
def test_what_gives_no_probabilities_is_refused(logits, words):
    with pytest.raises(ValueError, match=words):
        log_probabilities(logits)


def test_a_member_that_says_nan_is_named():
    logits = torch.zeros(4, 5, 3)
    logits[2, 3, 1] = torch.nan
    with pytest.raises(ValueError, match=r"member 2, sample 3: .* in 1 of 20 answers"):
        log_probabilities(logits)
    assert nan_members(logits) == [2]
    assert nan_members(torch.zeros(2, 2, 2)) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ([[0.5, 0.5]], "a floating-point tensor, got a list"),
        (torch.zeros(2, 2, dtype=torch.int32), "got torch.int32"),
        (torch.zeros(3), r"axes \(samples, classes\).* got shape \(3,\)"),
        (torch.zeros(0, 4), "none of them empty"),
        (torch.full((2, 3), torch.nan), "sample 0: log-probabilities that are NaN, in 2 of 2"),
        (torch.tensor([[2.0, 1.0, 0.0]]), "1 in sum, got 11.11: .*log_probabilities"),
        (torch.tensor([[0.5, 0.5]]), "no log-probabilities"),
        (torch.tensor([[-torch.inf, -torch.inf]]), "1 in sum, got 0"),
    ],
)
def test_what_is_no_log_probability_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        checked(wrong)


def test_log_probabilities_of_a_coarse_type_pass():
    fine = torch.log_softmax(torch.zeros(1, 1000), -1)
    assert checked(fine.bfloat16()).dtype == torch.float64


@pytest.mark.parametrize(
    "y",
    [[0, 3, 1], np.array([0, 3, 1], np.uint8), torch.tensor([0, 3, 1], dtype=torch.int32)],
)
def test_targets_are_whole_numbers_of_any_kind(y):
    found = targets(y, logp())
    assert found.dtype == torch.int64
    assert found.tolist() == [0, 3, 1]


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (torch.zeros(3), r"int64, got torch.float32: y.long\(\)"),
        ([0.0, 1.0, 2.0], "got torch.float64"),
        (torch.zeros(3, dtype=torch.bool), "got torch.bool"),
        (["a", "b", "c"], "targets are numbers of classes, int64, got <U1 such as"),
        ([], "3 samples need as many targets, got none"),
        (torch.zeros(2).long(), r"3 samples need targets of shape \(3,\).* got shape \(2,\)"),
        (torch.eye(4)[:3].long(), r"got shape \(3, 4\)"),
        ([0, 4, 1], "target 4, but the answers are about classes 0 to 3"),
        ([0, -1, 1], "target -1"),
    ],
)
def test_targets_that_do_not_fit_are_refused(y, words):
    with pytest.raises(ValueError, match=words):
        targets(y, logp())


@pytest.mark.parametrize(
    "split", ["train", "train_x", "Training set", "trained", "fit", "x_train", "xTrain"]
)
def test_nothing_is_chosen_on_training_data(split):
    with pytest.raises(ValueError, match=f"thresholds on '{split}': a net is surer of the samples"):
        held_out(split, "thresholds")


@pytest.mark.parametrize("split", ["test", "test_x", "testing", "x_test", "official"])
def test_nothing_is_chosen_on_the_test_set(split):
    with pytest.raises(ValueError, match=f"T on '{split}': the test set chooses nothing"):
        held_out(split, "T")


def test_a_part_without_a_name_is_refused():
    for split in ("", "3"):
        with pytest.raises(ValueError, match="samples without a name"):
            held_out(split, "T")
    for split in (None, 3, ["validation"]):
        with pytest.raises(ValueError, match=r'T without the name .* "validation"; got '):
            held_out(split, "T")


@pytest.mark.parametrize(
    "split",
    [
        "validation",
        "holdout: last 10000 of the training set",
        "half",
        "10000 held out",
        "val-of-train",
        "best-fit-holdout",
        "official validation",
    ],
)
def test_other_parts_are_taken(split):
    assert held_out(split, "T") == split


def test_probabilities_that_are_taken_for_logits_are_told():
    logits = torch.randn(3, 8, 5, generator=torch.Generator().manual_seed(0))
    with pytest.warns(UserWarning, match="these logits look like probabilities"):
        log_probabilities(list(logits.softmax(-1)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log_probabilities(logits)
        log_probabilities(logits.sigmoid())  # (between 0 and 1, and no softmax)
