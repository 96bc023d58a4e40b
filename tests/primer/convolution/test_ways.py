"""Five ways to one convolution: the numbers of the loops, the costs of the formulas."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from primer.convolution import costs, ways
from primer.convolution.costs import WAYS, Shape
from primer.convolution.fourier import back2, fourier, power, transform2
from primer.count import counting
from tests.drawn import examples
from tests.primer.scalars import products, scalars

ROUND = 2.0**-53
SHAPES = st.builds(
    Shape, st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 5)
)


def bound(way, shape, w, x):
    """How far rounding can take an entry of a result from the loops'."""
    terms = shape.channels * shape.window**2
    if way in ("shifts", "im2col", "toeplitz"):  # two sums of the same products, zeros beside them
        return 2 * (terms + 1) * ROUND * ways.loops(abs(w), abs(x)).max()
    if way == "winograd":  # norms of A^T, B^T, G are 3, 2, 3/2: a product grows by 9^2 at most
        size = 81 * shape.channels * abs(w).max() * abs(x).max()
        return 2 * (shape.channels + 16) * ROUND * size
    # each level of a transform rounds to 8 units of its norm at most (Higham, 24.2); three of them
    levels = 2 * power(shape.side).bit_length()
    return (3 * levels * 8 + 2 * terms) * ROUND * np.linalg.norm(w) * np.linalg.norm(x)


@examples(25)
@given(SHAPES, st.integers(0, 99))
def test_every_way_is_the_loops_at_its_cost(shape, seed):
    w, x = shape.draw(seed)
    slow = ways.loops(w, x)
    for way, convolve in WAYS.items():
        if way == "winograd" and shape.window != 3:
            continue
        with counting() as count:
            found = convolve(w, x)
        assert found.shape == slow.shape
        assert abs(found - slow).max() <= bound(way, shape, w, x), way
        assert count.macs == costs.macs(way, shape), way
        assert count.most == costs.held(way, shape), way
        if way == "winograd":
            assert count.adds == costs.adds(shape)


@examples(15)
@given(SHAPES)
def test_the_loops_are_torchs_and_their_products_the_formula(shape):
    w, x = shape.draw(1)
    there = torch.nn.functional.conv2d(torch.tensor(x)[None], torch.tensor(w))[0].numpy()
    assert abs(ways.loops(w, x) - there).max() <= bound("im2col", shape, w, x)
    with counting() as count:
        ways.im2col(w, x)
    _, made = products(lambda: ways.im2col(scalars(w), scalars(x)))
    assert made == count.macs == costs.macs("shifts", shape)


def test_the_matrix_has_the_connections_and_nothing_else():
    shape = Shape(3, 2, 3, 4)
    w, _ = shape.draw()
    table = ways.matrix(w, shape.side)
    assert np.count_nonzero(table) == costs.macs("im2col", shape)
    assert table.size == costs.macs("toeplitz", shape)


@pytest.mark.parametrize("n", [1, 2, 8, 16])
def test_the_transform_is_numpys_and_comes_back(n):
    x = np.random.default_rng(n).standard_normal((3, n, n))
    with counting() as count:
        found = transform2(x)
    assert count.macs == 4 * 3 * n * n * (n.bit_length() - 1)
    size = 2 * n.bit_length() * 8 * ROUND * np.linalg.norm(x)
    assert abs(found - np.fft.fft2(x)).max() <= 2 * n * size  # the norm grows n times on the way
    assert abs(back2(found) - x).max() <= 2 * size


def test_numpys_transforms_do_as_well():
    shape = Shape(2, 3, 5, 4)
    w, x = shape.draw()
    found = fourier(w, x, np.fft.rfft2, np.fft.irfft2)
    assert abs(found - ways.loops(w, x)).max() <= bound("fourier", shape, w, x)


def test_winograd_refuses_other_windows():
    with pytest.raises(ValueError, match="F\\(2, 3\\) is for windows of 3, got 5: take im2col"):
        WAYS["winograd"](*Shape(1, 1, 5, 2).draw())


@pytest.mark.parametrize("way", [*WAYS, "loops"])
def test_shapes_that_do_not_fit_are_refused_by_every_way(way):
    convolve = WAYS.get(way, ways.loops)
    shapes = [
        ((1, 1, 3, 3), (1, 8, 10)), ((1, 1, 3, 3), (1, 10, 8)),  # (an image that is not square)
        ((1, 1, 3, 4), (1, 8, 8)), ((1, 2, 3, 3), (1, 8, 8)), ((1, 1, 3, 3), (3, 8, 8)),
        ((1, 1, 3, 3), (1, 2, 2)), ((1, 3, 3), (1, 8, 8)), ((1, 1, 3, 3), (8, 8)),
    ]  # fmt: skip
    for w, x in shapes:
        with pytest.raises(ValueError, match="with side >= window, got"):
            convolve(np.ones(w), np.ones(x))
