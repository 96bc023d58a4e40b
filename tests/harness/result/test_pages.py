"""Numbers between marks come from functions; what is wrong with a mark is said in words."""

import sys
import types

import pytest

from harness.result import pages
from harness.result.stats import Interval


@pytest.fixture
def study(monkeypatch):
    """A `pages.py` of a study that does not exist."""
    module = types.ModuleType("demo.pages")
    module.TABLES = {"sizes": lambda: [("net", "MB"), ("small", "1.5"), ("large", "1,024")]}
    module.VALUES = {"gain": lambda: "+0.1 ± 0.2"}
    monkeypatch.setitem(sys.modules, "demo", types.ModuleType("demo"))
    monkeypatch.setitem(sys.modules, "demo.pages", module)


PAGE = """A gain of <!-- value: demo.gain -->old<!-- end --> points.

<!-- table: demo.sizes -->
<!-- end -->
"""
FULL = """A gain of <!-- value: demo.gain -->+0.1 ± 0.2<!-- end --> points.

<!-- table: demo.sizes -->
| net | MB |
| --- | ---: |
| small | 1.5 |
| large | 1,024 |
<!-- end -->
"""


def test_marks_are_filled_and_filling_again_changes_nothing(study):
    assert pages.fill(PAGE) == FULL
    assert pages.fill(FULL) == FULL


def test_the_command_writes_or_only_checks(study, tmp_path, capsys):
    page = tmp_path / "README.md"
    page.write_text(PAGE)
    assert pages.main([str(page), "--check"]) == 1
    assert page.read_text() == PAGE
    assert f"would change: {page}" in capsys.readouterr().out
    assert pages.main([str(page)]) == 0
    assert page.read_text() == FULL
    assert pages.main([str(page), "--check"]) == 0
    page.write_text(PAGE.replace("demo.gain", "demo.gian"))
    assert pages.main([str(page)]) == 2
    assert "gian" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<!-- value: demo.gain -->", "1 marks begin and 0 end"),
        ("x <!-- value: demo.gain -->1<!-- end --> <!-- end -->", "1 marks begin and 2 end"),
        ("a\n<!-- value: demo.gain -->1<!-- end -->", "a line begins with a mark"),
        ("- a\n  <!-- value: demo.gain -->1<!-- end -->", "a line begins with a mark"),
        ("x <!-- value: demo.gian -->1<!-- end -->", "did you mean 'gain'"),
        ("x <!-- table: demo.gain -->1<!-- end -->", "table of demo/pages.py"),
    ],
)
def test_wrong_marks_are_refused_in_words(study, text, words):
    with pytest.raises(ValueError, match=words):
        pages.fill(text)


def test_claims_outside_of_marks_are_found():
    assert pages.loose(FULL) == []
    assert pages.loose("gains 0.1 ± 0.2") == ["gains 0.1 ± 0.2"]
    assert pages.loose("an intro\nwith 4% of all") == ["with 4% of all"]
    assert pages.loose("95 % intervals\n```\n4 % ± 1\n```\n`±`") == []


@pytest.mark.parametrize("noise", [-3e-15, 0, 3e-15])
def test_numbers_do_not_depend_on_the_rounding_of_sums(noise):
    """0.125 and 3.35 lie where half of the neighbours round up and half down."""
    assert pages.fixed(0.125 + noise, 2) == pages.fixed(0.125, 2)
    assert pages.fixed(3.35 + noise, 1) == pages.fixed(3.35, 1)
    assert pages.fixed(1234567.0 + noise, 0) == "1,234,567"


def test_an_interval_reads_as_its_place_needs():
    above, across = Interval(0.0016, 0.0005, 0.0027, 20), Interval(-0.0034, -0.0076, 0.0008, 3)
    assert pages.points(above) == "+0.16 ± 0.11\\*"
    assert pages.points(across, 1) == "-0.3 ± 0.4"
    assert pages.prose(across, 1) == "\N{MINUS SIGN}0.3 ± 0.4"
    assert pages.loss(across, 1) == "0.3 ± 0.4"


def test_a_difference_is_told_with_what_it_lacks():
    told = pages.told
    assert told(None) == "not run"
    assert told(Interval(0.02, None, None, 1)) == "+2.0 (n=1, no interval)"
    assert told(Interval(0.02, None, None, 3)) == "+2.0 (n=3, no spread)"
    assert told(Interval(-0.02, -0.03, -0.01, 3)) == "-2.0 ± 1.0"
    assert told(Interval(0.02, -0.01, 0.05, 3)) == "+2.0 ± 3.0, no difference shown"


def test_a_plan_without_a_record_is_none_and_a_damaged_record_is_refused(monkeypatch, tmp_path):
    fake = tmp_path / "harness" / "result" / "pages.py"
    monkeypatch.setattr(pages, "__file__", str(fake))
    assert pages.recorded("demo", "sizes") is None
    path = tmp_path / "results" / "demo" / "sizes" / "experiment.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"experiment\.json"):
        pages.recorded("demo", "sizes")
