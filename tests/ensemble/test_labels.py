"""Samples and labels as people hand them over."""

import numpy as np
import pandas as pd
import pytest
import torch

from ensemble.labels import classes_of, feature_names, rows, same_count, same_features


def half(values):
    return torch.tensor(values).half()


@pytest.mark.parametrize("kind", [list, np.array, np.float32, torch.tensor, pd.DataFrame, half])
def test_samples_of_every_kind_become_the_same_floats(kind):
    found = rows(kind([[1, 2], [3, 4]]))
    assert found.dtype == torch.float32
    assert found.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("x", "said"),
    [
        ([1.0, 2.0], r"got shape \(2,\)"),
        (np.zeros((0, 3)), "at least one sample"),
        ([[1.0, np.nan]], "sample 0 is not finite"),
        ([[1.0], [1e300]], "sample 1 is not finite"),
        ([["a"]], "samples are numbers, one row each: could not convert"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_samples_that_cannot_be_read_are_refused(x, said):
    with pytest.raises(ValueError, match=said):
        rows(x)


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (["b", "a", "b"], ["a", "b"]),
        ([3.0, -1.0, 3.0], [-1, 3]),
        (torch.tensor([7, 5, 7]), [5, 7]),
        (pd.Series([True, False, True]), [False, True]),
        (np.array([[9], [4], [9]]), [4, 9]),
    ],
)
def test_labels_of_every_kind_become_numbers_in_sorted_order(y, classes):
    found, numbers = classes_of(y)
    assert found.tolist() == classes
    assert numbers.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("y", "said"),
    [
        ([1, 1], r"the single class \[1\]"),
        ([0.5, 1], "sample 0 has 0.5, which is no whole number"),
        ([0.0, np.nan], "sample 1 has nan, which is no whole number"),
        (np.array(["a", 1, None], dtype=object), "labels that can be sorted, all of one kind"),
        ([[0, 1], [1, 0]], r"one label per sample, got shape \(2, 2\)"),
    ],
)
def test_labels_that_are_none_are_refused(y, said):
    with pytest.raises(ValueError, match=said):
        classes_of(y)


def test_another_count_of_labels_is_refused_with_both_numbers():
    with pytest.raises(ValueError, match="2 samples need a label each, got 3"):
        same_count(torch.zeros(2, 1), np.zeros(3))


def test_only_columns_named_by_texts_have_names():
    assert feature_names(pd.DataFrame({"b": [1], "a": [2]})).tolist() == ["b", "a"]
    assert feature_names(pd.DataFrame([[1, 2]])) is None
    assert feature_names(np.zeros((1, 2))) is None


@pytest.mark.parametrize(
    ("names", "said"),
    [(["a", "b"], "in another order"), (["b", "c"], r"new: \['c'\], missing: \['a'\]")],
)
def test_columns_that_are_not_those_of_the_fit_are_refused(names, said):
    fitted = np.array(["b", "a"], dtype=object)
    same_features(fitted, fitted)
    same_features(None, fitted)
    with pytest.raises(ValueError, match=said):
        same_features(np.array(names, dtype=object), fitted)
