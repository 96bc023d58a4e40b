"""Times of a cascade and of others on the same samples; what is asked of each side."""

import pytest
import torch
from torch import nn

from ensemble import Cascade
from ensemble.cascade import timed


class Counts(nn.Linear):
    """Counts the rows that it reads."""

    rows = 0

    def forward(self, x):
        self.rows += len(x)
        return super().forward(x)


def test_the_cascade_is_timed_beside_its_whole_chain_and_others():
    net = Cascade([Counts(6, 4), Counts(6, 4)], thresholds=0.0)
    found = timed(net, torch.randn(25, 6), 10, calls=2, beside={"alone": net.links[1]})
    assert [line["name"] for line in found] == ["cascade", "all links", "alone"]
    assert {line["batch"] for line in found} == {10}
    assert all(0 < line["p50"] <= line["p99"] for line in found)
    # two batches, each once to warm up: the first link by two sides, the second by two others
    assert [link.rows for link in net.links] == [80, 80]
    assert not net.training


def test_all_links_are_asked_where_agreement_is_the_rule():
    net = Cascade([Counts(6, 4), Counts(6, 4)], agree=1)
    timed(net, torch.randn(10, 6), 10)
    assert [link.rows for link in net.links] == [40, 20]


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="5 samples make no batch of 10"):
        timed(Cascade([nn.Linear(6, 4)]), torch.randn(5, 6), 10)
