"""Records hold plain values."""

import math

import numpy as np
import pytest
import torch

from harness.experiment import plain


def test_records_hold_builtin_values_only():
    assert plain({"a": (1, 2.5, None, True, "x")}) == {"a": [1, 2.5, None, True, "x"]}
    assert plain([math.nan, math.inf]) == [None, None]
    for value in (np.float64(1.0), torch.zeros(1), np.int64(2), {1, 2}, object()):
        with pytest.raises(TypeError, match=r"record\.a\[0\] is of type "):
            plain({"a": [value]})
