"""Places of connections: formulas and differences against the tables themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibd import make_pattern
from bibd.families import FAMILIES
from bibd.onnx.places import Numpy, differences, formula
from tests.drawn import examples

# The sizes of the MLP of the page on files, whole planes of a prime and of powers, and cut ones.
PLANES = {
    "cut": ("bibd", 784, 812),
    "whole": ("bibd", 49, 56),
    "2^3": ("bibd", 64, 72),
    "3^2, cut": ("bibd", 75, 40),
    "projective": ("bibd", 57, 57),
    "projective, power": ("bibd", 73, 60),
    "dual": ("bibd_dual", 72, 64),
    "modular, no prime": ("iddl", 36, 60),
    "modular, twice": ("iddl", 16, 30),
}


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("name", PLANES)
def test_a_plane_needs_no_table(name, seed):
    pattern = make_pattern(*PLANES[name], seed)
    plane = formula(pattern)
    assert plane is not None
    assert (plane.points_at is None) == (seed is None)
    assert np.array_equal(plane.places(Numpy()), pattern.flat)


@examples(100)
@given(
    family=st.sampled_from(["bibd", "bibd_dual", "iddl", "cyclic", "random", "block_diagonal"]),
    v=st.integers(1, 90),
    b=st.integers(1, 120),
    seed=st.none() | st.integers(0, 9),
)
def test_a_formula_is_the_table_or_there_is_none(family, v, b, seed):
    pattern = make_pattern(family, v, b, seed)
    plane, steps = formula(pattern), differences(pattern.flat)
    if plane is not None:
        assert list(plane.places(Numpy())) == list(pattern.flat)
    total, found = 0, []
    for step in steps.tolist():
        total += step
        found.append(total)
    assert found == pattern.flat.tolist()


def test_a_plane_that_is_taken_twice_has_no_formula():
    assert formula(make_pattern("bibd", 16, 40)) is None


def test_another_table_of_the_same_name_has_no_formula():
    """Who made the pattern does not matter: the table does."""
    pattern = make_pattern("bibd", 49, 56)
    other = type(pattern)("bibd", 49, 56, pattern.indptr, np.tile(np.arange(7), 56))
    assert formula(other) is None


def test_groups_have_no_formula():
    assert formula(make_pattern("bibd", 32, 32, groups=2)) is None


@pytest.mark.parametrize(
    ("flat", "kind"), [([3, 200], "uint8"), ([300, 301], "uint16"), ([0, 70_000], "uint32")]
)
def test_differences_are_as_small_as_can_be(flat, kind):
    assert differences(np.array(flat)).dtype == kind


def test_every_family_is_told_apart():
    """What has a formula at a size where all families fit."""
    found = {name for name in FAMILIES if formula(make_pattern(name, 64, 72, 1))}
    assert found == {"bibd", "bibd_dual", "iddl"}
