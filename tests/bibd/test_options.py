"""Wrong options of layers and patterns are named; designs and patterns of one's own are taken."""

import numpy as np
import pytest
import torch
from torch import nn

import bibd
from bibd import SparseConv2d, SparseLinear, make_pattern

X = torch.randn(3, 64)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: SparseLinear(8, 8, False), "for the bias say bias=False"),
        (
            lambda: SparseLinear(8, 8, np.ones((8, 8))),
            "of type ndarray; expected a name.*from_mask",
        ),
        (lambda: SparseLinear(8, 8, "grouped"), "did you mean 'block_diagonal'"),
        (lambda: bibd.from_blocks(4, [[0.5, 1.9]]), "points are whole numbers"),
        (lambda: bibd.from_blocks(4, []), "at least one block, got none"),
        (lambda: bibd.from_blocks([[0, 1]], 4), "takes the number of points"),
        (lambda: bibd.from_mask(torch.ones(2, 2, 3, 3)), r"any\(\(2, 3\)\)"),
        (
            lambda: SparseLinear(8, 8, backend="bag").bfloat16()(X[:, :8].bfloat16()),
            "is for float32",
        ),
    ],
)
def test_wrong_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_mask_may_need_a_gradient():
    layer = nn.Linear(3, 2)
    assert bibd.from_mask(layer.weight).nonzeros == 6
    assert SparseConv2d(4, 4, np.int64(3), stride=(np.int64(2), 1)).stride == (2, 1)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"init": "xavier"}, "init must be one of true, dense, got 'xavier'"),
        (
            {"backend": "gpu"},
            "backend must be one of auto, dense, bag, native, cuda, triton, got 'gpu'",
        ),
        ({"pattern": "bibdd"}, "unknown pattern 'bibdd'"),
        (
            {"pattern": make_pattern("iddl", 9, 9)},
            "for 9 inputs and 9 outputs, this layer has 10 and 7",
        ),
    ],
)
def test_wrong_options_are_named(options, says):
    with pytest.raises(ValueError, match=says):
        SparseLinear(10, 7, **options)


def test_designs_and_patterns_of_ones_own():
    layer = SparseLinear(9, 12, bibd.affine_plane(3))
    assert repr(layer).startswith("SparseLinear(9, 12, pattern=AG(2,3)(9, 12)")
    with pytest.raises(ValueError, match="seed=3 and nonzeros=None would do nothing"):
        SparseLinear(9, 12, make_pattern("iddl", 9, 12), seed=3)
    for indices in ([0, 0], [1, 0], [0, 9], [-1, 0]):
        with pytest.raises(ValueError, match="ascending, distinct inputs below 9"):
            bibd.Pattern("own", 9, 1, np.array([0, 2]), np.array(indices))
    with pytest.raises(ValueError, match="unknown pattern of type NoneType"):
        SparseLinear(9, 12, None)
