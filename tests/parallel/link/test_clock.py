"""The predicted clock, against what each strategy's text says that it sends."""

import json
import math

import pytest

from parallel.identities.averaging import net
from parallel.linked.clock import ASKED, Options, main, seconds
from parallel.linked.names import NAMES

SIZE, COMPUTE, LATENCY = 1_000_000, 0.1, 5e-5


def clock(name, workers, gbit):
    """Return the predicted seconds of a step."""
    options = Options(strategies=(name,), workers=(workers,), gbit=(gbit,))
    (line,) = seconds(options, [(SIZE,)])
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


def test_hosts_of_eight_send_less_between_them():
    """A mean of all crosses each cable once, by whatever worker; within a host it crosses none."""
    ring = 2 * 15 / 16 * 8 * 4 * SIZE / 1e9
    for name, expected in {
        "all-reduce": ring + 2 * 15 * LATENCY,
        "hierarchical": (ring + 2 * 15 * LATENCY) / 16,
    }.items():
        options = Options(strategies=(name,), workers=(16,), gbit=(1,), per_host=8)
        (line,) = seconds(options, [(SIZE,)])
        assert line["seconds"] == pytest.approx(COMPUTE + expected, rel=1e-9), name


@pytest.mark.parametrize("words", [[], ["--per-host", "16"], ["--gbit", "1"]])
def test_as_many_weights_as_the_papers_have_a_clock(capsys, words):
    """More than an int32 counts, and hosts that the fewest workers do not fill."""
    assert main(["--params", "7.5e9", "--json", "--workers", "8", "24", *words]) == 0
    lines = json.loads(capsys.readouterr().out)
    assert {line["strategy"] for line in lines} == set(NAMES) - set(ASKED)


def test_codecs_send_what_a_models_shapes_say(capsys):
    words = ["--model", "parallel.identities.averaging:net", "--workers", "4", "--gbit", "1"]
    words += ["--compute", "0", "--latency", "0", "--json", "--strategies"]
    assert main([*words, "bf16", "top-k", "power-sgd", "all-reduce"]) == 0
    found = {
        line["strategy"]: line["seconds"] * 1e9 / 8 for line in json.loads(capsys.readouterr().out)
    }
    shapes = [tuple(p.shape) for p in net().parameters()]
    ring = 2 * 3 / 4
    assert found["all-reduce"] == pytest.approx(ring * 4 * sum(map(math.prod, shapes)))
    assert found["bf16"] == pytest.approx(ring * 2 * sum(map(math.prod, shapes)))
    each = sum(math.ceil(0.01 * math.prod(shape)) * (4 + 4) for shape in shapes)
    assert found["top-k"] == pytest.approx(3 * each)
    thin = [min(2 * (s[0] + s[1]), math.prod(s)) if len(s) == 2 else math.prod(s) for s in shapes]
    assert found["power-sgd"] == pytest.approx(ring * 4 * sum(thin))


def test_the_command_prints_a_line_for_each(capsys, tmp_path):
    words = ["--params", "1e6", "--workers", "8", "16", "--gbit", "10", "--json"]
    picture = tmp_path / "clock.png"
    assert main([*words, "--figure", str(picture)]) == 0
    lines = json.loads(capsys.readouterr().out)
    assert len(lines) == 2 * (len(NAMES) - len(ASKED))
    assert picture.stat().st_size
    assert json.loads(picture.with_suffix(".json").read_text())


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "expected one of --params"),
        (["--params", "9", "--strategies"], "expected one or more of --gbit, --workers"),
        (["--params", "9", "--workers", "0"], "expected bytes, per-host, gbit and workers above 0"),
        (["--params", "9", "--gbit", "nan"], "none infinite, got 4, 1"),
        (["--params", "9", "--latency", "inf"], "none infinite, got 4, 1"),
        (["--params", "1e15"], r"--params 1e15: expected at most 1e\+14 weights here"),
        (["--params", "9", "--per-host", "0"], "per-host"),
        (
            ["--params", "9", "--per-host", "8", "--workers", "12", "--strategies", "hierarchical"],
            "--workers 12 do not fill hosts of --per-host 8",
        ),
        (["--params", "9", "--strategies", "power-sgd"], "what its shape says: give --model"),
        (["--params", "9", "--compute", "-1"], "compute and latency of 0 or more"),
        (["--params", "9", "--strategies", "rign"], "did you mean 'ring'"),
    ],
)
def test_wrong_words_are_told(words, text):
    with pytest.raises(ValueError, match=text):
        main(words)
