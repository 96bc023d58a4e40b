"""A near name is suggested."""

import numpy as np
import pytest

from harness.names import check, fitting, kind_of, uncalled, unknown


def test_the_near_name_is_suggested():
    assert "did you mean 'paper'?" in str(unknown("plan", "papre", ["smoke", "paper"]))
    assert "did you mean" not in str(unknown("plan", "zzz", ["smoke", "paper"]))
    assert check("plan", "smoke", ["smoke"]) == "smoke"


def test_a_name_that_begins_with_the_word_is_nearer_than_one_with_its_letters():
    known = ["period", "localSGD_2", "local_sgd", "probability"]
    assert "did you mean 'local_sgd'? " in str(unknown("keyword", "localsgd", known))
    assert "did you mean 'probability'? " in str(unknown("keyword", "prob", known))
    assert "did you mean 'period'? " in str(unknown("keyword", "perod", known))
    assert "did you mean" not in str(unknown("keyword", "", known))


def test_words_must_fit_some_name_and_one_is_a_word_too():
    assert fitting("layer", "fc*", ["fc1", "conv"]) == ("fc*",)
    assert fitting("layer", ["fc1", "c?nv"], iter(["fc1", "conv"])) == ("fc1", "c?nv")
    assert fitting("layer", (), []) == ()
    with pytest.raises(ValueError, match=r"unknown layer 'fc2': did you mean 'fc1'\?"):
        fitting("layer", ("conv", "fc2"), ["fc1", "conv"])
    with pytest.raises(ValueError, match=r"a layer is a name, with \* and \?, got 3"):
        fitting("layer", [3], ["fc1"])


@pytest.mark.parametrize("typed", ["localsgd", "LocalSGD", "local-sgd", "LOCAL_SGD", "localsg"])
def test_case_and_hyphens_do_not_count_and_the_first_of_equals_is_suggested(typed):
    for first, second in (("localSGD", "local_sgd"), ("local_sgd", "localSGD")):
        said = str(unknown("style", typed, ["torch", first, second]))
        assert f"did you mean {first!r}? there are torch, {first}, {second}" in said


@pytest.mark.parametrize(
    ("value", "said"),
    [(3, "an int"), (np.zeros(2), "an ndarray"), ([], "a list"), (None, "a NoneType")],
)
def test_a_kind_has_its_article(value, said):
    assert kind_of(value) == said


def test_a_class_in_place_of_an_object_is_told_to_be_called():
    assert uncalled(dict) == ": this is a class, call it: dict()"
    assert uncalled(dict, "a=1").endswith("dict(a=1)")
    assert uncalled({}) == uncalled(None) == ""
