"""Wrong options of layers and patterns are named."""

import numpy as np
import pytest
import torch
from torch import nn

import bibd
from bibd import SparseConv2d, SparseLinear

X = torch.randn(3, 64)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: SparseLinear(8, 8, False), "for the bias say bias=False"),
        (lambda: SparseLinear(8, 8, np.ones((8, 8))), "a ndarray; expected a name.*from_mask"),
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
