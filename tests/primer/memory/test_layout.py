"""Strides, addresses and lines, against NumPy and against the bytes themselves."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primer.memory import layout
from primer.memory.cache import Cache, misses
from tests.drawn import examples

DTYPES = st.sampled_from(["float64", "float32", "int16", "complex128"])
SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)


@examples(25)
@given(SHAPES, DTYPES, st.sampled_from("CF"))
def test_fresh_arrays_have_the_strides_of_the_formula(shape, dtype, order):
    a = np.zeros(shape, dtype, order=order)
    ours = layout.strides(shape, a.itemsize, order)
    # (an axis of one number is never stepped along, and NumPy gives it any stride)
    assert all(s == t for s, t, n in zip(ours, a.strides, shape, strict=True) if n > 1)


def views(a):
    """Views of a table of four rows or more, by all ways that leave it where it is."""
    wide = np.broadcast_to(a[0], a.shape)
    return [a, a.T, a[1:, ::2], a[::-1, ::-1], a[2], a[:, 1], wide, a.reshape(-1)[3:9:2]]


@pytest.mark.parametrize("dtype", ["float64", "int16"])
def test_the_number_at_an_address_is_the_number_of_the_array(dtype):
    for a in views(np.arange(24, dtype=dtype).reshape(4, 6)):
        found = [layout.peek(at, a.dtype) for at in layout.addresses(a)]
        assert found == a.ravel().tolist()


def test_views_meet_where_numpy_says_so():
    some = views(np.zeros((4, 6)))
    some += [np.zeros(3), some[0][::2, ::2], some[0][1::2, ::2]]
    for a in some:
        for b in some:
            assert layout.meet(a, b) == np.shares_memory(a, b)


@examples(25)
@given(st.integers(1, 200), st.sampled_from([8, 16, 32, 64, 128, 4096]), st.sampled_from([4, 8]))
def test_lines_are_those_that_the_addresses_fall_into(numbers, stride, item):
    offsets = layout.offsets((numbers,), (stride,))
    touched = {byte // 64 for at in offsets for byte in range(at, at + item)}
    assert layout.lines(numbers, stride, item) == len(touched)


@pytest.mark.parametrize("stride", [0, -8])
def test_a_walk_that_does_not_go_on_is_refused(stride):
    for count in (layout.lines, partial(misses, Cache())):
        with pytest.raises(ValueError, match=f"must be 1 byte or more, got {stride}"):
            count(10, stride, 8)
