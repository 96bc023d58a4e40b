"""Which samples each worker gets in each step: whole batches, and every sample once an epoch."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from parallel.training.shards import Shards


@given(st.integers(1, 200), st.integers(1, 9), st.integers(1, 40), st.integers(0, 9))
def test_every_step_has_its_batch_and_every_sample_its_turn(samples, workers, batch, seed):
    workers, batch = min(workers, samples), max(batch, min(workers, samples))
    shards = Shards(samples, workers, batch, seed)
    steps = [shards.at(k) for k in range(1, shards.steps + 1)]
    sizes = [sum(len(one) for one in step) for step in steps]
    assert sizes[:-1] == [batch] * (len(sizes) - 1)
    assert 0 < sizes[-1] <= batch
    seen = torch.cat([one for step in steps for one in step])
    assert seen.sort().values.tolist() == list(range(samples))
    for step in steps:
        lengths = [len(one) for one in step]
        assert max(lengths) - min(lengths) <= 1
