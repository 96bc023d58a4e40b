"""The predicted clock, against what each strategy's text says that it sends."""

import json

import pytest

from parallel.linked.clock import NAMES, Options, main, seconds

SIZE, COMPUTE, LATENCY = 1_000_000, 0.1, 5e-5


def clock(name, workers, gbit):
    """Return the predicted seconds of a step."""
    options = Options(strategies=(name,), workers=(workers,), gbit=(gbit,))
    (line,) = seconds(options, SIZE)
    return line["seconds"]


@pytest.mark.parametrize("workers", [2, 8, 48])
@pytest.mark.parametrize("gbit", [1, 400])
def test_seconds_are_those_of_the_formula(workers, gbit):
    each = 8 * 4 * SIZE / (gbit * 1e9)  # seconds of one state on the cable
    ring = 2 * (workers - 1)
    expected = {
        "all-reduce": ring / workers * each + ring * LATENCY,
        "local-sgd": (ring / workers * each + ring * LATENCY) / 16,
        "exponential": each + LATENCY,
        # (worker 0 gives its weights to all others, and hears of all, once in 16 steps)
        "easgd": ((workers - 1) * each + LATENCY) / 16,
    }
    for name, cable in expected.items():
        assert clock(name, workers, gbit) == pytest.approx(COMPUTE + cable, rel=1e-9), name


def test_gossip_waits_for_its_busiest_host():
    """Of many hosts some one is always picked, also where nine of ten are silent."""
    few, many = (clock("pull", n, 1) - COMPUTE for n in (4, 256))
    state = 8 * 4 * SIZE / 1e9
    assert few < state < many


def test_the_command_prints_a_line_for_each(capsys, tmp_path):
    words = ["--params", "1e6", "--workers", "8", "16", "--gbit", "10", "--json"]
    picture = tmp_path / "clock.png"
    assert main([*words, "--figure", str(picture)]) == 0
    lines = json.loads(capsys.readouterr().out)
    assert len(lines) == 2 * len(NAMES)
    assert picture.stat().st_size
    assert json.loads(picture.with_suffix(".json").read_text())


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "expected one of --params"),
        (["--params", "9", "--strategies"], "expected one or more of --gbit, --workers"),
        (["--params", "9", "--workers", "0"], "expected bytes, gbit and workers above 0"),
        (["--params", "9", "--compute", "-1"], "compute and latency of 0 or more"),
        (["--params", "9", "--strategies", "rign"], "did you mean 'ring'"),
    ],
)
def test_wrong_words_are_told(words, text):
    with pytest.raises(ValueError, match=text):
        main(words)
