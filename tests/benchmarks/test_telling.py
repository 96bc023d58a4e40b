"""Records, JSON and tables of benchmarks."""

import json
from types import SimpleNamespace

import pytest

from benchmarks.telling import expect, told

DOCUMENT = {"cases": [{"name": "a", "a_ms": 1234.56, "a_wall_ms": 9.5}], "none": [], "rounds": 3}


def test_json_is_all_that_is_printed_and_the_record_is_the_same(tmp_path, capsys):
    options = SimpleNamespace(out=tmp_path / "deep" / "record.json", json=True)
    options.out.parent.mkdir()
    assert told(options, DOCUMENT, ("cases", "none")) == 0
    assert json.loads(capsys.readouterr().out) == DOCUMENT
    assert json.loads(options.out.read_text()) == DOCUMENT


def test_tables_leave_out_wall_times_and_empty_parts(capsys):
    assert told(SimpleNamespace(out=None, json=False), DOCUMENT, ("cases", "none")) == 0
    text = capsys.readouterr().out
    assert "a_ms" in text
    assert "1,235" in text
    assert "wall" not in text
    assert "none" not in text


def test_a_name_that_is_not_there_ends_the_command_with_the_nearest(capsys):
    expect("part", ["steps"], ["steps", "changes"])
    with pytest.raises(SystemExit) as ended:
        expect("part", ["step"], ["steps", "changes"])
    assert ended.value.code == 2
    assert "error: unknown part 'step': did you mean 'steps'?" in capsys.readouterr().err
