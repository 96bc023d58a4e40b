"""What the benchmark of memory measures."""

import sys

import pytest

from benchmarks import training_memory
from compress.plans.dynamic import PLANS


def test_all_nets_and_arms_are_those_of_the_study():
    for plan in training_memory.NETS:
        assert set(training_memory.ARMS) <= set(PLANS[plan].arms)
        inputs = {"dynamic": 784, "dynamic_wide": 1024}[plan]
        assert training_memory.noise(plan).shape == (inputs,)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_process_grows_by_what_its_training_holds():
    found = training_memory.line("dynamic_wide", "dense", 1)
    numbers = 1024 * 1024 + 1024 + 1024 * 1056 + 1056 + 1056 * 10 + 10
    assert found["held"] == 3 * 4 * numbers  # weights, gradients, momentum
    # (some of it may lie where loading has left room, and batches and answers come on top of it)
    assert found["held"] / 2 < found["peak"] < 10 * found["held"]
