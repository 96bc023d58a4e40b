"""The page of `python -m parallel memory` as a file: its terms are the formulas of Python."""

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel.zero.formulas import STATES, table
from parallel.zero.memory import main
from parallel.zero.web import page, points
from tests.drawn import examples

START = page.Setting(1000, 5, "sgd", "float32", 7)


def held(path):
    """What a page's program knows."""
    (text,) = re.findall(
        r'<script type="application/json" id="terms">(.*)</script>', path.read_text()
    )
    return json.loads(text)


@examples(100)
@given(
    st.integers(1, 10**13),
    st.integers(1, 5000),
    st.sampled_from(list(STATES)),
    st.sampled_from(page.PRECISIONS),
    st.integers(1, 10**12),
)
def test_the_terms_say_what_python_computes(size, ranks, optimizer, precision, activations):
    known = page.terms(START, [])
    each = known["each"][precision][optimizer]
    for line, strategy in zip(
        table(size, ranks, optimizer, precision, activations), known["strategies"], strict=True
    ):
        counts = [math.ceil(size / ranks) if part else size for part in strategy["sliced"]]
        for kind, count, number in zip(known["kinds"], counts, each, strict=True):
            assert line[kind] == count * number
        assert line["name"] == strategy["name"]
        assert line["activations"] == each[0] * activations
        assert line["sent"] == strategy["halves"] * ((ranks - 1) / ranks) * (each[0] * size)
        assert line["held"] == sum(line[kind] for kind in (*known["kinds"], "activations"))


def test_a_page_is_one_small_file_that_asks_nobody(tmp_path):
    text = page.write(tmp_path / "memory.html", START).read_text()
    assert len(text) < 60_000
    assert "http" not in text.replace('http-equiv="Content-Security-Policy"', "").replace(
        "http://www.w3.org/2000/svg",
        "",  # a name, not an address
    )
    assert not re.findall(r"{{|src=|@import|url\(|fetch\(|import\(", text)
    assert "default-src 'none'" in text


def test_what_was_measured_is_on_the_page(tmp_path):
    """Held under zero3 is the formula to within a padded number of each of the three kinds."""
    found = points.read()
    assert {(p.kind, p.ours) for p in found} == {("held", True), ("held", False), ("room", True)}
    for p in found:
        if p.kind == "room":
            assert p.measured > p.formula
        elif p.name == "zero3":
            assert p.measured * p.weights == pytest.approx(p.formula * p.weights, abs=16)
    path = page.write(tmp_path / "memory.html", START)
    assert len(held(path)["points"]) == len(found) == path.read_text().count("<tr><th") - 1


def test_sliders_can_stand_where_settings_are():
    known = page.terms(START, points.read())
    for setting in known["settings"].values():
        for name, stops in known["stops"].items():
            assert setting[name] in stops
            assert stops == sorted(set(stops))
    assert known["settings"]["measured"]["params"] == 1_798_807


def test_without_records_a_page_has_no_points(tmp_path, monkeypatch):
    monkeypatch.setattr(points, "RECORDS", tmp_path)
    path = page.write(tmp_path / "memory.html", START)
    assert held(path)["points"] == []
    assert set(held(path)["settings"]) == {"start", "paper"}
    assert points.NOTHING in path.read_text()


def test_the_command_writes_the_page_and_prints_the_table(tmp_path, capsys):
    path = tmp_path / "memory.html"
    assert main(["--html", str(path)]) == 0
    assert "7,500,000,000 weights on 64 ranks" in capsys.readouterr().out
    words = ["--params", "1798807", "--ranks", "3", "--activations", "2e6", "--json"]
    assert main([*words, "--html", str(path)]) == 0
    whole, *_ = json.loads(capsys.readouterr().out)
    assert whole["activations"] == 4e6
    start = held(path)["settings"]["start"]
    assert (start["params"], start["ranks"], start["activations"]) == (1798807, 3, 2_000_000)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--activations", "-1"], "--activations -1: expected a whole number such as 7.5e9"),
        (["--activations", "lots"], "--activations lots: expected a whole number"),
        (["--html", "{folder}"], "is a folder: name a file in it"),
        (["--html", "page.html", "--params", "0"], "1 or more weights"),
    ],
)
def test_wrong_words(words, text, tmp_path):
    words = [word.format(folder=tmp_path) for word in words]
    with pytest.raises(ValueError, match=text):
        main(words if "--html" in words else ["--params", "9", *words])
