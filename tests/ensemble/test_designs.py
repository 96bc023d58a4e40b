"""Members of different designs, of one, or at random, with connections that are said."""

import pytest
import torch
from torch import nn

from ensemble import Ensemble
from ensemble.designs import designed


def net():
    return nn.Sequential(nn.Linear(49, 56), nn.ReLU(), nn.Linear(56, 30), nn.Linear(30, 4))


def made(designs, **options):
    return designed(net, 3, designs, skip=("3",), **options)


def test_different_designs_have_as_many_connections_and_share_few():
    found = made("different")
    assert len(set(found.connections)) == 1
    assert found.overlap < 0.5
    labels = {m.pattern.digest() for each in found.nets for m in each if hasattr(m, "pattern")}
    assert len(labels) == 6


def test_one_design_is_shared_and_only_starts_differ():
    found = made("one")
    assert found.overlap == 1
    assert not torch.equal(found.nets[0][0].weight, found.nets[1][0].weight)


def test_first_members_do_not_depend_on_how_many_there_are():
    few, more = designed(net, 2, skip=("3",)), made("different")
    for a, b in zip(few.nets, more.nets[:2], strict=True):
        assert a[0].pattern.digest() == b[0].pattern.digest()
        assert torch.equal(a[0].weight, b[0].weight)


@pytest.mark.parametrize("connections", [2, 500, 1234, 49 * 56 + 56 * 30])
def test_random_members_have_the_connections_that_were_asked_for(connections):
    found = made("random", connections=connections)
    assert found.connections == [connections] * 3
    assert f"{connections:,} wanted" in str(found)


def test_random_members_differ_and_answer():
    found = made("random", connections=900)
    assert found.overlap < 0.9
    assert Ensemble(found.nets)(torch.randn(5, 49)).shape == (5, 4)


@pytest.mark.parametrize("connections", [1, 49 * 56 + 56 * 30 + 1])
def test_connections_that_cannot_be_are_refused(connections):
    with pytest.raises(ValueError, match=r"in \[2, 4424\]"):
        made("random", connections=connections)


def test_a_design_has_the_connections_that_it_has():
    with pytest.raises(ValueError, match='for designs="random"'):
        made("different", connections=500)


def test_other_words_are_refused():
    with pytest.raises(ValueError, match="same"):
        made("same")
    with pytest.raises(ValueError, match="count must be"):
        designed(net, 0)
    with pytest.raises(ValueError, match="are Linear"):
        designed(
            lambda: nn.Sequential(nn.Conv2d(4, 8, 3), nn.Flatten()), 2, "random", connections=9
        )
