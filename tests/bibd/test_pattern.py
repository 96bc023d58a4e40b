"""Patterns against their definitions written out slowly."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bibd
from bibd.families import FAMILIES
from bibd.pattern import check_family, diagonal, make_pattern
from tests.drawn import examples


def modular_by_definition(v: int, b: int) -> np.ndarray:
    """The whole table of q = ceil(sqrt(v)) point by point, then rows wrapped and columns cut."""
    q = math.ceil(math.sqrt(v))
    whole = np.zeros((q * (q + 1), q * q), dtype=bool)
    for r in range(q):
        for point in range(q * r, q * r + q):
            whole[r, point] = True
        for point in range(r, q * q, q):
            whole[q + r, point] = True
    for k in range(1, q):
        for j in range(q):
            for i in range(q):
                whole[q * (k + 1) + j, q * i + (k * i + j) % q] = True
    return np.array([whole[r % (q * (q + 1)), :v] for r in range(b)])


@examples(60)
@given(v=st.integers(1, 130), b=st.integers(1, 150))
def test_iddl_is_the_modular_rule(v, b):
    assert (make_pattern("iddl", v, b).mask() == modular_by_definition(v, b)).all()


@pytest.mark.parametrize(
    ("v", "b", "ones"),
    [
        (784, 16, 448),
        (784, 25, 700),
        (784, 36, 1008),
        (784, 49, 1372),
        (16, 20, 80),
        (25, 30, 150),
        (36, 42, 252),
        (49, 56, 392),
        (64, 256, 2048),
        (128, 128, 1364),
        (128, 512, 5460),
        (256, 1024, 16384),
        (512, 128, 2852),
        (512, 2048, 45590),
        (2048, 512, 22792),
    ],
)
def test_counts_of_the_original_study(v, b, ones):
    assert make_pattern("iddl", v, b).nonzeros == ones
    assert make_pattern("random", v, b, seed=1).nonzeros == ones


def test_iddl_balances_only_for_prime_q():
    """Row and column weights cannot tell; the pairs of inputs can."""
    for q, balanced in [(4, False), (5, True), (6, False), (7, True), (9, False)]:
        mask = make_pattern("iddl", q * q, q * (q + 1)).mask().astype(int)
        assert set(mask.sum(1)) == {q}
        assert set(mask.sum(0)) == {q + 1}
        pairs = (mask.T @ mask)[np.triu_indices(q * q, 1)]
        assert (set(pairs) == {1}) is balanced


@examples(60)
@given(
    family=st.sampled_from(["dense", "iddl", "random"]),
    v=st.integers(1, 90),
    b=st.integers(1, 90),
    seed=st.one_of(st.none(), st.integers(0, 2**31)),
)
def test_tables_are_sorted_in_range_and_a_function_of_their_arguments(family, v, b, seed):
    p, again = make_pattern(family, v, b, seed), make_pattern(family, v, b, seed)
    assert p.digest() == again.digest()
    assert p.indptr[0] == 0
    assert p.indptr[-1] == p.nonzeros == p.mask().sum()
    assert (np.diff(p.flat) > 0).all()
    assert ((p.indices >= 0) & (p.indices < v)).all()
    assert (p.fan_in == p.mask().sum(1)).all()
    canonical = make_pattern(family, v, b)
    assert p.nonzeros == canonical.nonzeros
    if family == "iddl":  # a relabelling keeps the weights of rows and columns
        for axis in (0, 1):
            assert sorted(p.mask().sum(axis)) == sorted(canonical.mask().sum(axis))


def test_seeds_differ():
    digests = {make_pattern("random", 64, 72, s).digest() for s in range(20)}
    assert len(digests) == 20
    assert make_pattern("iddl", 25, 30, 1).digest() != make_pattern("iddl", 25, 30).digest()


def test_random_is_uniform():
    """Each place is taken equally often, within five standard deviations."""
    draws, p = 2000, make_pattern("random", 16, 20)
    hits = sum(make_pattern("random", 16, 20, s).mask().astype(int) for s in range(draws))
    expected = draws * p.density
    sd = math.sqrt(draws * p.density * (1 - p.density))
    assert np.abs(hits - expected).max() < 5 * sd


def test_tables_cannot_be_changed():
    p = make_pattern("iddl", 9, 12)
    with pytest.raises(ValueError, match="read-only"):
        p.indices[0] = 3


def test_diagonal_is_block_diagonal():
    parts = [make_pattern("random", 9, 7, s) for s in range(3)]
    whole = diagonal(parts).mask()
    for i, p in enumerate(parts):
        assert (whole[7 * i : 7 * i + 7, 9 * i : 9 * i + 9] == p.mask()).all()
    assert whole.sum() == sum(p.nonzeros for p in parts)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("idll", 9, 9), "unknown pattern 'idll': did you mean 'iddl'"),
        (("iddl", 0, 9), "in_features must be a whole number of at least 1, got 0"),
        (("iddl", 9, -1), "out_features must be a whole number of at least 1, got -1"),
        (("iddl", 9.0, 9), "in_features must be a whole number of at least 1, got 9.0"),
        (("random", 9, 9, -3), "seed must be a whole number of at least 0, got -3"),
        (("random", 9, 9, "x"), "seed must be a whole number of at least 0, got 'x'"),
    ],
)
def test_wrong_input_is_named(arguments, says):
    with pytest.raises(ValueError, match=says):
        make_pattern(*arguments)


def test_every_family_passes_its_own_check():
    for family in FAMILIES:
        check_family(family)


def test_patterns_are_copies_and_stay_frozen():
    indptr, indices = np.array([0, 2]), np.array([0, 3])
    pattern = bibd.Pattern("own", 4, 1, indptr, indices)
    indices[0] = 2  # the caller's own
    assert pattern.indices.tolist() == [0, 3]
    for same in (pattern, pickle.loads(pickle.dumps(pattern))):
        with pytest.raises(ValueError, match="read-only"):
            same.indices[0] = 1
