"""Plain nets of any width."""

import pytest

from harness.nets.perceptron import mlp


def test_a_single_width_makes_no_layer_and_is_refused():
    with pytest.raises(
        ValueError, match=r"widths are those of input and output at least, got \(64,"
    ):
        mlp((64,))
    assert len(mlp((64, 3))) == 1
