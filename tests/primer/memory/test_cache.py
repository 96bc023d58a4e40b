"""The cache against its formula, and against a list that is searched from its end."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primer.memory.cache import Cache, columns, misses
from primer.memory.layout import offsets
from tests.drawn import examples

CACHES = st.builds(Cache, st.sampled_from([256, 1024, 4096]), st.sampled_from([1, 2, 4]))


def slow(cache, addresses):
    """A line is there if fewer than `ways` others of its set were read since it was."""
    numbers, missed = [a // cache.line for a in addresses], 0
    for k, number in enumerate(numbers):
        before = [n for n in numbers[:k] if n % cache.sets == number % cache.sets]
        last = len(before) - 1 - before[::-1].index(number) if number in before else None
        missed += last is None or len(set(before[last + 1 :])) >= cache.ways
    return missed


@examples(25)
@given(CACHES, st.lists(st.integers(0, 3000), max_size=60))
def test_the_cache_is_the_slow_one(cache, addresses):
    cache.read(addresses)
    assert (cache.misses, cache.reads) == (slow(cache, addresses), len(addresses))


@examples(25)
@given(
    CACHES,
    st.integers(1, 120),
    st.sampled_from([8, 16, 64, 128, 192, 320, 512, 4096]),
    st.integers(1, 3),
)
def test_walks_miss_as_the_formula_says(cache, numbers, stride, passes):
    for _ in range(passes):
        cache.read(offsets((numbers,), (stride,)))
    assert cache.misses == misses(cache, numbers, stride, passes=passes)


@pytest.mark.parametrize("side", [32, 64, 72, 128, 136])
def test_a_square_by_columns(side):
    """A side that is a power of two falls into few sets; eight more numbers a row, and it fits."""
    cache = Cache()
    table = np.empty((side, side))
    cache.read(offsets(table.T.shape, table.T.strides))
    assert cache.misses == columns(cache, side)
    assert (cache.misses == side * side) == (side == 128)
