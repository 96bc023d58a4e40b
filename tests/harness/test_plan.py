"""Plans: what enters a hash, what can be overridden, how seeds are typed."""

from dataclasses import dataclass, replace

import pytest

from harness import plan
from harness.plan import Plan, arm_key, non_defaults, parse_seeds


@dataclass(frozen=True)
class Config:
    """Of a study that does not exist."""

    width: int
    """How wide."""
    epochs: int = 3
    """How long."""
    names: tuple[str, ...] = ("a",)
    """Which."""


def test_only_non_default_fields_enter_the_hash():
    assert non_defaults(Config(4)) == {"width": 4}
    assert non_defaults(Config(4, 5, ("a",))) == {"width": 4, "epochs": 5}

    @dataclass(frozen=True)
    class Grown(Config):
        extra: bool = False

    assert arm_key("x", Config(4)) == arm_key("x", Grown(4))
    assert arm_key("x", Config(4)) != arm_key("x", Grown(4, extra=True))


def test_only_shared_fields_can_be_overridden():
    p = Plan("?", {"a": Config(1), "b": Config(2)}, (0,), 1)
    assert set(p.shared()) == {"epochs", "names"}
    assert p.override({"epochs": 9}).arms["b"] == replace(Config(2), epochs=9)
    with pytest.raises(ValueError, match="unknown override 'width'"):
        p.override({"width": 3})


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("3", (0, 1, 2)), ("2-4", (2, 3, 4)), ("5,1,5", (5, 1)), ("7,", (7,))],
)
def test_seeds_as_typed(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "0", "x", "4-2", "-1", "1,-2", "1.5", "3-"])
def test_wrong_seeds_say_what_is_expected(text):
    with pytest.raises(ValueError, match="expected a count such as 5"):
        parse_seeds(text)


def test_durations_as_words():
    assert plan.duration(0.5) == "30 s"
    assert plan.duration(3) == "3 min"
    assert plan.duration(0.001) == "1 s"
    assert plan.duration(2.5 / 12) == "12 s"
    assert plan.duration(50 / 3) == "17 min"
