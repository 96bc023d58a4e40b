"""What is wrong with levels of pruning is found by their identities."""

from compress import verify
from compress.tickets import branches, ladder


def failed(subject):
    return {each.identity for each in verify(subject) if not each.ok}


def test_levels_that_go_on_from_trained_weights_are_found(monkeypatch):
    monkeypatch.setattr(branches, "_snapshot", lambda level, step: level.weights)
    found = failed("tickets")
    assert "IMP with no pruning = training again, stack" in found
    assert "what is pruned is zero, and the start is that of before, loop" in found


def test_a_round_that_takes_one_weight_more_is_found(monkeypatch):
    right = ladder.after
    monkeypatch.setattr(ladder, "after", lambda count, rate: right(count, rate) - 1)
    assert {"counts of the ladder = by hand", "counts of trained levels = the ladder"} <= failed(
        "tickets"
    )
