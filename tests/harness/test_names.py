"""A near name is suggested."""

from harness.names import check, unknown


def test_the_near_name_is_suggested():
    assert "did you mean 'paper'?" in str(unknown("plan", "papre", ["smoke", "paper"]))
    assert "did you mean" not in str(unknown("plan", "zzz", ["smoke", "paper"]))
    assert check("plan", "smoke", ["smoke"]) == "smoke"
