"""Plans that cannot be followed are refused."""

import numpy as np
import pytest

from parallel.world.ops import (
    CENTRE,
    AllGather,
    AllReduce,
    Exchange,
    ReduceScatter,
    Round,
    check,
    traffic,
)


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        (Round(after=(AllReduce("gradients"),)), "averaged before the step"),
        (Round(after=(ReduceScatter("gradients"),)), "scattered before the step"),
        (Round(before=(Exchange(0, CENTRE),)), "names a worker that is not there"),
        (Round(before=(Exchange(np.int64(0), 1),)), "something else than int"),
    ],
)
def test_plans_that_cannot_be_followed(plan, text):
    with pytest.raises(ValueError, match=text):
        check(plan, 2, centre=False)


def test_an_all_reduce_is_a_reduce_scatter_and_an_all_gather():
    halves = ReduceScatter("gradients"), AllGather("params")
    assert traffic(halves, 4, 10.0) == traffic((AllReduce("gradients"),), 4, 10.0) == 60.0
