"""Groups beside the first: made within the timeout, or told that they were not."""

import time

import pytest
import torch.distributed as dist

from parallel.world.faults import PeerLost
from parallel.world.group import Group


@pytest.fixture
def silent(monkeypatch):
    """A store that never answers who makes a group."""
    monkeypatch.setattr(dist, "new_group", lambda *given, **named: time.sleep(60))
    return Group(0.05)


def test_groups_of_some_ranks_end_with_the_timeout(silent):
    with pytest.raises(RuntimeError, match=r"groups of 2 ranks were not made: no answer within"):
        silent.around(1, 4, 2)
    assert silent.parts == {}


def test_the_group_beside_that_of_a_script_ends_with_the_timeout(silent):
    with pytest.raises(PeerLost, match=r"rank 1: not all ranks of this group wrapped a model"):
        silent.beside(1)


def test_groups_of_some_ranks_are_made_once_and_each_rank_has_its_own(monkeypatch):
    asked = []

    def made(ranks, limit):
        asked.append(ranks)
        return len(asked)

    monkeypatch.setattr(dist, "new_group", made)
    group = Group(5)
    for _ in range(2):
        assert group.around(3, 4, 2) == (range(2, 4), 3, 4)
    assert asked == [[0, 1], [0, 1], [2, 3], [2, 3]]
